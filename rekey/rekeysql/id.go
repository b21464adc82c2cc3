package rekeysql

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// keyKind is how the values of a key column become text and arguments.
type keyKind uint8

const (
	keyUnusable keyKind = iota
	keyInt
	keyText
	keyBytes // hexadecimal in an id
	keyUUID  // the database's own type, as text
)

// formatID makes a record's id of the parts of its key: the key's text as it is, for a key of one column. Keys of several
// columns, and the few that would be taken for such, are quoted and joined with commas.
func formatID(parts []string) string {
	if len(parts) == 1 && plainID(parts[0]) {
		return parts[0]
	}
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(part))
	}
	return b.String()
}

func plainID(part string) bool {
	return part != "" && part[0] != '"' && part[0] != 0 && utf8.ValidString(part)
}

// parseID is the reverse of formatID.
func parseID(id string, parts int) ([]string, error) {
	if parts == 1 && plainID(id) {
		return []string{id}, nil
	}
	var out []string
	for rest := id; ; rest = rest[1:] {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || !strings.HasPrefix(quoted, `"`) {
			break
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			break
		}
		out = append(out, part)
		if rest = rest[len(quoted):]; rest == "" && len(out) == parts {
			return out, nil
		}
		if !strings.HasPrefix(rest, ",") {
			break
		}
	}
	return nil, fmt.Errorf("rekeysql: the id %q does not have the form of this table's ids, a key of %d columns: use Store.ID: %w", id, parts, kmsmigrate.ErrInvalid)
}

// argument turns one part of an id into what the driver compares with.
func (k keyKind) argument(part string) (any, error) {
	switch k {
	case keyInt:
		if n, err := strconv.ParseInt(part, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(part, 10, 64); err == nil {
			return n, nil
		}
		return nil, fmt.Errorf("rekeysql: the id %q is not an integer: %w", part, kmsmigrate.ErrInvalid)
	case keyBytes:
		raw, err := hex.DecodeString(part)
		if err != nil {
			return nil, fmt.Errorf("rekeysql: the id %q is not hexadecimal, as ids of binary keys are: %w", part, kmsmigrate.ErrInvalid)
		}
		return raw, nil
	default:
		return part, nil
	}
}

// text turns a scanned key column into a part of an id.
func (k keyKind) text(raw []byte) string {
	if k == keyBytes {
		return hex.EncodeToString(raw)
	}
	return string(raw)
}

// keyPart turns what keyText selected into a part of an id.
func (c column) keyPart(raw []byte) (string, error) {
	if !c.classed {
		return c.key.text(raw), nil
	}
	switch class, rest := raw[0], raw[1:]; class {
	case 'i':
		return c.classPart(keyInt, string(rest)), nil
	case 't':
		return c.classPart(keyText, string(rest)), nil
	case 'b':
		return c.classPart(keyBytes, strings.ToLower(string(rest))), nil
	default:
		return "", fmt.Errorf("a row has a key that is a %s in the column %q: integers, text and BLOBs can be keys", raw, c.name)
	}
}

// keyOf is the part of an id for a key of the caller's.
func (c column) keyOf(key any) string {
	raw, isBytes := key.([]byte)
	text, isText := key.(string)
	switch {
	case isBytes && c.classed:
		return c.classPart(keyBytes, hex.EncodeToString(raw))
	case isBytes:
		return c.key.text(raw)
	case !c.classed:
		return fmt.Sprint(key)
	case !isText:
		text = fmt.Sprint(key)
		_, err := keyInt.argument(text)
		if isInt := err == nil; isInt && c.key != keyText {
			return c.classPart(keyInt, text)
		}
	case c.key == keyInt: // the column makes integers of text that is one
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return c.classPart(keyInt, strconv.FormatInt(n, 10))
		}
	}
	return c.classPart(keyText, text)
}

// SQLite compares and orders by storage class first, so an id must say which one a key has. A key of the class that its
// column declares is written as it is; any other, and text that would be taken for one, after a zero byte and a letter.
const (
	markInt   = "\x00i"
	markText  = "\x00t"
	markBytes = "\x00b"
)

// classPart is the part of an id for a key of a class.
func (c column) classPart(class keyKind, text string) string {
	switch {
	case class == c.key && !strings.HasPrefix(text, "\x00"):
		return text
	case class == keyInt:
		return markInt + text
	case class == keyBytes:
		return markBytes + text
	default:
		return markText + text
	}
}

// keyArgument turns one part of an id into what the driver compares with.
func (c column) keyArgument(part string) (any, error) {
	if c.classed {
		for mark, class := range map[string]keyKind{markInt: keyInt, markText: keyText, markBytes: keyBytes} {
			if rest, marked := strings.CutPrefix(part, mark); marked {
				return class.argument(rest)
			}
		}
	}
	return c.key.argument(part)
}
