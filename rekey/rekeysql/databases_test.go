package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// database is a kind of database to test with.
type database struct {
	name    string
	dialect rekeysql.Dialect
	blob    string // its type for bytes
	text    string // its type for text of any length
	env     string // that names its DSN; empty for SQLite
	driver  string
	rare    bool // not to be had everywhere: where it is missing there is no test of it, rather than one that is skipped
}

var databases = []database{
	{"sqlite", rekeysql.SQLite, "BLOB", "TEXT", "", "sqlite", false},
	{"mariadb", rekeysql.MySQL, "LONGBLOB", "LONGTEXT", "KEYHAUL_MYSQL_DSN", "mysql", false},
	{"postgres", rekeysql.PostgreSQL, "bytea", "text", "KEYHAUL_POSTGRES_DSN", "pgx", false},
	{"mysql", rekeysql.MySQL, "LONGBLOB", "LONGTEXT", "KEYHAUL_ORACLE_MYSQL_DSN", "mysql", true}, // Oracle's
}

// onEach runs a test on every database that is there.
func onEach(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases {
		if d.rare && os.Getenv(d.env) == "" {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if d.env != "" && os.Getenv(d.env) == "" {
				t.Skipf("needs %s", d.env)
			}
			test(t, d)
		})
	}
}

// open connects to a database; for SQLite to a file of the test's own.
func (d database) open(tb testing.TB) *sql.DB {
	tb.Helper()
	dsn := os.Getenv(d.env)
	if d.env == "" {
		// A short busy_timeout, so that a test of locks does not take long.
		dsn = "file:" + filepath.Join(tb.TempDir(), "test.db") + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(1000)&_pragma=synchronous(off)"
	}
	db, err := sql.Open(d.driver, dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

// openAgain connects to the database of db once more, as another process does.
func (d database) openAgain(tb testing.TB, db *sql.DB) *sql.DB {
	tb.Helper()
	if d.env != "" {
		return d.open(tb)
	}
	return db // a SQLite file belongs to the test that made it
}

var tables atomic.Int64

// table creates a table of the test's own: NAME in the statement is its name.
func (d database) table(tb testing.TB, db *sql.DB, statement string) string {
	tb.Helper()
	name := fmt.Sprintf("t%d_%d", os.Getpid(), tables.Add(1))
	run(tb, db, strings.ReplaceAll(statement, "NAME", name))
	tb.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+name) })
	return name
}

func run(tb testing.TB, db rekeysql.DB, statement string, args ...any) {
	tb.Helper()
	_, err := db.ExecContext(tb.Context(), statement, args...)
	require.NoError(tb, err, statement)
}

// of returns what is right for the kind of database.
func (d database) of(sqlite, mysql, postgres string) string {
	switch d.dialect {
	case rekeysql.SQLite:
		return sqlite
	case rekeysql.MySQL:
		return mysql
	default:
		return postgres
	}
}

// args turns ? into the database's placeholders.
func (d database) args(statement string) string {
	if d.dialect != rekeysql.PostgreSQL {
		return statement
	}
	var b strings.Builder
	for i, part := range strings.Split(statement, "?") {
		if i > 0 {
			fmt.Fprintf(&b, "$%d", i)
		}
		b.WriteString(part)
	}
	return b.String()
}
