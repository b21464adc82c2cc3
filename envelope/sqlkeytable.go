package envelope

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// SQLKeyTable is a [KeyTable] in a database.
type SQLKeyTable struct {
	db     *sql.DB
	get    string
	insert string
}

// tableName is what can stand in a statement unquoted, with a schema before it.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// NewSQLKeyTable returns a KeyTable over a table with at least these columns, whose name may have a schema before it:
//
//	id    CHAR(32) PRIMARY KEY     -- hex
//	entry BLOB or BYTEA NOT NULL   -- up to 1 KB as a rule
//
// Dollars says that the database writes parameters $1, as PostgreSQL does, rather than ?. Package rekeysql renews the entries, as
// it does those of any table.
func NewSQLKeyTable(db *sql.DB, table string, dollars bool) (*SQLKeyTable, error) {
	if db == nil {
		return nil, invalid("the database is nil")
	}
	if !tableName.MatchString(table) {
		return nil, invalid("the table's name is not letters, digits and underscores, with or without a schema")
	}
	t := &SQLKeyTable{db: db, get: "SELECT entry FROM " + table + " WHERE id = ?", insert: "INSERT INTO " + table + " (id, entry) VALUES (?, ?)"}
	if dollars {
		t.get = "SELECT entry FROM " + table + " WHERE id = $1"
		t.insert = "INSERT INTO " + table + " (id, entry) VALUES ($1, $2)"
	}
	return t, nil
}

// Get reads one row.
func (t *SQLKeyTable) Get(ctx context.Context, id KeyID) ([]byte, error) {
	var entry []byte
	switch err := t.db.QueryRowContext(ctx, t.get, id.String()).Scan(&entry); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNoDataKey
	case err != nil:
		return nil, fmt.Errorf("reading the key table: %w: %w", err, kmsmigrate.ErrUnavailable)
	}
	return entry, nil
}

// Add inserts one row, outside of any transaction of the caller. Databases do not agree on how to say that a row is there, so
// when the insert fails, a look tells whether it is.
func (t *SQLKeyTable) Add(ctx context.Context, id KeyID, entry []byte) error {
	_, err := t.db.ExecContext(ctx, t.insert, id.String(), entry)
	if err == nil {
		return nil
	}
	if _, gerr := t.Get(ctx, id); gerr == nil {
		return nil
	}
	return fmt.Errorf("writing the key table: %w: %w", err, kmsmigrate.ErrUnavailable)
}
