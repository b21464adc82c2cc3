package envelope

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// SQLKeyTable is a [KeyTable] in a database.
type SQLKeyTable struct {
	db     *sql.DB
	table  string
	get    string
	insert string
	remove string
}

// tableName is what can stand in a statement unquoted, with a schema before it.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// NewSQLKeyTable returns a KeyTable over a table with at least these columns, whose name may have a schema before it:
//
//	id    CHAR(32) PRIMARY KEY     -- hex
//	entry BLOB or BYTEA NOT NULL   -- up to 2 KB
//
// Dollars says that the database writes parameters $1, as PostgreSQL does, rather than ?. It asks the database nothing:
// [SQLKeyTable.Check] does, once, before anything is written. Package rekeysql renews the entries, as it does those of any table.
func NewSQLKeyTable(db *sql.DB, table string, dollars bool) (*SQLKeyTable, error) {
	if db == nil {
		return nil, invalid("the database is nil")
	}
	if !tableName.MatchString(table) {
		return nil, invalid("the table's name is not letters, digits and underscores, with or without a schema")
	}
	t := &SQLKeyTable{
		db: db, table: table,
		get:    "SELECT entry FROM " + table + " WHERE id = ?",
		insert: "INSERT INTO " + table + " (id, entry) VALUES (?, ?)",
		remove: "DELETE FROM " + table + " WHERE id = ?",
	}
	if dollars {
		t.get = "SELECT entry FROM " + table + " WHERE id = $1"
		t.insert = "INSERT INTO " + table + " (id, entry) VALUES ($1, $2)"
		t.remove = "DELETE FROM " + table + " WHERE id = $1"
	}
	return t, nil
}

// Get reads one row. A table that is missing, or has other columns, is kmsmigrate.ErrInvalid; a database that does not
// answer is kmsmigrate.ErrUnavailable.
func (t *SQLKeyTable) Get(ctx context.Context, id KeyID) ([]byte, error) {
	var entry []byte
	switch err := t.db.QueryRowContext(ctx, t.get, id.String()).Scan(&entry); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNoDataKey
	case err != nil:
		return nil, t.failed(ctx, "reading", err)
	}
	return entry, nil
}

// Add inserts one row, outside of any transaction of the caller, and reads it back: a column that cut or changed the entry would
// cost every record that is about to be sealed with its data key. Databases do not agree on how to say that a row is there,
// so when the insert fails, a look tells whether it is.
func (t *SQLKeyTable) Add(ctx context.Context, id KeyID, entry []byte) error {
	_, err := t.db.ExecContext(ctx, t.insert, id.String(), entry)
	stored, gerr := t.Get(ctx, id)
	switch {
	case err != nil && gerr == nil:
		return nil // another was first
	case err != nil:
		return t.failed(ctx, "writing", err)
	case gerr != nil:
		return gerr
	case !bytes.Equal(stored, entry):
		return invalid("the key table %s gives back other bytes than it was given: entry must be a column of bytes, of 2 KB or more", t.table)
	}
	return nil
}

// failed says what a statement's error means: that the table is not as it must be, or that the database does not answer.
func (t *SQLKeyTable) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil && t.db.PingContext(ctx) == nil {
		if cerr := t.columns(ctx); cerr != nil {
			return cerr
		}
	}
	return fmt.Errorf("%s the key table %s: %w: %w", doing, t.table, err, kmsmigrate.ErrUnavailable)
}

// columns asks for no row of the table, but for its columns.
func (t *SQLKeyTable) columns(ctx context.Context) error {
	var id, entry any
	err := t.db.QueryRowContext(ctx, "SELECT id, entry FROM "+t.table+" WHERE 1 = 0").Scan(&id, &entry)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return fmt.Errorf("envelope: the key table %s with the columns id and entry cannot be read: %w: %w", t.table, err, kmsmigrate.ErrInvalid)
}

// Check tells whether the table is as it must be: that it has its columns, that they give back every byte, and that id is a key,
// without which two processes could store two entries under one id. It writes an entry under a random id in a transaction that
// it rolls back, and fails with kmsmigrate.ErrInvalid, or with ErrUnavailable where the database does not answer.
func (t *SQLKeyTable) Check(ctx context.Context) error {
	if err := t.db.PingContext(ctx); err != nil {
		return fmt.Errorf("envelope: the database of the key table %s does not answer: %w: %w", t.table, err, kmsmigrate.ErrUnavailable)
	}
	if err := t.columns(ctx); err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return t.failed(ctx, "checking", err)
	}
	var id KeyID
	rand.Read(id[:])
	err = t.probe(ctx, tx, id.String())
	_ = tx.Rollback()
	// Some tables of MySQL know no rollback. Where there is a right to insert alone, they keep the entry.
	_, _ = t.db.ExecContext(ctx, t.remove, id.String())
	return err
}

func (t *SQLKeyTable) probe(ctx context.Context, tx *sql.Tx, id string) error {
	entry := make([]byte, 2048)
	for i := range entry {
		entry[i] = byte(255 - i)
	}
	if _, err := tx.ExecContext(ctx, t.insert, id, entry); err != nil {
		return fmt.Errorf("envelope: the key table %s takes no entry of 2 KB under an id of 32 characters: %w: %w", t.table, err, kmsmigrate.ErrInvalid)
	}
	var stored []byte
	if err := tx.QueryRowContext(ctx, t.get, id).Scan(&stored); err != nil {
		return fmt.Errorf("envelope: the key table %s does not find what was written: %w: %w", t.table, err, kmsmigrate.ErrInvalid)
	}
	if !bytes.Equal(stored, entry) {
		return invalid("the key table %s gives back other bytes than it was given: entry must be a column of bytes, of 2 KB or more", t.table)
	}
	if _, err := tx.ExecContext(ctx, t.insert, id, entry); err == nil { // last: PostgreSQL ends the transaction with it
		return invalid("the key table %s takes two entries under one id: id must be its primary key", t.table)
	}
	return ctx.Err()
}
