package rekeysql

import (
	"fmt"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Table declares where encrypted values are. Name, Key and Value are required. Names are taken as they are, without
// quotes, and are quoted in every statement.
type Table struct {
	// Schema is the database (MySQL) or schema (PostgreSQL, SQLite) of the table; empty for the connection's own.
	Schema string
	// Name is the table's name.
	Name string
	// Key names the columns of its primary key, or of another unique key, in the order of the index. None of them may be
	// NULL. Integers, text, binary and UUIDs can be keys.
	Key []string
	// Value names the column that holds the value: text or binary.
	Value string
	// Values names several encrypted columns instead of one. They are read together and swapped together, and the
	// record's value is kmsmigrate.Pack of them, in this order.
	Values []string
	// Keep names columns that the database changes on every update and that a rewrite must not change: updated_at with
	// ON UPDATE CURRENT_TIMESTAMP in MySQL. A trigger can change them nevertheless.
	Keep []string
	// Where is a condition on the rows, in SQL: "region = 'cn'". It is part of the program and pasted as it is; nothing
	// that comes from outside belongs into it. Soft-deleted rows hold keys too: leave them in.
	Where string
	// Columns names further columns that Context needs.
	Columns []string
	// Context makes the encryption context of a row from the text of Columns; NULL is absent. Nil means that there is none.
	Context func(row map[string]string) kmsmigrate.EncryptionContext
	// Dialect is the kind of database; the zero value finds out.
	Dialect Dialect
	// PageRows and PageBytes bound what a scan reads at once. Zero means 500 rows and 8 MiB. Pages get shorter where
	// values are long.
	PageRows  int
	PageBytes int64
}

// Dialect is a kind of database.
type Dialect uint8

// The dialects. MySQL is MariaDB too.
const (
	Auto Dialect = iota
	SQLite
	MySQL
	PostgreSQL
)

// String returns "auto", "sqlite", "mysql" or "postgresql".
func (d Dialect) String() string {
	switch d {
	case Auto:
		return "auto"
	case SQLite:
		return "sqlite"
	case MySQL:
		return "mysql"
	case PostgreSQL:
		return "postgresql"
	default:
		return fmt.Sprintf("dialect(%d)", uint8(d))
	}
}

// check finds what is wrong with a declaration by itself, and fills in what was left out.
func (t *Table) check() error {
	if t.Value != "" {
		if len(t.Values) > 0 {
			return t.wrong("both Value and Values are set: use one")
		}
		t.Values = []string{t.Value}
	}
	switch {
	case t.Name == "":
		return fmt.Errorf("rekeysql: Table.Name is empty: %w", kmsmigrate.ErrInvalid)
	case len(t.Key) == 0:
		return t.wrong("Key is empty: name the columns of the primary key")
	case len(t.Values) == 0:
		return t.wrong("Value is empty: name the encrypted column")
	case t.Context == nil && len(t.Columns) > 0:
		return t.wrong("Columns are named, and there is no Context that uses them")
	case t.PageRows < 0 || t.PageBytes < 0:
		return t.wrong("PageRows or PageBytes is negative")
	}
	if t.PageRows == 0 {
		t.PageRows = 500
	}
	if t.PageBytes == 0 {
		t.PageBytes = 8 << 20
	}
	t.Key, t.Values, t.Keep, t.Columns = slices.Clone(t.Key), slices.Clone(t.Values), slices.Clone(t.Keep), slices.Clone(t.Columns)
	seen := map[string]bool{}
	for _, name := range slices.Concat(t.Key, t.Values, t.Keep) {
		if name == "" {
			return t.wrong("a column's name is empty")
		}
		if seen[name] {
			return t.wrong("column %q is named twice among Key, Value and Keep", name)
		}
		seen[name] = true
	}
	return nil
}

// wrong is an error about the declaration.
func (t *Table) wrong(format string, args ...any) error {
	return fmt.Errorf("rekeysql: table %q: %s: %w", t.Name, fmt.Sprintf(format, args...), kmsmigrate.ErrInvalid)
}
