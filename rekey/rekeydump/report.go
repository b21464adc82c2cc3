package rekeydump

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// Report is what a backup holds.
type Report struct {
	Columns []Column `json:"columns"`         // by schema, table and column; of those that are not declared only where something was found
	Rows    int64    `json:"rows"`            // all rows of all tables
	Bytes   int64    `json:"bytes"`           // of the backup, gzip undone
	Notes   []string `json:"notes,omitempty"` // what to know of the numbers
	// Undiscoverable names what is not found in columns that are not declared.
	Undiscoverable []string `json:"undiscoverable,omitempty"`
}

// Column is what one column holds, or several that are declared as one record.
type Column struct {
	Schema   string `json:"schema,omitempty"`
	Table    string `json:"table"`
	Column   string `json:"column"` // several are joined with +
	Declared bool   `json:"declared"`
	Rows     int64  `json:"rows"`
	Empty    int64  `json:"empty"` // NULL, or nothing in it
	// Census counts the records by key. Of a column that is not declared it counts the values that look like ciphertext.
	Census  kmsmigrate.Census            `json:"census"`
	Classes map[string]kmsmigrate.Census `json:"classes,omitempty"` // by what Config.By gives
}

// Read counts what a SQL dump holds. It fails with [kmsmigrate.ErrInvalid] and the line where the dump is none, was cut
// off or has what cannot be counted, and where a declared table or column is missing. The report is what was counted until
// then, and its censuses are complete only with a nil error, and where the dump's own lines or Config.NoTrailer say that
// it is whole.
func Read(ctx context.Context, r io.Reader, c Config) (Report, error) {
	count, err := newCounter(c)
	if err != nil {
		return Report{}, err
	}
	read, err := readSQL(ctx, r, count)
	if err == nil {
		err = count.missing()
	}
	return count.report(read, err == nil), err
}

func readSQL(ctx context.Context, r io.Reader, count *counter) (int64, error) {
	text, err := plain(r)
	if err != nil {
		return 0, err
	}
	d := &dump{
		input: newInput(ctx, text), count: count, dialect: count.Dialect,
		tables: map[name][]field{}, parents: map[name]name{}, begun: map[string]int{}, finished: map[string]int{},
	}
	if d.dialect == rekeysql.Auto {
		d.has(bufferSize)
		if d.dialect = dialectOf(d.buf[d.pos:d.end]); d.dialect == rekeysql.Auto {
			if err := d.failed(); err != nil {
				return 0, err
			}
			return 0, wrong(1, "this does not begin as a dump of MySQL, MariaDB, PostgreSQL or SQLite does: set Config.Dialect")
		}
	}
	d.escapes = d.dialect == rekeysql.MySQL
	if err = d.read(); err == nil {
		d.note(count)
	}
	return d.bytes(), err
}

// report returns the numbers.
func (c *counter) report(bytes int64, complete bool) Report {
	r := Report{Columns: []Column{}, Rows: c.rows, Bytes: bytes, Notes: c.notes}
	complete = complete && !c.partial
	for at, n := range c.columns {
		if n.table == nil && n.sightings == 0 {
			continue
		}
		column := Column{Schema: at.schema, Table: at.table, Column: at.column, Declared: n.table != nil, Rows: n.rows, Empty: n.empty, Census: n.tally.Census(complete)}
		column.Census.Name = at.String() + "." + at.column
		for class, tally := range n.classes {
			if column.Classes == nil {
				column.Classes = map[string]kmsmigrate.Census{}
			}
			column.Classes[class] = tally.Census(complete)
		}
		r.Columns = append(r.Columns, column)
	}
	slices.SortFunc(r.Columns, func(a, b Column) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
	})
	for _, t := range c.Tables {
		if t.Where != "" {
			r.Notes = append(r.Notes, fmt.Sprintf("the condition on %s is not applied: all of its rows are counted", t.Name))
		}
	}
	if !c.OnlyDeclared {
		r.Undiscoverable = rekeysql.Undiscoverable()
	}
	return r
}

// WriteText writes a report as a table for people.
func WriteText(w io.Writer, r Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "COLUMN\tSIDE\tFORMAT\tKEY\tRECORDS")
	for _, c := range r.Columns {
		for _, n := range c.Census.Counts {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\n", c.Census.Name, n.Side, n.Layout, n.Key, n.Records)
		}
		if c.Census.Unreadable > 0 {
			_, _ = fmt.Fprintf(t, "%s\tunknown\t\tunreadable\t%d\n", c.Census.Name, c.Census.Unreadable)
		}
		all := "all"
		if !c.Census.Complete {
			all = "all so far, not complete"
		}
		if !c.Declared {
			all += ", of a column that is not declared"
		}
		_, _ = fmt.Fprintf(t, "%s\t\t\t%s\t%d\n", c.Census.Name, all, c.Census.Records)
	}
	if err := t.Flush(); err != nil { // and the first error of the writes before
		return err
	}
	for _, note := range append(slices.Clone(r.Notes), r.Undiscoverable...) {
		if _, err := fmt.Fprintf(w, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}
