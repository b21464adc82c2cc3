package rekeydump

import (
	"bytes"
	"strings"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// literal takes one value, and the type after it.
func (d *dump) literal(v *value, depth int) error {
	if err := d.expression(v, depth); err != nil {
		return err
	}
	for d.at(0) == ':' && d.at(1) == ':' {
		d.skip(2)
		for d.identifier() != "" && d.at(0) == '.' {
			d.skip(1)
		}
	}
	return nil
}

func (d *dump) expression(v *value, depth int) error {
	c, next := d.at(0), d.at(1)
	switch {
	case depth > 8:
		return d.wrong("a value is made by more than eight calls inside each other")
	case c == '\'' || c == '"' && d.dialect == rekeysql.MySQL:
		return d.quoted(v, d.escapes)
	case (c == 'x' || c == 'X') && next == '\'':
		d.skip(2)
		return d.hex(v, '\'')
	case c == '0' && next == 'x' && d.dialect == rekeysql.MySQL:
		d.skip(2)
		return d.hex(v, 0)
	case (c == 'e' || c == 'E') && next == '\'' && d.dialect == rekeysql.PostgreSQL:
		d.skip(1)
		return d.quoted(v, true)
	case (c == 'b' || c == 'B' || c == 'n' || c == 'N') && next == '\'':
		d.skip(1)
		v.bare = c|0x20 == 'b'
		return d.quoted(v, d.escapes && c|0x20 == 'n')
	case c == '_' && d.dialect == rekeysql.MySQL: // _binary '…', _utf8mb4 0x…
		d.word()
		d.space()
		return d.literal(v, depth+1)
	case c == '(':
		d.skip(1)
		d.space()
		if err := d.literal(v, depth+1); err != nil {
			return err
		}
		return d.closing()
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
		v.bare = true
		for c := d.at(0); isWord(c) || c == '-' || c == '+' || c == '.'; c = d.at(0) {
			d.skip(1)
			v.addByte(c)
		}
		return nil
	case isWord(c):
		switch word := d.word(); word {
		case "NULL", "DEFAULT":
			v.null = true
		case "REPLACE", "UNISTR", "CHAR":
			return d.call(word, v, depth+1)
		case "CAST":
			d.space()
			if d.at(0) != '(' {
				return d.expected("a parenthesis")
			}
			d.skip(1)
			d.space()
			if err := d.literal(v, depth+1); err != nil {
				return err
			}
			d.space()
			d.word() // AS
			d.space()
			d.word()
			return d.closing()
		default: // true, Infinity, CURRENT_TIMESTAMP
			v.bare = true
			v.add([]byte(word))
		}
		return nil
	}
	return d.expected("a value")
}

func (d *dump) closing() error {
	d.space()
	if d.at(0) != ')' {
		return d.expected("a closing parenthesis")
	}
	d.skip(1)
	return nil
}

// hex takes digits up to a quote, or as long as there are any.
func (d *dump) hex(v *value, quote byte) error {
	for {
		high, ok := hexDigit(d.at(0))
		if !ok {
			break
		}
		low, ok := hexDigit(d.at(1))
		if !ok {
			return d.wrong("a hexadecimal value has an odd number of digits")
		}
		d.skip(2)
		v.addByte(high<<4 | low)
	}
	if quote == 0 {
		return nil
	}
	if d.at(0) != quote {
		return d.expected("a hexadecimal digit")
	}
	d.skip(1)
	return nil
}

// call takes what sqlite3 writes for text with line breaks: replace('…','\n',char(10)) or unistr('…').
func (d *dump) call(function string, v *value, depth int) error {
	d.space()
	if d.at(0) != '(' {
		return d.expected("a parenthesis")
	}
	var args []value
	for {
		d.skip(1)
		d.space()
		arg := value{most: 64}
		if len(args) == 0 {
			arg.most = v.most
		}
		if err := d.literal(&arg, depth); err != nil {
			return err
		}
		args = append(args, arg)
		d.space()
		if d.at(0) != ',' || len(args) > 3 {
			break
		}
	}
	if err := d.closing(); err != nil {
		return err
	}
	switch {
	case function == "REPLACE" && len(args) == 3 && len(args[1].raw) > 0:
		v.add(bytes.ReplaceAll(args[0].raw, args[1].raw, args[2].raw))
	case function == "CHAR" && len(args) == 1 && args[0].bare && len(args[0].raw) <= 3:
		n := 0
		for _, c := range args[0].raw {
			n = n*10 + int(c-'0')
		}
		v.add([]byte(string(rune(n))))
	case function == "UNISTR" && len(args) == 1:
		v.add(unistr(args[0].raw))
	default:
		return d.wrong("a value is made by the function %s in a way that no dump does", strings.ToLower(function))
	}
	v.cut = v.cut || args[0].cut
	return nil
}

// unistr undoes \u0041 and \\, as SQLite's function does.
func unistr(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			continue
		}
		digits, from := 4, i+1
		switch raw[i+1] {
		case 'u':
			from++
		case '+':
			from, digits = from+1, 6
		case 'U':
			from, digits = from+1, 8
		case '\\':
			out = append(out, '\\')
			i++
			continue
		}
		n, to := rune(0), from
		for ; to < min(len(raw), from+digits); to++ {
			digit, ok := hexDigit(raw[to])
			if !ok {
				break
			}
			n = n<<4 | rune(digit)
		}
		if to-from != digits {
			out = append(out, raw[i])
			continue
		}
		out = append(out, string(n)...)
		i = to - 1
	}
	return out
}

// bytea undoes the text form of PostgreSQL's type for bytes, where a column has it, or where nothing says what it has.
func (d *dump) bytea(f field, v *value) {
	if d.dialect != rekeysql.PostgreSQL || v.null || v.bare || f.typed && !f.bytea {
		return
	}
	if bytes.HasPrefix(v.raw, []byte(`\x`)) {
		unhex(v, 2)
		return
	}
	if !f.bytea || !bytes.ContainsRune(v.raw, '\\') {
		return
	}
	out := v.raw[:0]
	for i := 0; i < len(v.raw); i++ {
		c := v.raw[i]
		switch {
		case c != '\\':
		case i+3 < len(v.raw) && v.raw[i+1] <= '3' && v.raw[i+1] >= '0':
			c = (v.raw[i+1]-'0')<<6 | (v.raw[i+2]-'0')<<3 | v.raw[i+3] - '0'
			i += 3
		case i+1 < len(v.raw):
			i++
		}
		out = append(out, c)
	}
	v.raw = out
}

// unhex replaces hexadecimal text after a prefix by its bytes, where it is that.
func unhex(v *value, prefix int) {
	text := v.raw[prefix:]
	if v.cut {
		text = text[:len(text)&^1]
	}
	if len(text)%2 != 0 {
		return
	}
	for _, c := range text {
		if _, ok := hexDigit(c); !ok {
			return
		}
	}
	for i := range len(text) / 2 {
		high, _ := hexDigit(text[2*i])
		low, _ := hexDigit(text[2*i+1])
		v.raw[i] = high<<4 | low
	}
	v.raw = v.raw[:len(text)/2]
}
