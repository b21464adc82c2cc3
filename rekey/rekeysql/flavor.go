package rekeysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// flavor is what differs between databases.
type flavor interface {
	// quote quotes an identifier.
	quote(name string) string
	// placeholder is the n-th argument of a statement, 1 for the first, that is compared with column c.
	placeholder(n int, c column) string
	// keyText selects a key column in a form that can be scanned as text or bytes.
	keyText(c column) string
	// describe reads the catalogue.
	describe(ctx context.Context, db DB, t Table) (definition, error)
	// where returns the database and schema of the table, where the declaration leaves them to the connection too.
	where(ctx context.Context, db DB, t Table) (string, error)
	// swap updates one row if its values are was, without waiting for a lock, and returns how many rows it changed.
	swap(ctx context.Context, s *Store, key []any, was, will [][]byte) (int64, error)
	// notes is what follows CREATE TABLE name for a notebook, and insertOnce what is around an INSERT that does nothing
	// where the row exists, or fails with a duplicate key.
	notes() string
	insertOnce() (before, after string)
	// tables lists the tables of a schema, and textType is what other types are cast to.
	tables(ctx context.Context, db DB, schema string) ([]string, error)
	textType() string
	// readOnly tells a replica from a primary, and triggers lists what an update of the table fires.
	readOnly(ctx context.Context, db DB) (bool, error)
	triggers(ctx context.Context, db DB, t Table) ([]string, error)
	// about tells what a failed update says.
	about(err error) topic
}

// topic is what an error is about.
type topic uint8

const (
	aboutStore topic = iota // the database, or unknown
	aboutLock               // somebody else holds a lock, or won a deadlock
	aboutValue              // this row does not take this value
)

// flavorOf returns the flavor of a dialect, and asks the database where none is given.
func flavorOf(ctx context.Context, db DB, d Dialect) (flavor, error) {
	switch d {
	case SQLite:
		return sqlite{}, nil
	case PostgreSQL:
		return postgres{}, nil
	case Auto, MySQL:
	default:
		return nil, fmt.Errorf("rekeysql: unknown %s: %w", d, kmsmigrate.ErrInvalid)
	}
	version, err := ask(ctx, db, "SELECT version()")
	if err != nil {
		if _, lite := ask(ctx, db, "SELECT sqlite_version()"); lite == nil && d == Auto {
			return sqlite{}, nil
		}
		return nil, fmt.Errorf("rekeysql: asking the database for its version: %w", err)
	}
	switch {
	case strings.HasPrefix(version, "PostgreSQL"):
		return postgres{}, nil
	case strings.Contains(version, "MariaDB"):
		return mysql{maria: true}, nil
	default:
		return mysql{}, nil
	}
}

// ask returns the one value of a query.
func ask(ctx context.Context, db DB, query string, args ...any) (answer string, err error) {
	err = each(ctx, db, query, args, func(rows *sql.Rows) error { return rows.Scan(&answer) })
	return answer, err
}

// each calls read for each row of a query.
func each(ctx context.Context, db DB, query string, args []any, read func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// assign writes "value = ?, kept = kept" for an update.
func (s *Store) assign(q *query, will [][]byte, set func(q *query, c column, value []byte)) {
	for i, c := range s.values {
		q.comma(i)
		q.text(s.flavor.quote(c.name) + " = ")
		set(q, c, will[i])
	}
	for _, c := range s.keep {
		name := s.flavor.quote(c.name)
		q.text(", " + name + " = " + name)
	}
}

// matching writes the condition that the row is the one and its values are was.
func (s *Store) matching(q *query, key []any, was [][]byte, same func(q *query, c column, value []byte)) {
	s.equal(q, key)
	for i, c := range s.values {
		q.text(" AND ")
		if was[i] == nil {
			q.text(s.flavor.quote(c.name) + " IS NULL")
		} else {
			same(q, c, was[i])
		}
	}
}

func plainArg(q *query, c column, value []byte) { q.arg(c.argument(value), c) }

// sqlState returns the SQLSTATE that a driver's error carries, or "".
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}
