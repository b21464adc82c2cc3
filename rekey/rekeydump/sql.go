package rekeydump

import (
	"strings"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// dump reads a SQL dump.
type dump struct {
	*input
	dialect  rekeysql.Dialect
	escapes  bool // a backslash escapes in plain strings
	count    *counter
	schema   string // the database that USE has chosen
	tables   map[name][]field
	parents  map[name]name // partitions
	begun    map[string]int
	finished map[string]int
	row      []value
	skipped  value // what is read over
}

// name is a table's.
type name struct{ schema, table string }

func (n name) String() string {
	if n.schema == "" {
		return n.table
	}
	return n.schema + "." + n.table
}

// field is a column as CREATE TABLE has it.
type field struct {
	name     string
	typed    bool // its type is known
	bytea    bool
	computed bool
	guessed  bool // nothing names it
}

func (d *dump) read() error {
	for {
		d.space()
		if !d.has(1) {
			break
		}
		if err := d.statement(); err != nil {
			if failed := d.failed(); failed != nil {
				return failed
			}
			return err
		}
	}
	if err := d.failed(); err != nil {
		return err
	}
	for what, n := range d.begun {
		if d.finished[what] < n {
			return d.wrong("the dump ends without the line that its program writes last (%s): it was cut off", what)
		}
	}
	return nil
}

func (d *dump) statement() error {
	if d.at(0) == '\\' && d.dialect == rekeysql.PostgreSQL { // \connect, \restrict: for psql
		if fields := strings.Fields(d.restOfLine()); len(fields) > 1 && fields[0] == `\connect` {
			clear(d.tables)
			clear(d.parents)
		}
		return nil
	}
	word := d.word()
	var err error
	switch {
	case word == "CREATE":
		err = d.create()
	case word == "INSERT", word == "REPLACE":
		err = d.insert()
	case word == "COPY" && d.dialect == rekeysql.PostgreSQL:
		err = d.copyFrom()
	case word == "ALTER" && d.dialect == rekeysql.PostgreSQL:
		err = d.alter()
	case word == "DELIMITER" && d.dialect == rekeysql.MySQL:
		err = d.delimited()
	case word == "USE" && d.dialect == rekeysql.MySQL:
		d.space()
		d.schema = d.identifier()
		err = d.rest()
	case word == "SET" && d.dialect == rekeysql.PostgreSQL:
		d.space()
		if d.word() == "STANDARD_CONFORMING_STRINGS" {
			d.space()
			d.skip(1) // =
			d.space()
			d.escapes = d.word() == "OFF"
		}
		err = d.rest()
	case d.dialect == rekeysql.SQLite && (word == "COMMIT" || word == "BEGIN" || word == "ROLLBACK" || word == "PRAGMA"):
		switch word {
		case "ROLLBACK":
			return d.wrong("the dump ends with ROLLBACK: sqlite3 met errors while it wrote it, and left rows out")
		case "BEGIN":
			d.begun["COMMIT"]++
		case "COMMIT":
			d.finished["COMMIT"]++
		}
		err = d.rest()
	default:
		err = d.rest()
	}
	return err
}

func (d *dump) cutOff() error { return d.wrong("the dump ends inside a statement: it was cut off") }

// rest reads over what is left of a statement.
func (d *dump) rest() error {
	atomic := "" // the words of a body that has semicolons of its own
	for {
		d.space()
		switch c := d.at(0); {
		case c == ';':
			d.skip(1)
			if atomic == "" {
				return nil
			}
			if d.space(); d.word() == "END" {
				if d.space(); d.at(0) == ';' {
					atomic = ""
				}
			}
		case isWord(c):
			if word := d.word(); word == "ATOMIC" { // CREATE FUNCTION … BEGIN ATOMIC … END
				atomic = word
			}
		default:
			if err := d.any(); err != nil {
				return err
			}
		}
	}
}

// body reads over CREATE TRIGGER of SQLite, whose statements end with semicolons too.
func (d *dump) body() error {
	for {
		d.space()
		switch c := d.at(0); {
		case c == ';':
			d.skip(1)
			if d.space(); d.word() == "END" {
				if d.space(); d.at(0) == ';' {
					d.skip(1)
					return nil
				}
			}
		case isWord(c):
			d.word()
		default:
			if err := d.any(); err != nil {
				return err
			}
		}
	}
}

// delimited reads over what mysqldump puts between DELIMITER ;; and DELIMITER ; which are triggers and routines.
func (d *dump) delimited() error {
	if strings.TrimSpace(d.restOfLine()) == ";" {
		return nil
	}
	for d.has(1) {
		if fields := strings.Fields(d.restOfLine()); len(fields) == 2 && fields[0] == "DELIMITER" && fields[1] == ";" {
			return nil
		}
	}
	return d.cutOff()
}
