package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Ledger keeps kmsmigrate's re-wrap ledger in a table of the user's database: for the hash of a ciphertext that was
// renewed, the ciphertext that took its place. Give it to [kmsmigrate.Config] as Ledger. Lazy rewrites and sweeps fill it, and
// [kmsmigrate.Client.Open] reads it. There are two columns, id and ciphertext, and nothing in them but hashes and ciphertext. Where records have
// data keys it has a row for each wrapped data key; of bare ciphertext it has a row for each record.
//
// It is safe for concurrent use by any number of processes. Make it with [CreateLedger] or [OpenLedger].
type Ledger struct {
	db     DB
	flavor flavor
	name   string // for people
	find   string
	add    string
}

var _ kmsmigrate.Ledger = (*Ledger)(nil)

const ledgerTable = "keyhaul_ledger"

// LedgerDDL returns the statement that creates the table of a ledger, keyhaul_ledger where the name is empty, for whoever
// changes a schema with tools of their own. The dialect must be given.
func LedgerDDL(d Dialect, table string) (string, error) {
	if table == "" {
		table = ledgerTable
	}
	switch d {
	case SQLite:
		return "CREATE TABLE IF NOT EXISTS " + sqlite{}.quote(table) + " (id BLOB NOT NULL PRIMARY KEY, ciphertext BLOB NOT NULL) WITHOUT ROWID", nil
	case MySQL:
		return "CREATE TABLE IF NOT EXISTS " + mysql{}.quote(table) + " (id BINARY(32) NOT NULL PRIMARY KEY, ciphertext MEDIUMBLOB NOT NULL)", nil
	case PostgreSQL:
		return "CREATE TABLE IF NOT EXISTS " + postgres{}.quote(table) + " (id bytea NOT NULL PRIMARY KEY, ciphertext bytea NOT NULL)", nil
	default:
		return "", fmt.Errorf("rekeysql: a ledger for the dialect %s: name SQLite, MySQL or PostgreSQL: %w", d, kmsmigrate.ErrInvalid)
	}
}

// CreateLedger creates the table where it does not exist, with the statement of [LedgerDDL], and opens it. The user of
// the database needs the right to create tables.
func CreateLedger(ctx context.Context, db DB, table string) (*Ledger, error) {
	l, d, err := ledgerOf(ctx, db, table)
	if err != nil {
		return nil, err
	}
	ddl, err := LedgerDDL(d, l.name)
	if err != nil {
		return nil, err
	}
	// Two processes that create it at once can both find it missing; then one of them fails, and finds it there.
	_, creating := db.ExecContext(ctx, ddl)
	if err := l.check(ctx); err != nil {
		if creating != nil {
			return nil, fmt.Errorf("rekeysql: creating the ledger %s: %w", l.name, creating)
		}
		return nil, err
	}
	return l, nil
}

// OpenLedger opens the ledger in the table of that name, keyhaul_ledger where it is empty. It writes nothing, and fails
// with [kmsmigrate.ErrInvalid] and says what is wrong where the table is not there or is not what LedgerDDL makes.
func OpenLedger(ctx context.Context, db DB, table string) (*Ledger, error) {
	l, _, err := ledgerOf(ctx, db, table)
	if err != nil {
		return nil, err
	}
	return l, l.check(ctx)
}

func ledgerOf(ctx context.Context, db DB, table string) (*Ledger, Dialect, error) {
	if db == nil {
		return nil, Auto, fmt.Errorf("rekeysql: the database is nil: %w", kmsmigrate.ErrInvalid)
	}
	if table == "" {
		table = ledgerTable
	}
	f, err := flavorOf(ctx, db, Auto)
	if err != nil {
		return nil, Auto, err
	}
	name := f.quote(table)
	id, ciphertext := ledgerColumns(f)
	l := &Ledger{db: db, flavor: f, name: table}
	l.find = "SELECT ciphertext FROM " + name + " WHERE id = " + f.placeholder(1, id)
	d, replace := MySQL, "ON DUPLICATE KEY UPDATE ciphertext = VALUES(ciphertext)"
	switch f.(type) {
	case sqlite:
		d, replace = SQLite, "ON CONFLICT (id) DO UPDATE SET ciphertext = excluded.ciphertext"
	case postgres:
		d, replace = PostgreSQL, "ON CONFLICT (id) DO UPDATE SET ciphertext = excluded.ciphertext"
	}
	l.add = "INSERT INTO " + name + " (id, ciphertext) VALUES (" + f.placeholder(1, id) + ", " + f.placeholder(2, ciphertext) + ") " + replace
	return l, d, nil
}

func ledgerColumns(f flavor) (id, ciphertext column) {
	kind := "binary"
	if _, ok := f.(postgres); ok {
		kind = "bytea"
	}
	return column{name: "id", kind: kind, binary: true}, column{name: "ciphertext", kind: kind, binary: true}
}

// check compares the table with what a ledger needs: an id that is unique, because Add replaces what is there, and room.
func (l *Ledger) check(ctx context.Context) error {
	t := Table{Name: l.name}
	d, err := l.flavor.describe(ctx, l.db, t)
	if err != nil {
		return err
	}
	for _, name := range []string{"id", "ciphertext"} {
		at := slices.IndexFunc(d.columns, func(c column) bool { return c.name == name })
		switch {
		case at < 0:
			return t.wrong("it is no ledger: it has no column %q; LedgerDDL tells what one looks like", name)
		case !d.columns[at].binary:
			return t.wrong("it is no ledger: the column %q is of type %s, and must be binary; LedgerDDL tells what one looks like", name, d.columns[at].kind)
		case name == "ciphertext" && d.columns[at].bytes > 0 && d.columns[at].bytes < leastRoom:
			return t.wrong("it is no ledger: the column %q holds %d bytes at most, and ciphertext can be longer; LedgerDDL tells what one looks like", name, d.columns[at].bytes)
		}
	}
	if !d.unique([]string{"id"}) {
		return t.wrong("it is no ledger: nothing makes its id unique; LedgerDDL tells what one looks like")
	}
	return nil
}

// leastRoom is more than any ciphertext of the KMS has: 6 KB of plaintext and a header.
const leastRoom = 8 << 10

// Find implements [kmsmigrate.Ledger].
func (l *Ledger) Find(ctx context.Context, id [32]byte) (ciphertext []byte, err error) {
	err = each(ctx, l.db, l.find, []any{id[:]}, func(rows *sql.Rows) error { return rows.Scan(&ciphertext) })
	if err != nil {
		return nil, fmt.Errorf("rekeysql: reading the ledger %s: %w", l.name, err)
	}
	return ciphertext, nil
}

// Add implements [kmsmigrate.Ledger].
func (l *Ledger) Add(ctx context.Context, id [32]byte, ciphertext []byte) error {
	if len(ciphertext) == 0 {
		return fmt.Errorf("rekeysql: an entry without ciphertext for the ledger %s: %w", l.name, kmsmigrate.ErrInvalid)
	}
	const tries = 5
	for try := 1; ; try++ {
		_, err := l.db.ExecContext(ctx, l.add, id[:], ciphertext)
		if err == nil {
			return nil
		}
		if try == tries || l.flavor.about(err) != aboutLock {
			return fmt.Errorf("rekeysql: adding to the ledger %s: %w", l.name, err)
		}
		// Writers of one id, or the one writer that SQLite has, can be in each other's way for a moment.
		timer := time.NewTimer(time.Duration(try) * 5 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("rekeysql: adding to the ledger %s: %w", l.name, ctx.Err())
		}
	}
}
