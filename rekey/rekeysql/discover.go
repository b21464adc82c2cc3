package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Discovery is what [Discover] found, and what it cannot find.
type Discovery struct {
	Found []Found `json:"found"`
	// Undiscoverable names the forms that nothing tells from other data. It is never empty: a Discovery without a Found
	// does not say that there is no ciphertext. Ask the application's authors for these.
	Undiscoverable []string `json:"undiscoverable"`
}

// Undiscoverable returns what [Look] cannot tell from other data.
func Undiscoverable() []string {
	return []string{
		"the four-field form of the instance SDK (a wrapped data key, its IV, the payload's IV and the payload) in columns of their own: none of them has a marker",
		"formats of the application's own, and ciphertext that is compressed, encoded as hexadecimal or encrypted once more",
	}
}

// Found is a column that seems to hold KMS ciphertext.
type Found struct {
	Schema   string           `json:"schema,omitempty"`
	Table    string           `json:"table"`
	Column   string           `json:"column"`
	Type     string           `json:"type"`              // the column's type
	Forms    map[string]int64 `json:"forms"`             // by form: how many of the values looked at
	Looked   int64            `json:"looked"`            // values looked at that were not NULL
	Declared bool             `json:"declared"`          // a Table given to Discover covers it
	Example  string           `json:"example,omitempty"` // the id of the key version in one of the values, which is not secret
}

// Discover looks at the text and binary columns of every table of a schema (of the connection's own where it is empty),
// at perColumn values of each (zero: 200), and returns the columns in which some look like KMS ciphertext: those that no
// declaration covers come first. It reads rows without an order, so that it is cheap on large tables, and can miss a
// column in which ciphertext is rare.
func Discover(ctx context.Context, db DB, schema string, perColumn int, declared ...Table) (Discovery, error) {
	if db == nil || perColumn < 0 {
		return Discovery{}, fmt.Errorf("rekeysql: Discover needs a database, and a number that is not negative: %w", kmsmigrate.ErrInvalid)
	}
	if perColumn == 0 {
		perColumn = 200
	}
	f, err := flavorOf(ctx, db, Auto)
	if err != nil {
		return Discovery{}, err
	}
	tables, err := f.tables(ctx, db, schema)
	if err != nil {
		return Discovery{}, fmt.Errorf("rekeysql: reading the catalogue: %w", err)
	}
	covered := map[[2]string]bool{}
	for _, t := range declared {
		for _, value := range append([]string{t.Value}, t.Values...) {
			covered[[2]string{t.Name, value}] = true
		}
	}
	all := []Found{}
	for _, name := range tables {
		t := Table{Schema: schema, Name: name}
		found, err := lookAll(ctx, db, f, t, perColumn)
		if err != nil {
			now, listing := f.tables(ctx, db, schema)
			if listing == nil && !slices.Contains(now, name) {
				continue // it was dropped meanwhile
			}
			return Discovery{}, err
		}
		for _, column := range found {
			column.Declared = covered[[2]string{name, column.Column}]
			all = append(all, column)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return !all[i].Declared && all[j].Declared })
	return Discovery{Found: all, Undiscoverable: Undiscoverable()}, nil
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
		found, err := lookAt(ctx, db, f, t, c, limit)
		if err != nil {
			return nil, err
		}
		if len(found.Forms) > 0 {
			all = append(all, found)
		}
	}
	return all, nil
}

// lookAt reads some values of a column.
func lookAt(ctx context.Context, db DB, f flavor, t Table, c column, limit int) (Found, error) {
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
		if s, ok := Look(value.raw); ok {
			found.Forms[s.Form]++
			if s.Version != "" {
				found.Example = s.Version
			}
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
