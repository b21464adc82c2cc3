package rekeysql

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// sqlite is SQLite. Its columns have no types, only values do: what was text stays text and what was a BLOB stays one,
// because the two are never equal.
type sqlite struct{}

func (sqlite) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (sqlite) placeholder(int, column) string { return "?" }

// keyText puts the storage class before the key, as storageClass reads it.
func (f sqlite) keyText(c column) string {
	name := f.quote(c.name)
	return "CASE typeof(" + name + ") WHEN 'null' THEN NULL WHEN 'integer' THEN 'i' || " + name +
		" WHEN 'text' THEN 't' || " + name + " WHEN 'blob' THEN 'b' || hex(" + name + ") ELSE typeof(" + name + ") END"
}

func (f sqlite) swap(ctx context.Context, s *Store, key []any, was, will [][]byte) (int64, error) {
	return s.exec(ctx, f.update(s, key, was, will))
}

func (sqlite) update(s *Store, key []any, was, will [][]byte) *query {
	q := &query{flavor: s.flavor}
	q.text("UPDATE " + s.name + " SET ")
	s.assign(q, will, func(q *query, c column, value []byte) {
		if value == nil {
			q.text("NULL")
			return
		}
		q.text("CASE typeof(" + s.flavor.quote(c.name) + ") WHEN 'text' THEN ")
		q.arg(string(value), c)
		q.text(" ELSE ")
		q.arg(value, c)
		q.text(" END")
	})
	q.text(" WHERE ")
	s.matching(q, key, was, func(q *query, c column, value []byte) {
		name := s.flavor.quote(c.name)
		q.text("CASE typeof(" + name + ") WHEN 'text' THEN " + name + " = ")
		q.arg(string(value), c)
		q.text(" COLLATE BINARY WHEN 'blob' THEN " + name + " = ")
		q.arg(value, c)
		q.text(" ELSE 0 END")
	})
	return q
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (sqlite) about(err error) topic {
	const busy, locked, tooBig, constraint, mismatch = 5, 6, 18, 19, 20
	code := 0
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		code = coded.Code() & 0xff // extended codes have more above
	}
	switch text := err.Error(); {
	case code == busy, code == locked, strings.Contains(text, "database is locked"), strings.Contains(text, "table is locked"):
		return aboutLock
	case code == tooBig, code == constraint, code == mismatch, strings.Contains(text, "constraint failed"):
		return aboutValue
	default:
		return aboutStore
	}
}

func (f sqlite) describe(ctx context.Context, db DB, t Table) (d definition, err error) {
	schema := t.Schema
	if schema == "" {
		schema = "main"
	}
	kind, err := ask(ctx, db, "SELECT type FROM "+f.quote(schema)+".sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')", t.Name)
	switch {
	case err != nil:
		return d, t.wrong("reading the catalogue: %v", err)
	case kind == "":
		return d, t.wrong("there is no such table")
	case kind == "view":
		return d, t.wrong("it is a view: name the table behind it")
	}
	var primary []string
	err = each(ctx, db, "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?, ?)", []any{t.Name, schema}, func(rows *sql.Rows) error {
		var c column
		var notNull bool
		var pk, hidden int
		if err := rows.Scan(&c.name, &c.kind, &notNull, &pk, &hidden); err != nil {
			return err
		}
		c.generated = hidden > 1
		c.binary = true // a column takes everything
		c.key, c.classed = liteKey(c.kind), true
		// A primary key may be NULL in SQLite where nothing says NOT NULL. Most schemas do not mean it: a row that
		// really has NULL there is found by the scan.
		c.nullable = !notNull && pk == 0
		if pk > 0 {
			primary = append(primary, c.name)
		}
		d.columns = append(d.columns, c)
		return nil
	})
	if err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	d.indexes = append(d.indexes, primary)
	indexes := map[string][]string{}
	err = each(ctx, db, `SELECT l.name, x.name FROM pragma_index_list(?, ?) l, pragma_index_xinfo(l.name, ?) x
		WHERE l."unique" = 1 AND l.partial = 0 AND x.key = 1 ORDER BY l.name, x.seqno`, []any{t.Name, schema, schema}, func(rows *sql.Rows) error {
		var index string
		var name sql.NullString // NULL for an expression, which is no column
		if err := rows.Scan(&index, &name); err != nil {
			return err
		}
		indexes[index] = append(indexes[index], name.String)
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

// liteKey tells the affinity of a declared type, by SQLite's own rules.
func liteKey(declared string) keyKind {
	declared = strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(declared, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return keyInt
	case has("CHAR", "CLOB", "TEXT"):
		return keyText
	case declared == "", has("BLOB"):
		return keyBytes
	default:
		return keyUnusable
	}
}
