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
}

var databases = []database{
	{"sqlite", rekeysql.SQLite, "BLOB", "TEXT", "", "sqlite"},
	{"mariadb", rekeysql.MySQL, "LONGBLOB", "LONGTEXT", "KEYHAUL_MYSQL_DSN", "mysql"},
	{"postgres", rekeysql.PostgreSQL, "bytea", "text", "KEYHAUL_POSTGRES_DSN", "pgx"},
}

// onEach runs a test on every database that is there.
func onEach(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases {
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
func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	dsn := os.Getenv(d.env)
	if d.env == "" {
		dsn = "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)&_pragma=synchronous(off)"
	}
	db, err := sql.Open(d.driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

var tables atomic.Int64

// table creates a table of the test's own: NAME in the statement is its name.
func (d database) table(t testing.TB, db *sql.DB, statement string) string {
	t.Helper()
	name := fmt.Sprintf("t%d_%d", os.Getpid(), tables.Add(1))
	run(t, db, strings.ReplaceAll(statement, "NAME", name))
	t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+name) })
	return name
}

func run(t testing.TB, db rekeysql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
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
