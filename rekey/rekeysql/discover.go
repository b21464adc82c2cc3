package rekeysql

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Found is a column that seems to hold KMS ciphertext.
type Found struct {
	Schema, Table, Column string
	Type                  string           // the column's type
	Forms                 map[string]int64 // by form: how many of the values looked at
	Looked                int64            // values looked at that were not NULL
	Declared              bool             // a Table given to Discover covers it
	Example               string           // the id of the key version in one of the values, which is not secret
}

// The forms that Discover knows. What it cannot know is ciphertext without a marker: the four-field form of the instance SDK
// (a JSON or a struct of key id, IV, ciphertext and algorithm in columns of their own) and formats of an application's own.
const (
	FormBlob   = "CiphertextBlob, binary"  // starts with the id of a key version
	FormBase64 = "CiphertextBlob, base64"  // the same as text
	FormLine   = "CiphertextBlob in a row" // text that has one as a line or a field: the three-line sample, CSV
	FormJSON   = "CiphertextBlob in JSON"  // a JSON document that holds one
)

// Discover looks at the text and binary columns of every table of a schema (of the connection's own where it is empty),
// at perColumn values of each (zero: 200), and returns the columns in which some look like KMS ciphertext: those that no
// declaration covers come first. It reads rows without an order, so that it is cheap on large tables, and can miss a
// column in which ciphertext is rare.
func Discover(ctx context.Context, db DB, schema string, perColumn int, declared ...Table) ([]Found, error) {
	if db == nil || perColumn < 0 {
		return nil, fmt.Errorf("rekeysql: Discover needs a database, and a number that is not negative: %w", kmsmigrate.ErrInvalid)
	}
	if perColumn == 0 {
		perColumn = 200
	}
	f, err := flavorOf(ctx, db, Auto)
	if err != nil {
		return nil, err
	}
	tables, err := f.tables(ctx, db, schema)
	if err != nil {
		return nil, fmt.Errorf("rekeysql: reading the catalogue: %w", err)
	}
	covered := map[[2]string]bool{}
	for _, t := range declared {
		for _, value := range append([]string{t.Value}, t.Values...) {
			covered[[2]string{t.Name, value}] = true
		}
	}
	var all []Found
	for _, name := range tables {
		t := Table{Schema: schema, Name: name}
		found, err := lookAll(ctx, db, f, t, perColumn)
		if err != nil {
			now, listing := f.tables(ctx, db, schema)
			if listing == nil && !slices.Contains(now, name) {
				continue // it was dropped meanwhile
			}
			return nil, err
		}
		for _, column := range found {
			column.Declared = covered[[2]string{name, column.Column}]
			all = append(all, column)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return !all[i].Declared && all[j].Declared })
	return all, nil
}

// lookAll looks at the columns of a table.
func lookAll(ctx context.Context, db DB, f flavor, t Table, limit int) (all []Found, err error) {
	d, err := f.describe(ctx, db, t)
	if err != nil {
		return nil, err
	}
	for _, c := range d.columns {
		if !c.text && !c.binary && !strings.Contains(strings.ToLower(c.kind), "json") {
			continue
		}
		found, err := look(ctx, db, f, t, c, limit)
		if err != nil {
			return nil, err
		}
		if len(found.Forms) > 0 {
			all = append(all, found)
		}
	}
	return all, nil
}

// look reads some values of a column.
func look(ctx context.Context, db DB, f flavor, t Table, c column, limit int) (Found, error) {
	found := Found{Schema: t.Schema, Table: t.Name, Column: c.name, Type: c.kind, Forms: map[string]int64{}}
	name := f.quote(t.Name)
	if t.Schema != "" {
		name = f.quote(t.Schema) + "." + name
	}
	column := f.quote(c.name)
	if !c.text && !c.binary {
		column = "CAST(" + column + " AS " + f.textType() + ")"
	}
	statement := fmt.Sprintf("SELECT %s FROM %s WHERE %s IS NOT NULL LIMIT %d", column, name, f.quote(c.name), limit)
	var value anyCell
	err := each(ctx, db, statement, nil, func(rows *sql.Rows) error {
		if err := rows.Scan(&value); err != nil {
			return err
		}
		found.Looked++
		if form, version := formOf(value.raw); form != "" {
			found.Forms[form]++
			found.Example = version
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("rekeysql: looking at %s.%s: %w", t.Name, c.name, err)
	}
	return found, nil
}

// anyCell is a cell that takes what is neither text nor bytes for nothing: SQLite's columns hold anything.
type anyCell struct{ cell }

// Scan implements [sql.Scanner].
func (c *anyCell) Scan(src any) error {
	if err := c.cell.Scan(src); err != nil {
		c.null, c.raw = true, nil
	}
	return nil
}

// formOf tells whether a value looks like KMS ciphertext, in which form, and of which key version.
func formOf(value []byte) (form, version string) {
	if id, ok := kmsmigrate.BlobVersion(value); ok {
		return FormBlob, id
	}
	text := strings.TrimSpace(string(value))
	if id, ok := encoded(text); ok && !strings.ContainsAny(text, "\r\n\t ,;:|$.\"'") {
		return FormBase64, id
	}
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		var document any
		if json.Unmarshal([]byte(text), &document) == nil {
			if id, ok := inJSON(document, 0); ok {
				return FormJSON, id
			}
			return "", ""
		}
	}
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\t ,;:|\"'$.", r) }) {
		if id, ok := encoded(field); ok {
			return FormLine, id
		}
	}
	return "", ""
}

// encoded reports whether a text is a base64 ciphertext, by its first 48 characters.
func encoded(text string) (version string, ok bool) {
	const head = kmsmigrate.VersionIDSize / 3 * 4
	if len(text) < head || base64.StdEncoding.DecodedLen(len(text)) < kmsmigrate.BlobOverhead {
		return "", false
	}
	id, err := base64.StdEncoding.DecodeString(text[:head])
	if err != nil {
		return "", false
	}
	return kmsmigrate.BlobVersion(append(id, make([]byte, kmsmigrate.BlobOverhead)...))
}

// inJSON looks for a ciphertext among the strings of a document.
func inJSON(v any, depth int) (version string, ok bool) {
	const deep = 20
	if depth > deep {
		return "", false
	}
	switch v := v.(type) {
	case string:
		if form, id := formOf([]byte(v)); form != "" {
			return id, true
		}
	case []any:
		for _, e := range v {
			if id, ok := inJSON(e, depth+1); ok {
				return id, true
			}
		}
	case map[string]any:
		for _, e := range v {
			if id, ok := inJSON(e, depth+1); ok {
				return id, true
			}
		}
	}
	return "", false
}

// names reads one column of names.
func names(ctx context.Context, db DB, query string, args ...any) (all []string, err error) {
	err = each(ctx, db, query, args, func(rows *sql.Rows) error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		all = append(all, name)
		return nil
	})
	return all, err
}

func (f sqlite) tables(ctx context.Context, db DB, schema string) ([]string, error) {
	if schema == "" {
		schema = "main"
	}
	return names(ctx, db, "SELECT name FROM "+f.quote(schema)+".sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
}

func (sqlite) textType() string { return "TEXT" }

func (mysql) tables(ctx context.Context, db DB, schema string) ([]string, error) {
	return names(ctx, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_type = 'BASE TABLE' ORDER BY table_name", schema)
}

func (mysql) textType() string { return "CHAR" }

func (postgres) tables(ctx context.Context, db DB, schema string) ([]string, error) {
	return names(ctx, db, `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = COALESCE(NULLIF($1::text, ''), current_schema()) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname`, schema)
}

func (postgres) textType() string { return "text" }
