package rekeydump

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// Statements whose rows are not in the dump, or are made by the database, are errors: read over, they would make a backup
// seem to hold less than it does.

// loads tells whether a statement that begins so brings rows that cannot be read here.
func (d *dump) loads(word string) bool {
	switch word {
	case "WITH", "MERGE", "CALL":
		return true
	case "LOAD", "SOURCE", "IMPORT":
		return d.dialect == rekeysql.MySQL
	case "DO", "EXECUTE":
		return d.dialect == rekeysql.PostgreSQL
	default:
		return false
	}
}

// brings tells whether a statement that begins so has rows, read here or not.
func (d *dump) brings(word string) bool {
	return word == "INSERT" || word == "REPLACE" || word == "UPDATE" || d.loads(word)
}

func (d *dump) elsewhere(what string) error {
	return d.wrong("rows are loaded from elsewhere, or made in a way that cannot be read here (%s): give a plain dump, with its rows in INSERT or COPY", what)
}

// update reads UPDATE, which changes rows that were counted, unless they are of a catalogue of PostgreSQL.
func (d *dump) update() error {
	table, err := d.table()
	if err != nil {
		return err
	}
	if d.dialect == rekeysql.PostgreSQL && strings.HasPrefix(table.table, "pg_") {
		return d.rest()
	}
	return d.elsewhere("UPDATE")
}

// meta reads a command for psql. Those that run files or read data from them are errors, and so are all that no dump has.
func (d *dump) meta() error {
	at := d.line
	line := d.restOfLine()
	fields := strings.Fields(line)
	switch known := []string{`\connect`, `\restrict`, `\unrestrict`, `\set`, `\unset`, `\echo`, `\encoding`, `\pset`, `\timing`}; {
	case !slices.Contains(known, fields[0]), strings.Count(line, `\`) > 1, len(line) >= lineHead: // what is cut may hold another
		return wrong(at, "the command %s of psql cannot be read here: rows may be loaded from elsewhere", fields[0])
	}
	if len(fields) > 1 && fields[0] == `\connect` {
		clear(d.tables)
		clear(d.parents)
	}
	return nil
}

// delimited reads over what mysqldump puts between DELIMITER ;; and DELIMITER ; which are triggers and routines.
func (d *dump) delimited() error {
	delimiter := strings.TrimSpace(d.restOfLine())
	begins := true // a statement, where the next line has something
	for delimiter != ";" {
		if !d.has(1) || delimiter == "" {
			return d.cutOff()
		}
		at, v := d.line, value{most: 1 << 20}
		if d.until("\n", &v) {
			d.skip(1)
		}
		line := strings.TrimSpace(string(v.raw))
		if fields := strings.Fields(line); len(fields) == 2 && strings.EqualFold(fields[0], "DELIMITER") {
			delimiter, begins = fields[1], true
			continue
		}
		for i, statement := range strings.Split(line, delimiter) {
			word := strings.ToUpper(first(statement))
			if v.cut || (i > 0 || begins) && (d.brings(word) || strings.HasPrefix(statement, `\`)) {
				return wrong(at, "rows between DELIMITERs cannot be read here")
			}
		}
		if line != "" {
			begins = strings.HasSuffix(line, delimiter)
		}
	}
	return nil
}

// first returns the first word of a statement, also where it stands in a conditional comment.
func first(statement string) string {
	s := strings.TrimSpace(statement)
	for _, begin := range []string{"/*!", "/*M!"} {
		s = strings.TrimLeft(strings.TrimPrefix(s, begin), "0123456789 \t")
	}
	end := 0
	for end < len(s) && isWord(s[end]) {
		end++
	}
	return s[:end]
}

// note says what the end of a dump tells of its wholeness.
func (d *dump) note(c *counter) {
	if len(d.finished) > 0 && !d.unmarked {
		return
	}
	const what = "is not all between lines that its program writes first and last, so that nothing tells whether it was cut off"
	if c.NoTrailer {
		c.remark("the dump " + what + ": it is taken for whole because Config.NoTrailer says so")
		return
	}
	c.partial = true
	c.remark("the dump " + what + ": its numbers are not complete; make it with comments, or set Config.NoTrailer")
}

// remark adds a note on the file that is read.
func (c *counter) remark(note string) {
	if c.reading != "" {
		note = fmt.Sprintf("file %s: %s", c.reading, note)
	}
	if !slices.Contains(c.notes, note) {
		c.notes = append(c.notes, note)
	}
}
