package rekeydump

import (
	"bytes"
	"strings"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// space takes white space and comments. Those that programs write first and last are remembered.
func (d *dump) space() {
	for {
		switch c := d.at(0); {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == 0 && d.has(1):
			d.next()
		case c == '-' && d.at(1) == '-', c == '#' && d.dialect == rekeysql.MySQL:
			d.remark(d.restOfLine())
		case c == '/' && d.at(1) == '*':
			if !d.conditional() {
				d.comment()
			}
		case c == '*' && d.at(1) == '/' && d.opened > 0:
			d.skip(2)
			d.opened--
		default:
			return
		}
	}
}

// remark looks at a comment for the lines between which a dump is.
func (d *dump) remark(line string) {
	for _, known := range []struct{ first, last string }{
		{"-- MySQL dump ", "-- Dump completed"},
		{"-- MariaDB dump ", "-- Dump completed"},
		{"-- PostgreSQL database dump", "-- PostgreSQL database dump complete"},
		{"-- PostgreSQL database cluster dump", "-- PostgreSQL database cluster dump complete"},
	} {
		switch {
		case strings.HasPrefix(line, known.last):
			d.finished[known.last]++
			return
		case strings.HasPrefix(line, known.first):
			d.begun[known.last]++
			return
		}
	}
}

// lookAhead is how far the beginning of a statement is looked for.
const lookAhead = 32

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// conditional opens a comment of which MySQL runs what it holds, where that has rows. The others hold settings and
// definitions, and are taken as comments; two of the settings frame what mysqldump writes without --compact.
func (d *dump) conditional() bool {
	n := 3
	if d.at(2) == 'M' { // MariaDB's own
		n++
	}
	if d.dialect != rekeysql.MySQL || d.at(n-1) != '!' {
		return false
	}
	for n < lookAhead && (isSpace(d.at(n)) || d.at(n) >= '0' && d.at(n) <= '9') {
		n++
	}
	if d.rows || d.top && d.brings(d.wordAt(n)) {
		d.skip(n)
		d.opened++
		d.rows = true
		return true
	}
	d.single = d.top && d.wordAt(n) != "CREATE"
	if d.top {
		for _, variable := range []string{"SQL_NOTES", "NOTE_VERBOSITY"} {
			switch what := "SET " + variable; {
			case d.follows(n, "SET @OLD_"+variable+"="):
				d.begun[what]++
			case d.follows(n, what+"=@OLD_"+variable):
				d.finished[what]++
			}
		}
	}
	return false
}

// follows tells whether text stands n bytes on.
func (d *dump) follows(n int, text string) bool {
	for i := range len(text) {
		if d.at(n+i) != text[i] {
			return false
		}
	}
	return true
}

// comment takes /* … */. They nest in PostgreSQL.
func (d *dump) comment() {
	d.skip(2)
	single := d.single
	d.single = false
	for depth := 1; depth > 0; {
		c, ok := d.next()
		switch {
		case !ok:
			d.torn = true
			return
		case c == ';' && single && d.several == 0:
			n := 0
			for n < lookAhead && isSpace(d.at(n)) {
				n++
			}
			if d.brings(d.wordAt(n)) {
				d.several = d.line
			}
		case c == '*' && d.at(0) == '/':
			d.skip(1)
			depth--
		case c == '/' && d.at(0) == '*' && d.dialect == rekeysql.PostgreSQL:
			d.skip(1)
			depth++
		}
	}
}

// word takes a word and returns it in capitals; "" where there is none. Long ones are no keywords, and cut.
func (d *dump) word() string {
	const longest = 64
	var word [longest]byte
	n := 0
	for isWord(d.at(0)) {
		c, _ := d.next()
		if n < longest {
			word[n] = c
			n++
		}
	}
	return strings.ToUpper(string(word[:n]))
}

// identifier takes a name, quoted or not; "" where there is none.
func (d *dump) identifier() string {
	const longest = 1024 // bytes; no database takes more
	quote := d.at(0)
	if quote == '[' {
		quote = ']'
	}
	var v value
	v.most = longest
	switch quote {
	case '`', '"', '\'', ']':
		d.skip(1)
		for d.until(string(quote), &v) {
			d.skip(1)
			if quote == ']' || d.at(0) != quote {
				return string(v.raw)
			}
			d.skip(1)
			v.addByte(quote)
		}
		return ""
	}
	for c := d.at(0); isWord(c) || c == '$'; c = d.at(0) {
		d.skip(1)
		v.addByte(c)
	}
	if d.dialect == rekeysql.PostgreSQL {
		return string(bytes.ToLower(v.raw))
	}
	return string(v.raw)
}

// table takes the name of a table.
func (d *dump) table() (name, error) {
	d.space()
	n := name{schema: d.schema, table: d.identifier()}
	d.space()
	if d.at(0) == '.' {
		d.skip(1)
		d.space()
		n.schema, n.table = n.table, d.identifier()
	}
	if n.table == "" {
		return n, d.expected("the name of a table")
	}
	return n, nil
}

// names takes a list of columns in parentheses, nil where there is none.
func (d *dump) names() ([]field, error) {
	d.space()
	if d.at(0) != '(' {
		return nil, nil
	}
	fields := []field{}
	for {
		d.skip(1)
		d.space()
		if d.at(0) == ')' && len(fields) == 0 {
			d.skip(1)
			return fields, nil
		}
		n := d.identifier()
		if n == "" {
			return nil, d.expected("the name of a column")
		}
		fields = append(fields, field{name: n})
		d.space()
		switch d.at(0) {
		case ',':
		case ')':
			d.skip(1)
			return fields, nil
		default:
			return nil, d.expected("a comma or a parenthesis after the name of a column")
		}
	}
}

func (d *dump) expected(what string) error {
	if !d.has(1) {
		return d.cutOff()
	}
	return d.wrong("%s is expected here; is this a dump of %s?", what, d.dialect)
}

// any takes one thing that is not looked at: a string, a quoted name, a body between dollars, or one character.
func (d *dump) any() error {
	d.skipped.reset(-1)
	switch c := d.at(0); {
	case !d.has(1):
		return d.cutOff()
	case c == '\'':
		return d.quoted(&d.skipped, d.escapes)
	case c == '`' || c == '"' || c == '[' && d.dialect == rekeysql.SQLite:
		if c == '"' && d.dialect == rekeysql.MySQL {
			return d.quoted(&d.skipped, d.escapes)
		}
		d.identifier()
	case c == '$' && d.dialect == rekeysql.PostgreSQL:
		return d.dollars()
	case c == '\\' && d.dialect != rekeysql.SQLite: // for mysql or psql, and not for the database
		return d.elsewhere("a command of the client")
	default:
		d.next()
	}
	return nil
}

// quoted takes a string, the quotes included, which are what it begins with.
func (d *dump) quoted(v *value, escapes bool) error {
	quote := d.at(0)
	d.skip(1)
	stop := string(quote)
	if escapes {
		stop += `\`
	}
	for d.until(stop, v) {
		c, _ := d.next()
		switch {
		case c == '\\':
			if err := d.escaped(v); err != nil {
				return err
			}
		case d.at(0) == quote:
			d.skip(1)
			v.addByte(quote)
		default:
			return nil
		}
	}
	return d.cutOff()
}

// escaped takes what follows a backslash in a string.
func (d *dump) escaped(v *value) error {
	c, ok := d.next()
	if !ok {
		return d.cutOff()
	}
	if d.dialect == rekeysql.PostgreSQL {
		d.copied(c, v)
		return nil
	}
	switch c {
	case '0':
		c = 0
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'b':
		c = '\b'
	case 'Z':
		c = 26
	}
	v.addByte(c)
	return nil
}

// copied takes what follows a backslash and c in PostgreSQL's COPY, and in its E'…'.
func (d *dump) copied(c byte, v *value) {
	switch c {
	case 'b':
		v.addByte('\b')
	case 'f':
		v.addByte('\f')
	case 'n':
		v.addByte('\n')
	case 'r':
		v.addByte('\r')
	case 't':
		v.addByte('\t')
	case 'v':
		v.addByte('\v')
	case 'x':
		n, digits := byte(0), 0
		for ; digits < 2; digits++ {
			digit, ok := hexDigit(d.at(0))
			if !ok {
				break
			}
			n = n<<4 | digit
			d.skip(1)
		}
		if digits == 0 {
			n = 'x'
		}
		v.addByte(n)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		n := c - '0'
		for range 2 {
			if digit := d.at(0); digit >= '0' && digit <= '7' {
				n = n<<3 | digit - '0'
				d.skip(1)
			}
		}
		v.addByte(n)
	default:
		v.addByte(c)
	}
}

// dollars takes a body between $tag$ and $tag$, or one dollar.
func (d *dump) dollars() error {
	const longest = 64
	n := 1
	for n < longest && isWord(d.at(n)) {
		n++
	}
	if d.at(n) != '$' {
		d.skip(1)
		return nil
	}
	tag := make([]byte, 0, n+1)
	for range n + 1 {
		c, _ := d.next()
		tag = append(tag, c)
	}
	for d.until("$", &d.skipped) {
		at := 0
		for at < len(tag) && d.at(at) == tag[at] {
			at++
		}
		if at == len(tag) {
			d.skip(at)
			return nil
		}
		d.skip(1)
	}
	return d.cutOff()
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}
