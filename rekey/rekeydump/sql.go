package rekeydump

import (
	"slices"

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
	top      bool  // a statement may begin here
	rows     bool  // conditional comments are read as what they hold
	opened   int   // conditional comments that are read
	torn     bool  // a comment has no end
	single   bool  // the conditional comment that follows is to hold one statement
	several  int64 // the line of one that holds more; 0: there is none
	unmarked bool  // a table or rows stood outside of the lines that a program writes first and last
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
	cell     bool // the name is what the first line of a file has, which may be a row
}

func (d *dump) read() error {
	for {
		d.top = true
		d.space()
		d.top = false
		if d.several > 0 {
			return wrong(d.several, "rows that follow another statement in one conditional comment cannot be read here")
		}
		if !d.has(1) {
			break
		}
		err := d.statement()
		d.rows = d.opened > 0
		if err != nil {
			if failed := d.failed(); failed != nil {
				return failed
			}
			return err
		}
	}
	if err := d.failed(); err != nil {
		return err
	}
	if d.torn || d.opened > 0 {
		return d.cutOff()
	}
	for what, n := range d.begun {
		if d.finished[what] < n {
			return d.wrong("the dump ends without the line that its program writes last (%s): it was cut off", what)
		}
	}
	return nil
}

func (d *dump) statement() error {
	switch c := d.at(0); {
	case c == '\\' && d.dialect == rekeysql.PostgreSQL:
		return d.meta()
	case c == '.' && d.dialect == rekeysql.SQLite:
		return d.elsewhere("a command of the shell")
	}
	word := d.word()
	if word == "CREATE" || word == "INSERT" || word == "REPLACE" || word == "COPY" {
		d.mark()
	}
	var err error
	switch {
	case d.loads(word):
		return d.elsewhere(word)
	case word == "UPDATE":
		err = d.update()
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
	case word == "SELECT" && d.dialect == rekeysql.PostgreSQL:
		err = d.rest("INTO") // which makes a table of what it selects
	case word == "ALTER" && d.dialect == rekeysql.MySQL:
		err = d.rest("IMPORT", "EXCHANGE") // of tablespaces and partitions
	default:
		err = d.rest()
	}
	return err
}

// mark notes whether a table or rows stand between the lines that a program writes first and last.
func (d *dump) mark() {
	for what, n := range d.begun {
		if d.finished[what] < n {
			return
		}
	}
	d.unmarked = true
}

func (d *dump) cutOff() error { return d.wrong("the dump ends inside a statement: it was cut off") }

// rest reads over what is left of a statement, in which refused words make rows.
func (d *dump) rest(refused ...string) error {
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
			word := d.word()
			if slices.Contains(refused, word) {
				return d.elsewhere(word)
			}
			if word == "ATOMIC" { // CREATE FUNCTION … BEGIN ATOMIC … END
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
