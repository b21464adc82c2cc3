package rekeysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// DB is the part of database/sql that the package needs: *sql.DB, *sql.Conn and *sql.Tx have it.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Store is a declared table as package rekey wants it: a Scanner, Swapper, BatchSwapper, Counter, Getter and Identifier. It is safe for concurrent
// use if its DB is.
type Store struct {
	db      DB
	table   Table
	flavor  flavor
	name    string   // of the table, quoted
	where   string   // the database and schema that it is in, for Identity
	key     []column // the columns of Table.Key
	values  []column
	keep    []column
	bumped  []string      // columns that the database changes on every update, and that are not kept
	replica bool          // read only
	inTx    bool          // of the caller's: a failed statement can cost it
	costly  bool          // a lock time-out ends the whole transaction
	stmts   *sync.Map     // statements that are prepared already, by their text; *sql.Stmt
	writer  chan struct{} // holds one token where the database takes one writer at a time; nil elsewhere
}

// Open checks a table against the database and returns it as a Store. It writes nothing. It fails with
// [kmsmigrate.ErrInvalid] and says what is wrong when the table or a column does not exist, when Key is not unique or can
// be NULL, when a column's type cannot hold ciphertext, when the condition does not parse, where PostgreSQL tables
// inherit from this one or row-level security hides rows of it, and where MySQL would cut what does not fit instead of refusing it (a sql_mode without STRICT_TRANS_TABLES).
func Open(ctx context.Context, db DB, table Table) (*Store, error) {
	if db == nil {
		return nil, fmt.Errorf("rekeysql: the database is nil: %w", kmsmigrate.ErrInvalid)
	}
	if err := table.check(); err != nil {
		return nil, err
	}
	f, err := flavorOf(ctx, db, table.Dialect)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, table: table, flavor: f, stmts: new(sync.Map)}
	_, s.inTx = db.(*sql.Tx)
	s.name = f.quote(table.Name)
	if table.Schema != "" {
		s.name = f.quote(table.Schema) + "." + s.name
	}
	if err := s.describe(ctx); err != nil {
		return nil, err
	}
	if s.where, err = f.where(ctx, db, table); err != nil {
		return nil, table.wrong("asking for its database: %v", err)
	}
	if _, ok := f.(sqlite); ok && !s.inTx {
		s.writer = make(chan struct{}, 1)
	}
	for rec, err := range s.scan(ctx, rekey.Range{}, 1) { // the statement as a whole, the caller's condition included
		if err != nil {
			return nil, s.table.wrong("reading the first row: %v", err)
		}
		_ = rec
		break
	}
	return s, nil
}

// In returns the same store on another connection: the caller's transaction, for [rekey.Rekeyer.OpenSync], or a
// connection of its own. Inside a transaction a row that somebody else has locked counts as a conflict, because an error
// would cost a PostgreSQL transaction. Where MySQL has innodb_rollback_on_timeout=ON it is [rekey.ErrBusy], and the
// transaction has been rolled back: begin it again.
func (s *Store) In(db DB) *Store {
	other := *s
	other.db, other.stmts = db, new(sync.Map)
	_, other.inTx = db.(*sql.Tx)
	if other.inTx {
		other.writer = nil
	}
	return &other
}

// ID returns the id of the record with this key, one argument for each column of Table.Key, as fmt.Sprint writes them;
// []byte for binary columns. In SQLite, where a column holds values of every class, a string is text and []byte a BLOB.
func (s *Store) ID(key ...any) (string, error) {
	if len(key) != len(s.key) {
		return "", s.table.wrong("its key has %d columns, and %d were given", len(s.key), len(key))
	}
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = s.key[i].keyOf(k)
		if _, err := s.key[i].keyArgument(parts[i]); err != nil {
			return "", err
		}
	}
	return formatID(parts), nil
}

// describe reads the table's definition and checks the declaration against it.
func (s *Store) describe(ctx context.Context) error {
	d, err := s.flavor.describe(ctx, s.db, s.table)
	if err != nil {
		return err
	}
	if d.refused != "" {
		return s.table.wrong("%s", d.refused)
	}
	s.costly = d.costly
	find := func(names []string) (found []column, err error) {
		for _, name := range names {
			at := slices.IndexFunc(d.columns, func(c column) bool { return c.name == name })
			if at < 0 {
				return nil, s.table.wrong("it has no column %q; it has %s", name, d.names())
			}
			found = append(found, d.columns[at])
		}
		return found, nil
	}
	if s.key, err = find(s.table.Key); err != nil {
		return err
	}
	if s.values, err = find(s.table.Values); err != nil {
		return err
	}
	if s.replica, err = s.flavor.readOnly(ctx, s.db); err != nil {
		return s.table.wrong("asking whether this is a replica: %v", err)
	}
	for _, c := range d.columns {
		if c.bumped && !slices.Contains(s.table.Keep, c.name) {
			s.bumped = append(s.bumped, c.name)
		}
	}
	if s.keep, err = find(s.table.Keep); err != nil {
		return err
	}
	if _, err = find(s.table.Columns); err != nil {
		return err
	}
	for _, c := range s.key {
		if c.key == keyUnusable {
			return s.table.wrong("the key column %q is of type %s: integers, text, binary and UUIDs can be keys", c.name, c.kind)
		}
		if c.nullable {
			return s.table.wrong("the key column %q can be NULL: declare it NOT NULL, or use another key", c.name)
		}
	}
	if !d.unique(s.table.Key) {
		return s.table.wrong("no primary key or unique index makes %s unique; %s", strings.Join(s.table.Key, ", "), d.uniques())
	}
	for _, c := range s.values {
		switch {
		case c.generated:
			return s.table.wrong("the column %q is computed by the database", c.name)
		case !c.text && !c.binary:
			return s.table.wrong("the column %q is of type %s: ciphertext needs a text or binary column", c.name, c.kind)
		}
	}
	return nil
}

// Swap implements [rekey.Swapper].
func (s *Store) Swap(ctx context.Context, id string, prev, next []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.replica {
		return errReplica(s.table.Name)
	}
	if bytes.Equal(prev, next) { // MySQL counts changed rows, so this update would look like a conflict
		rec, err := s.Get(ctx, id)
		if err == nil && !bytes.Equal(rec.Value, prev) {
			err = s.conflict(id)
		}
		return err
	}
	was, err := s.split(prev)
	if err != nil {
		return s.conflict(id) // no row of this table was ever read as that
	}
	will, err := s.split(next)
	if err != nil {
		return fmt.Errorf("rekeysql: record %q: %w: %w", id, err, rekey.ErrRefused)
	}
	for i, c := range s.values {
		if err := c.fits(will[i]); err != nil {
			return fmt.Errorf("rekeysql: record %q: %w: %w", id, err, rekey.ErrRefused)
		}
	}
	key, err := s.arguments(id)
	if err != nil {
		return err
	}
	if s.writer != nil {
		select {
		case s.writer <- struct{}{}:
			defer func() { <-s.writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n, err := s.flavor.swap(ctx, s, key, was, will)
	switch {
	case err != nil:
		return fmt.Errorf("rekeysql: swapping record %q: %w", id, s.explain(err))
	case n == 0:
		return s.conflict(id)
	default:
		return nil
	}
}

// exec runs an update that is prepared once for each connection, which spares MySQL two round trips of three and SQLite
// the parsing. Inside a transaction, and for PostgreSQL, whose drivers keep statements themselves where the way to the
// server allows it, it is run as it is.
func (s *Store) exec(ctx context.Context, q *query) (int64, error) {
	pool, ok := s.db.(*sql.DB)
	if _, pg := s.flavor.(postgres); !ok || pg {
		return affected(s.db.ExecContext(ctx, q.String(), q.args...))
	}
	known, ok := s.stmts.Load(q.String())
	if !ok {
		fresh, err := pool.PrepareContext(context.WithoutCancel(ctx), q.String())
		if err != nil {
			return 0, err
		}
		if known, ok = s.stmts.LoadOrStore(q.String(), fresh); ok {
			_ = fresh.Close() //nolint:sqlclosecheck // another was faster, and the one that is kept is kept
		}
	}
	stmt, _ := known.(*sql.Stmt) // nothing else is stored; the pool closes it when it is closed
	return affected(stmt.ExecContext(ctx, q.args...))
}

func (s *Store) conflict(id string) error {
	return fmt.Errorf("rekeysql: record %q of %s: %w", id, s.table.Name, rekey.ErrConflict)
}

// explain adds what rekey branches on to a driver's error.
func (s *Store) explain(err error) error {
	switch s.flavor.about(err) {
	case aboutLock:
		return fmt.Errorf("%w: %w", rekey.ErrBusy, err)
	case aboutValue:
		return fmt.Errorf("%w: %w", rekey.ErrRefused, err)
	default:
		return err
	}
}

// arguments turns an id into the arguments for the key columns.
func (s *Store) arguments(id string) ([]any, error) {
	parts, err := parseID(id, len(s.key))
	if err != nil {
		return nil, err
	}
	args := make([]any, len(parts))
	for i, part := range parts {
		if args[i], err = s.key[i].keyArgument(part); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// join makes one value of the value columns, and split takes it apart. A single column is its own value.
func (s *Store) join(values [][]byte) []byte {
	if len(values) == 1 {
		return values[0]
	}
	return kmsmigrate.Pack(values...)
}

func (s *Store) split(value []byte) ([][]byte, error) {
	if len(s.values) == 1 {
		if len(value) == 0 {
			return nil, errors.New("an empty value")
		}
		return [][]byte{value}, nil
	}
	return kmsmigrate.Unpack(value, len(s.values))
}
