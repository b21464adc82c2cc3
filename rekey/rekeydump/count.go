package rekeydump

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// Config says what to count. The zero value looks at every column.
type Config struct {
	// Codec tells from a header whose key a record needs. Declared columns need one. In other columns it is asked about
	// ciphertext that was found; without it, or where it does not know, they count by the key version that they name.
	Codec rekey.Codec
	// Tables declares the encrypted columns, as for rekeysql.Open. Keys are not used. A condition (Where) is SQL and not
	// applied: rows that it leaves out are counted too, and the report says so.
	Tables []rekeysql.Table
	// OnlyDeclared leaves the other columns out. Looking at them takes time.
	OnlyDeclared bool
	// CodecFor chooses the Codec of a record of a declared table, nil meaning Codec: tables of several formats, tenants with
	// keys of their own. The record has the Value and Context, and no ID. Its error makes the record unreadable.
	CodecFor func(table rekeysql.Table, rec rekey.Record) (rekey.Codec, error)
	// By puts records of declared tables into classes that are counted apart as well: a tenant's name.
	By func(table rekeysql.Table, rec rekey.Record) string
	// Dialect is whose SQL it is; the zero value finds out.
	Dialect rekeysql.Dialect
	// MaxValue bounds the bytes of a value that are held. Longer values of declared columns are unreadable. Zero means 16 MiB.
	MaxValue int
	// NoTrailer says that dumps without the lines that a program writes first and last are expected (mysqldump --compact).
	// Nothing tells whether such a dump was cut off between two statements, so that without this its censuses are not complete.
	NoTrailer bool
	// Taken is when the backup was begun, for Census.Started. Zero: not known, so that it proves nothing of now.
	Taken time.Time
}

func (c *Config) check() error {
	if c.MaxValue < 0 {
		return fmt.Errorf("rekeydump: Config.MaxValue is negative: %w", kmsmigrate.ErrInvalid)
	}
	if c.MaxValue == 0 {
		c.MaxValue = 16 << 20
	}
	for _, t := range c.Tables {
		switch {
		case t.Name == "":
			return fmt.Errorf("rekeydump: Table.Name is empty: %w", kmsmigrate.ErrInvalid)
		case (t.Value == "") == (len(t.Values) == 0):
			return fmt.Errorf("rekeydump: table %q: name the encrypted column in Value, or several in Values: %w", t.Name, kmsmigrate.ErrInvalid)
		case c.Codec == nil && c.CodecFor == nil:
			return fmt.Errorf("rekeydump: declared tables need Config.Codec or CodecFor: %w", kmsmigrate.ErrInvalid)
		}
	}
	return nil
}

// counter counts the rows of all tables.
type counter struct {
	Config
	most    int
	rows    int64
	columns map[place]*counting
	seen    []bool // which of Tables there are
	reading string // the file, in a directory
	notes   []string
	partial bool // a dump may have been cut off
}

// place is where a count belongs to.
type place struct {
	name
	column string
}

// counting is one line of the report in the making.
type counting struct {
	table     *rekeysql.Table // nil where it is not declared
	rows      int64
	empty     int64
	tally     *rekey.Tally
	classes   map[string]*rekey.Tally
	sightings int64
}

func newCounter(c Config) (*counter, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &counter{Config: c, most: c.MaxValue, columns: map[place]*counting{}, seen: make([]bool, len(c.Tables))}, nil
}

// target is a table's columns and who counts them.
type target struct {
	parts  []part
	others []other
}

// part is a declared record in a row.
type part struct {
	*counting
	values, context []int // where its columns are
}

// other is a column that is not declared.
type other struct {
	*counting
	at int
}

// defined says that a table is there, also where it has no rows.
func (c *counter) defined(n name, fields []field, line int64) error {
	if fields == nil || !slices.ContainsFunc(c.Tables, func(t rekeysql.Table) bool { return matches(t, n) }) {
		return nil
	}
	_, err := c.declared(n, fields, line)
	return err
}

// matches tells whether a declaration is of a table. A schema that one of them does not name can be any.
func matches(t rekeysql.Table, n name) bool {
	return strings.EqualFold(t.Name, n.table) && (t.Schema == "" || n.schema == "" || strings.EqualFold(t.Schema, n.schema))
}

func (c *counter) declared(n name, fields []field, line int64) (parts []part, err error) {
	for i := range c.Tables {
		t := &c.Tables[i]
		if !matches(*t, n) {
			continue
		}
		values := t.Values
		if t.Value != "" {
			values = []string{t.Value}
		}
		p := part{}
		if p.values, err = find(n, fields, values, line); err != nil {
			return nil, err
		}
		if p.context, err = find(n, fields, t.Columns, line); err != nil {
			return nil, err
		}
		c.seen[i] = true
		p.counting = c.at(place{n, strings.Join(values, "+")}, t)
		parts = append(parts, p)
	}
	return parts, nil
}

// find returns where columns are.
func find(n name, fields []field, columns []string, line int64) (at []int, err error) {
	for _, column := range columns {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == column })
		if i < 0 {
			i = slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, column) })
		}
		if i < 0 {
			if len(fields) == 0 || fields[0].guessed {
				return nil, wrong(line, "nothing tells which columns %s has: dump the tables' definitions too, or with column names", n)
			}
			if fields[0].cell {
				return nil, wrong(line, "%s has no column %q in the line that names them; where the file has no such line, give CSV.Header", n, column)
			}
			has := make([]string, 0, len(fields))
			for _, f := range fields {
				has = append(has, f.name)
			}
			return nil, wrong(line, "%s has no column %q here; it has %s", n, column, strings.Join(has, ", "))
		}
		at = append(at, i)
	}
	return at, nil
}

func (c *counter) at(p place, t *rekeysql.Table) *counting {
	count := c.columns[p]
	if count == nil {
		count = &counting{table: t, tally: rekey.NewTally(c.Taken)}
		c.columns[p] = count
	}
	return count
}

// target finds out who counts the rows of a table.
func (c *counter) target(n name, fields []field, line int64) (*target, error) {
	to := new(target)
	var err error
	if to.parts, err = c.declared(n, fields, line); err != nil || c.OnlyDeclared {
		return to, err
	}
	known := map[int]bool{}
	for _, p := range to.parts {
		for _, at := range p.values {
			known[at] = true
		}
	}
	for i, f := range fields {
		if !known[i] {
			to.others = append(to.others, other{c.at(place{n, f.name}, nil), i})
		}
	}
	return to, nil
}

// guess names the columns of a table that nobody has defined.
func guess(n int) []field {
	fields := make([]field, n)
	for i := range fields {
		fields[i] = field{name: fmt.Sprintf("column %d", i+1), guessed: true}
	}
	return fields
}

// row counts one row.
func (c *counter) row(to *target, row []value) {
	c.rows++
	for _, p := range to.parts {
		c.record(p, row)
	}
	for _, o := range to.others {
		o.rows++
		v := &row[o.at]
		switch {
		case v.null || len(v.raw) == 0:
			o.empty++
		case v.bare:
		default:
			if s, ok := rekeysql.Look(v.raw); ok {
				o.sightings++
				o.tally.Add(sighted{c.Codec, s.Form}, rekey.Record{Value: head(s)})
			}
		}
	}
}

// head is what sighted inspects: the beginning of a ciphertext, or something else that is not empty.
func head(s rekeysql.Sighting) []byte {
	if s.Head == nil {
		return []byte{0}
	}
	return s.Head
}

// record counts the record that a declaration makes of a row.
func (c *counter) record(p part, row []value) {
	p.rows++
	values := make([][]byte, len(p.values))
	held, cut := false, false
	for i, at := range p.values {
		if v := &row[at]; !v.null {
			values[i] = v.raw
			held = held || len(v.raw) > 0
			cut = cut || v.cut
		}
	}
	if !held {
		p.empty++
		return
	}
	rec := rekey.Record{Value: values[0]}
	if len(values) > 1 {
		rec.Value = kmsmigrate.Pack(values...)
	}
	if p.table.Context != nil && (c.CodecFor != nil || c.By != nil) {
		columns := make(map[string]string, len(p.context))
		for i, at := range p.context {
			if !row[at].null {
				columns[p.table.Columns[i]] = string(row[at].raw)
			}
		}
		rec.Context = p.table.Context(columns)
	}
	codec := c.Codec
	if c.CodecFor != nil {
		if chosen, err := c.CodecFor(*p.table, rec); err != nil {
			codec = unreadable{}
		} else if chosen != nil {
			codec = chosen
		}
	}
	if cut || codec == nil {
		codec = unreadable{}
	}
	p.tally.Add(codec, rec)
	if c.By != nil {
		class := c.By(*p.table, rec)
		if p.classes[class] == nil {
			if p.classes == nil {
				p.classes = map[string]*rekey.Tally{}
			}
			p.classes[class] = rekey.NewTally(c.Taken)
		}
		p.classes[class].Add(codec, rec)
	}
}

// missing names the declared tables that are not there.
func (c *counter) missing() error {
	var names []string
	for i, seen := range c.seen {
		if !seen {
			names = append(names, c.Tables[i].Name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("rekeydump: declared and not there: %s: %w", strings.Join(names, ", "), kmsmigrate.ErrInvalid)
	}
	return nil
}

// unreadable is the codec of records that have none.
type unreadable struct{ rekey.Codec }

func (unreadable) Inspect([]byte) (kmsmigrate.Info, error) {
	return kmsmigrate.Info{}, errors.New("unreadable")
}

// sighted is the codec of ciphertext that was found. It tells the key version where codec does not know whose it is.
type sighted struct {
	rekey.Codec
	form string
}

func (s sighted) Inspect(head []byte) (kmsmigrate.Info, error) {
	found := kmsmigrate.Copy{}
	if version, ok := kmsmigrate.BlobVersion(head); ok {
		found.Key.VersionID = version
		found.Key.KeyID, _ = kmsmigrate.KeyOfVersion(version)
		if s.Codec != nil {
			if info, err := s.Codec.Inspect(head); err == nil {
				if known, ok := info.Standing(); ok && known.Side != kmsmigrate.SideUnknown {
					found = known
				}
			}
		}
	}
	return kmsmigrate.Info{Layout: s.form, Copies: []kmsmigrate.Copy{found}}, nil
}
