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
	return part != "" && part[0] != '"' && utf8.ValidString(part)
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
