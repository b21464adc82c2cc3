package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// firstPage is how many rows the first page has, before the length of values is known.
const firstPage = 100

// Scan implements [rekey.Scanner], in the order of the key. Each page is read whole and its rows are closed before its
// records are yielded. Rows whose columns are NULL are yielded with an empty Value.
func (s *Store) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	return s.scan(ctx, r, min(firstPage, s.table.PageRows))
}

func (s *Store) scan(ctx context.Context, r rekey.Range, rows int) iter.Seq2[rekey.Record, error] {
	return func(yield func(rekey.Record, error) bool) {
		after, started := r.After, r.After != ""
		var way progress
		for {
			page, size, err := s.page(ctx, after, started, r.Through, rows)
			if err == nil {
				err = s.advances(&way, after, page)
			}
			if err != nil {
				yield(rekey.Record{}, err)
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
			}
			if len(page) < rows {
				return
			}
			after, started = page[len(page)-1].ID, true
			perRow := max(1, size/int64(len(page)))
			rows = int(max(1, min(int64(s.table.PageRows), s.table.PageBytes/perRow)))
		}
	}
}

// progress finds out whether a scan has come back to where it was, by Brent's method: a place is kept, and after 1, 2, 4, 8
// pages another.
type progress struct {
	kept        string
	pages, keep int
}

// advances returns an error where a page shows that the database's order is not that of its comparisons: then rows would be
// left out or come again for ever.
func (s *Store) advances(way *progress, after string, page []rekey.Record) error {
	if len(page) == 0 {
		return nil
	}
	before := after
	for _, rec := range page {
		if rec.ID == before {
			return s.table.wrong("two rows have the key %q, or the scan does not advance: the key is not unique, or not ordered as it compares", rec.ID)
		}
		before = rec.ID
	}
	last := page[len(page)-1].ID
	if last == way.kept {
		return s.table.wrong("the scan does not advance: after the key %q it came to the same one again", last)
	}
	if way.pages++; way.pages > way.keep {
		way.kept, way.pages, way.keep = last, 0, max(1, 2*way.keep)
	}
	return nil
}

// page reads up to limit rows, and how many bytes they have.
func (s *Store) page(ctx context.Context, after string, started bool, through string, limit int) (page []rekey.Record, size int64, err error) {
	q := s.selecting(s.columns())
	if err := s.between(q, after, started, through); err != nil {
		return nil, 0, err
	}
	s.inOrder(q)
	q.text(fmt.Sprintf(" LIMIT %d", limit))
	rows, err := s.db.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return nil, 0, fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
	}
	defer func() { _ = rows.Close() }()
	into := s.newRow()
	for rows.Next() {
		rec, err := s.record(rows, into)
		if err != nil {
			return nil, 0, err
		}
		size += int64(len(rec.Value) + len(rec.ID))
		page = append(page, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
	}
	return page, size, nil
}

func (s *Store) inOrder(q *query) {
	q.text(" ORDER BY ")
	for i, c := range s.key {
		q.comma(i)
		q.text(s.flavor.quote(c.name))
	}
}

// columns is what a record is made of.
func (s *Store) columns() string {
	names := make([]string, 0, len(s.key)+len(s.values)+len(s.table.Columns))
	for _, c := range s.key {
		names = append(names, s.flavor.keyText(c))
	}
	for _, c := range s.values {
		names = append(names, s.flavor.quote(c.name))
	}
	for _, name := range s.table.Columns {
		names = append(names, s.flavor.quote(name))
	}
	return strings.Join(names, ", ")
}

// selecting begins a query on the declared rows.
func (s *Store) selecting(what string) *query {
	q := &query{flavor: s.flavor}
	q.text("SELECT " + what + " FROM " + s.name + " WHERE ")
	if s.table.Where == "" {
		q.text("1 = 1")
	} else {
		q.text("(" + s.table.Where + ")")
	}
	return q
}

// between limits a query to keys after one and through another.
func (s *Store) between(q *query, after string, started bool, through string) error {
	if started {
		args, err := s.arguments(after)
		if err != nil {
			return err
		}
		q.text(" AND ")
		s.compare(q, ">", args)
	}
	if through != "" {
		args, err := s.arguments(through)
		if err != nil {
			return err
		}
		q.text(" AND ")
		s.compare(q, "<=", args)
	}
	return nil
}

// compare writes the comparison of the key with args. A key of several columns is written out: MySQL does not use an
// index for the comparison of rows.
func (s *Store) compare(q *query, op string, args []any) {
	strict := op[:1]
	last := len(s.key) - 1
	for i, c := range s.key {
		name := s.flavor.quote(c.name)
		if i == last {
			q.text(name + " " + op + " ")
			q.arg(args[i], c)
			break
		}
		q.text(name + " " + strict + "= ")
		q.arg(args[i], c)
		q.text(" AND (" + name + " " + strict + " ")
		q.arg(args[i], c)
		q.text(" OR ")
	}
	q.text(strings.Repeat(")", last))
}

// cell takes one column of any driver. Unlike sql.RawBytes it tells NULL from what is empty.
type cell struct {
	null bool
	raw  []byte // a copy
}

// Scan implements [sql.Scanner].
func (c *cell) Scan(src any) error {
	c.null, c.raw = false, nil
	switch v := src.(type) {
	case nil:
		c.null = true
	case []byte:
		c.raw = append([]byte{}, v...)
	case string:
		c.raw = []byte(v)
	case int64:
		c.raw = strconv.AppendInt(nil, v, 10)
	case uint64:
		c.raw = strconv.AppendUint(nil, v, 10)
	default:
		return fmt.Errorf("the driver returns a %T, where text, bytes or an integer is expected: %w", src, kmsmigrate.ErrInvalid)
	}
	return nil
}

// row is where a row is scanned into.
type row struct {
	key, values []cell
	columns     []sql.NullString
	into        []any
}

func (s *Store) newRow() *row {
	r := &row{key: make([]cell, len(s.key)), values: make([]cell, len(s.values)), columns: make([]sql.NullString, len(s.table.Columns))}
	for i := range r.key {
		r.into = append(r.into, &r.key[i])
	}
	for i := range r.values {
		r.into = append(r.into, &r.values[i])
	}
	for i := range r.columns {
		r.into = append(r.into, &r.columns[i])
	}
	return r
}

// record makes a record of the current row.
func (s *Store) record(rows *sql.Rows, r *row) (rekey.Record, error) {
	if err := rows.Scan(r.into...); err != nil {
		return rekey.Record{}, fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
	}
	parts := make([]string, len(s.key))
	for i, c := range s.key {
		if r.key[i].null {
			return rekey.Record{}, s.table.wrong("a row has NULL in the key column %q", c.name)
		}
		part, err := c.keyPart(r.key[i].raw)
		if err != nil {
			return rekey.Record{}, s.table.wrong("%v", err)
		}
		parts[i] = part
	}
	rec := rekey.Record{ID: formatID(parts)}
	values, held := make([][]byte, len(r.values)), false
	for i, v := range r.values {
		if !v.null {
			values[i] = v.raw
		}
		held = held || len(v.raw) > 0
	}
	if held {
		rec.Value = s.join(values)
	}
	rec.Context = s.context(r.columns)
	return rec, nil
}

func (s *Store) context(columns []sql.NullString) kmsmigrate.EncryptionContext {
	if s.table.Context == nil {
		return nil
	}
	row := make(map[string]string, len(columns))
	for i, c := range columns {
		if c.Valid {
			row[s.table.Columns[i]] = c.String
		}
	}
	return s.table.Context(row)
}

// Count implements [rekey.Counter]. It counts the rows, those included that hold nothing.
func (s *Store) Count(ctx context.Context, r rekey.Range) (n int64, err error) {
	q := s.selecting("COUNT(*)")
	if err := s.between(q, r.After, r.After != "", r.Through); err != nil {
		return 0, err
	}
	err = s.one(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n, err
}

// Get implements [rekey.Getter].
func (s *Store) Get(ctx context.Context, id string) (rec rekey.Record, err error) {
	args, err := s.arguments(id)
	if err != nil {
		return rekey.Record{}, err
	}
	q := s.selecting(s.columns())
	q.text(" AND ")
	s.equal(q, args)
	err = s.one(ctx, q, func(rows *sql.Rows) error {
		rec, err = s.record(rows, s.newRow())
		return err
	})
	if err == nil && rec.ID == "" {
		err = s.conflict(id)
	}
	return rec, err
}

// equal writes the condition that finds one row.
func (s *Store) equal(q *query, args []any) {
	for i, c := range s.key {
		if i > 0 {
			q.text(" AND ")
		}
		q.text(s.flavor.quote(c.name) + " = ")
		q.arg(args[i], c)
	}
}

// one runs a query that has one row at most.
func (s *Store) one(ctx context.Context, q *query, read func(*sql.Rows) error) error {
	rows, err := s.db.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
	}
	return nil
}

// query is a statement in the making.
type query struct {
	strings.Builder
	flavor flavor
	args   []any
}

func (q *query) text(s string) { q.WriteString(s) }

func (q *query) comma(i int) {
	if i > 0 {
		q.text(", ")
	}
}

// arg adds an argument and its placeholder.
func (q *query) arg(v any, c column) {
	q.args = append(q.args, v)
	q.text(q.flavor.placeholder(len(q.args), c))
}
