package rekeydump

import (
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// create reads CREATE, of which tables are remembered.
func (d *dump) create() error {
	for {
		d.space()
		switch word := d.word(); word {
		case "OR", "REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED":
		case "TABLE":
			return d.createTable()
		case "TRIGGER":
			if d.dialect == rekeysql.SQLite {
				return d.body()
			}
			return d.rest()
		default:
			return d.rest()
		}
	}
}

func (d *dump) createTable() error {
	making := []string{"SELECT", "TABLE", "EXECUTE"} // rows of other tables
	d.space()
	if isWord(d.at(0)) && d.peekWord() == "IF" {
		for range 3 { // IF NOT EXISTS
			d.word()
			d.space()
		}
	}
	table, err := d.table()
	if err != nil {
		return err
	}
	d.space()
	if d.at(0) != '(' {
		if d.word() == "PARTITION" {
			d.space()
			d.word() // OF
			parent, err := d.table()
			if err != nil {
				return err
			}
			d.parents[table] = parent
			d.tables[table] = d.tables[parent]
		}
		return d.rest(making...)
	}
	var fields []field
	for {
		d.skip(1) // the parenthesis, or a comma
		if d.space(); len(fields) == 0 && d.peekWord() == "SELECT" {
			return d.elsewhere("SELECT")
		}
		f, err := d.field()
		if err != nil {
			return err
		}
		if f.name != "" {
			fields = append(fields, f)
		}
		if d.at(0) == ')' {
			d.skip(1)
			break
		}
	}
	d.tables[table] = fields
	if err := d.count.defined(table, fields, d.line); err != nil {
		return err
	}
	return d.rest(making...)
}

// peekWord returns the next word in capitals, and takes nothing.
func (d *dump) peekWord() string { return d.wordAt(0) }

// wordAt is the word n bytes on.
func (d *dump) wordAt(n int) string {
	const longest = 32
	var word []byte
	for isWord(d.at(n+len(word))) && len(word) < longest {
		word = append(word, d.at(n+len(word)))
	}
	return strings.ToUpper(string(word))
}

// constraints are what a part of a definition that is no column begins with.
func (d *dump) constraint(word string) bool {
	switch word {
	case "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN":
		return true
	case "KEY", "INDEX", "FULLTEXT", "SPATIAL", "PERIOD":
		return d.dialect == rekeysql.MySQL
	case "EXCLUDE", "LIKE":
		return d.dialect == rekeysql.PostgreSQL
	default:
		return false
	}
}

// field takes one column or constraint, up to the comma or parenthesis after it.
func (d *dump) field() (f field, err error) {
	d.space()
	if !isWord(d.at(0)) || !d.constraint(d.peekWord()) {
		if f.name = d.identifier(); f.name == "" && d.at(0) != ')' {
			return f, d.expected("a column")
		}
	}
	kind, as := "", false
	for depth := 0; ; {
		d.space()
		switch c := d.at(0); {
		case isWord(c):
			word := d.word()
			if as = word == "AS" && depth == 0; depth == 0 && len(kind) < 64 {
				kind += word + " "
			}
			continue
		case c == '(':
			if as { // GENERATED ALWAYS AS (…), or AS (…)
				f.computed = true
			}
			depth++
			d.skip(1)
		case c == ')' && depth == 0, c == ',' && depth == 0:
			words := strings.Fields(kind)
			f.typed = len(words) > 0
			f.bytea = len(words) > 0 && (words[0] == "BYTEA" || words[0] == "PG_CATALOG" && slices.Contains(words[:min(2, len(words))], "BYTEA"))
			return f, nil
		case c == ')':
			depth--
			d.skip(1)
		default:
			if err := d.any(); err != nil {
				return f, err
			}
		}
		as = false
	}
}

// alter reads ALTER, of which partitions are remembered: they hold the rows of their table.
func (d *dump) alter() error {
	d.space()
	if d.word() != "TABLE" {
		return d.rest()
	}
	d.space()
	if d.peekWord() == "ONLY" {
		d.word()
	}
	parent, err := d.table()
	if err != nil {
		return err
	}
	d.space()
	if d.word() != "ATTACH" {
		return d.rest()
	}
	d.space()
	d.word() // PARTITION
	child, err := d.table()
	if err != nil {
		return err
	}
	d.parents[child] = parent
	return d.rest()
}

// home is the table that rows of n are counted for.
func (d *dump) home(n name) name {
	for range 16 { // partitions of partitions, and no circle
		parent, ok := d.parents[n]
		if !ok {
			break
		}
		n = parent
	}
	return n
}
