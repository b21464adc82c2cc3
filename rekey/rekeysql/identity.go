package rekeysql

import (
	"context"
	"fmt"
	"strings"
)

// Identity implements [rekey.Identifier]: the kind of database, its name (in SQLite its file), the schema, table, key, columns
// and Where. It does not tell servers apart, because a replica's rows are the primary's: tables of one name on several servers
// need names of their own.
func (s *Store) Identity() string {
	identity := fmt.Sprintf("%s table %q key %q columns %q", s.where, s.table.Name, s.table.Key, s.table.Values)
	if s.table.Where != "" {
		identity += " where " + s.table.Where
	}
	return identity
}

// Condition implements [rekey.Identifier]: Table.Where.
func (s *Store) Condition() string { return s.table.Where }

func (f sqlite) where(ctx context.Context, db DB, t Table) (string, error) {
	schema := strings.ToLower(t.Schema)
	if schema == "" {
		schema = "main"
	}
	file, err := ask(ctx, db, "SELECT COALESCE(file, '') FROM pragma_database_list WHERE name = ? COLLATE NOCASE", schema)
	return fmt.Sprintf("sqlite %q", file), err // the file of a schema: another connection may attach it under another name
}

func (mysql) where(ctx context.Context, db DB, t Table) (string, error) {
	name, err := ask(ctx, db, "SELECT COALESCE(NULLIF(?, ''), DATABASE())", t.Schema)
	return fmt.Sprintf("mysql %q", name), err
}

func (f postgres) where(ctx context.Context, db DB, t Table) (string, error) {
	name := f.quote(t.Name)
	if t.Schema != "" {
		name = f.quote(t.Schema) + "." + name
	}
	where, err := ask(ctx, db, `SELECT current_database() || '.' || n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass($1::text)`, name)
	return fmt.Sprintf("postgresql %q", where), err
}
