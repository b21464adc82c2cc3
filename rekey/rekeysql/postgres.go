package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// postgres is PostgreSQL 12 or later.
type postgres struct{}

func (postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// placeholder names the type, so that the server does not guess another one.
func (postgres) placeholder(n int, c column) string { return fmt.Sprintf("$%d::%s", n, c.kind) }

func (f postgres) keyText(c column) string {
	if c.key == keyUUID {
		return f.quote(c.name) + "::text"
	}
	return f.quote(c.name)
}

// swap locks the row first, and gives up at once where somebody else has it: lock_timeout would need a transaction and
// two more round trips. Text is compared under the collation "C", because others can take different bytes for equal.
func (f postgres) swap(ctx context.Context, s *Store, key []any, was, will [][]byte) (int64, error) {
	same := func(q *query, c column, value []byte) {
		name := s.flavor.quote(c.name)
		if c.padded { // a cast to text would cut the spaces that the column pads with; concat shows what is read
			q.text(name + " IS NOT NULL AND ")
			name = "concat(" + name + ")"
		}
		q.text(name)
		if c.text {
			q.text(`::text COLLATE "C"`)
			c.kind = "text"
		}
		q.text(" = ")
		q.arg(c.argument(value), c)
	}
	busy := " FOR NO KEY UPDATE NOWAIT"
	if s.inTx {
		busy = " FOR NO KEY UPDATE SKIP LOCKED" // an error would end the caller's transaction
	}
	q := &query{flavor: s.flavor}
	q.text("WITH held AS (SELECT 1 FROM " + s.name + " WHERE ")
	s.matching(q, key, was, same)
	q.text(busy + ") UPDATE " + s.name + " SET ")
	s.assign(q, will, plainArg)
	q.text(" WHERE EXISTS (SELECT 1 FROM held) AND ")
	s.matching(q, key, was, same)
	return affected(s.db.ExecContext(ctx, q.String(), q.args...))
}

func (postgres) about(err error) topic {
	switch state := sqlState(err); {
	case state == "55P03", state == "40P01", state == "40001": // lock not available, deadlock, serialization failure
		return aboutLock
	case strings.HasPrefix(state, "22"), strings.HasPrefix(state, "23"), state == "P0001", state == "44000": // data, constraints, RAISE
		return aboutValue
	default:
		return aboutStore
	}
}

func (f postgres) describe(ctx context.Context, db DB, t Table) (d definition, err error) {
	name := f.quote(t.Name)
	if t.Schema != "" {
		name = f.quote(t.Schema) + "." + name
	}
	kind, err := ask(ctx, db, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1::text)", name)
	switch {
	case err != nil:
		return d, t.wrong("reading the catalogue: %v", err)
	case kind == "":
		return d, t.wrong("there is no such table in the search path")
	case kind != "r" && kind != "p":
		return d, t.wrong("it is a view, an index or a foreign table: name the table behind it")
	}
	if d.refused, err = f.hidden(ctx, db, name, kind); err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	err = each(ctx, db, `SELECT a.attname::text, format_type(a.atttypid, NULL), COALESCE(b.typname, y.typname)::text, NOT a.attnotnull, a.atttypmod, a.attgenerated <> ''
		FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = y.typbasetype AND y.typtype = 'd'
		WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, []any{name}, func(rows *sql.Rows) error {
		var c column
		var base string
		var mod int64
		if err := rows.Scan(&c.name, &c.kind, &base, &c.nullable, &mod, &c.generated); err != nil {
			return err
		}
		f.kind(&c, base, mod)
		d.columns = append(d.columns, c)
		return nil
	})
	if err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	indexes := map[string][]string{}
	err = each(ctx, db, `SELECT i.indexrelid::text, a.attname::text FROM pg_index i
		JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) ON k.n <= i.indnkeyatts
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = to_regclass($1::text) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
		ORDER BY i.indexrelid, k.n`, []any{name}, func(rows *sql.Rows) error {
		var index, name string
		if err := rows.Scan(&index, &name); err != nil {
			return err
		}
		indexes[index] = append(indexes[index], name)
		return nil
	})
	if err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	for _, columns := range indexes {
		d.indexes = append(d.indexes, columns)
	}
	return d, nil
}

// hidden says why a scan would not see every row by its key, or "". A query of a table that others inherit from reads theirs
// too, and no index makes the key unique across them; row-level security leaves rows out without a word.
func (postgres) hidden(ctx context.Context, db DB, name, kind string) (string, error) {
	const yes = "true"
	parent, err := ask(ctx, db, "SELECT (EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = to_regclass($1::text)))::text", name)
	if err != nil {
		return "", err
	}
	filtered, err := ask(ctx, db, "SELECT row_security_active(to_regclass($1::text)::oid)::text", name)
	switch {
	case err != nil:
		return "", err
	case kind == "r" && parent == yes:
		return "other tables inherit from it, so that its key is not unique: declare those by themselves, and move the rows of this one into a table without children", nil
	case filtered == yes:
		return "row-level security hides rows from this user: use one with BYPASSRLS, or the owner of the table", nil
	}
	return "", nil
}

// kind tells what a type can hold and whether it can be a key. mod is what the declaration has in parentheses, plus four.
func (postgres) kind(c *column, base string, mod int64) {
	switch base {
	case "int2", "int4", "int8":
		c.key = keyInt
	case "uuid":
		c.key = keyUUID
	case "text", "citext":
		c.key, c.text = keyText, true
	case "varchar":
		c.key, c.text, c.chars = keyText, true, max(0, mod-4)
	case "bpchar":
		c.kind = "bpchar" // the catalogue says "character", and a cast to that cuts to one
		c.key, c.text, c.chars, c.padded = keyText, true, max(0, mod-4), true
	case "bytea":
		c.key, c.binary = keyBytes, true
	}
}
