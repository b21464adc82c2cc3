package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// Notebook keeps rekey's notes in a table of the user's database. Make it with [OpenNotebook].
type Notebook struct {
	db     DB
	flavor flavor
	table  string // quoted
}

var _ rekey.Notebook = (*Notebook)(nil)

// OpenNotebook returns the notebook in the table of that name, keyhaul_notes when it is empty, and creates the table if it
// does not exist: name, body, revision. A few hundred bytes a note.
func OpenNotebook(ctx context.Context, db DB, table string) (*Notebook, error) {
	if db == nil {
		return nil, fmt.Errorf("rekeysql: the database is nil: %w", kmsmigrate.ErrInvalid)
	}
	if table == "" {
		table = "keyhaul_notes"
	}
	f, err := flavorOf(ctx, db, Auto)
	if err != nil {
		return nil, err
	}
	n := &Notebook{db: db, flavor: f, table: f.quote(table)}
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+n.table+" "+f.notes()); err != nil {
		// Two processes that create it at once can both find it missing; the second then finds it there.
		if _, again := ask(ctx, db, "SELECT name FROM "+n.table+" WHERE 1 = 0"); again != nil {
			return nil, fmt.Errorf("rekeysql: creating the table %s: %w", table, err)
		}
	}
	return n, nil
}

var (
	noteName     = column{kind: "text", text: true}
	noteRevision = column{kind: "bigint"}
)

// longestName is what the column takes everywhere, in characters.
const longestName = 190

func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n > longestName {
		return fmt.Errorf("rekeysql: the name of a note has %d characters, and at most %d fit: use a shorter name for the sweep or the fleet: %w", n, longestName, kmsmigrate.ErrInvalid)
	}
	return nil
}

// Read implements [rekey.Notebook]. A name has 190 characters at most.
func (n *Notebook) Read(ctx context.Context, name string) (text []byte, revision int64, err error) {
	if err := checkName(name); err != nil {
		return nil, 0, err
	}
	q := &query{flavor: n.flavor}
	q.text("SELECT body, revision FROM " + n.table + " WHERE name = ")
	q.arg(name, noteName)
	err = each(ctx, n.db, q.String(), q.args, func(rows *sql.Rows) error { return rows.Scan(&text, &revision) })
	if err != nil {
		return nil, 0, fmt.Errorf("rekeysql: reading a note: %w", err)
	}
	return text, revision, nil
}

// Write implements [rekey.Notebook].
func (n *Notebook) Write(ctx context.Context, name string, text []byte, revision int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	q := &query{flavor: n.flavor}
	if revision == 0 {
		before, after := n.flavor.insertOnce()
		q.text(before + " INTO " + n.table + " (name, body, revision) VALUES (")
		q.arg(name, noteName)
		q.text(", ")
		q.arg(string(text), noteName)
		q.text(", 1) " + after)
	} else {
		q.text("UPDATE " + n.table + " SET revision = revision + 1, body = ")
		q.arg(string(text), noteName)
		q.text(" WHERE name = ")
		q.arg(name, noteName)
		q.text(" AND revision = ")
		q.arg(revision, noteRevision)
	}
	changed, err := affected(n.db.ExecContext(ctx, q.String(), q.args...))
	switch {
	case err != nil && revision == 0 && isDuplicate(err):
		return fmt.Errorf("rekeysql: the note %q: %w", name, rekey.ErrConflict)
	case err != nil:
		return fmt.Errorf("rekeysql: writing a note: %w", err)
	case changed == 0:
		return fmt.Errorf("rekeysql: the note %q: %w", name, rekey.ErrConflict)
	default:
		return nil
	}
}

// isDuplicate reports MySQL's error for a key that is there already. INSERT IGNORE would hide it, and cut what is too long.
func isDuplicate(err error) bool { return strings.Contains(err.Error(), "Error 1062") }

func (sqlite) notes() string {
	return "(name TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL, revision INTEGER NOT NULL)"
}

func (sqlite) insertOnce() (before, after string) { return "INSERT", "ON CONFLICT DO NOTHING" }

func (mysql) notes() string {
	return "(name VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, body LONGTEXT CHARACTER SET utf8mb4 NOT NULL, revision BIGINT NOT NULL)"
}

func (mysql) insertOnce() (before, after string) { return "INSERT", "" }

func (postgres) notes() string {
	return "(name text NOT NULL PRIMARY KEY, body text NOT NULL, revision bigint NOT NULL)"
}

func (postgres) insertOnce() (before, after string) { return "INSERT", "ON CONFLICT DO NOTHING" }
