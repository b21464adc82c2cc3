package rekeysql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestPostgreSQLTablesWithInheritanceAreRefused(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.PostgreSQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY, v bytea)")
		table := rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"}
		mustOpen(t, db, table)
		child := d.table(t, db, "CREATE TABLE NAME (PRIMARY KEY (k)) INHERITS ("+name+")")
		_, err := rekeysql.Open(t.Context(), db, table)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.ErrorContains(t, err, "inherit")
		table.Name = child
		mustOpen(t, db, table) // the child by itself is a table like any other
		run(t, db, "DROP TABLE "+child)
		table.Name = name
		mustOpen(t, db, table)
	}))
}

func TestPostgreSQLRowSecurityIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.PostgreSQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY, v bytea)")
		table := rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"}
		run(t, db, "ALTER TABLE "+name+" ENABLE ROW LEVEL SECURITY")
		mustOpen(t, db, table) // a superuser sees every row
		role := name + "_role"
		run(t, db, "CREATE ROLE "+role)
		run(t, db, "GRANT SELECT, UPDATE ON "+name+" TO "+role)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() {
			_, _ = conn.ExecContext(context.Background(), "RESET ROLE")
			_, _ = conn.ExecContext(context.Background(), "DROP OWNED BY "+role)
			_, _ = conn.ExecContext(context.Background(), "DROP ROLE "+role)
			require.NoError(t, conn.Close())
		})
		run(t, conn, "SET ROLE "+role)
		_, err = rekeysql.Open(t.Context(), conn, table)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.ErrorContains(t, err, "row-level security")
		_, err = rekeysql.Discover(t.Context(), conn, "", 1)
		if err != nil { // other tests' tables are not this role's to read
			require.NotContains(t, err.Error(), "row-level security")
		}
	}))
}

func TestPostgreSQLPaddedColumnsAreSwapped(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.PostgreSQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		for _, column := range []string{"char(120)", "bpchar"} {
			name := d.table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY, v "+column+")")
			client, old := moving(t)
			for i := range 3 {
				value, err := old.Encrypt(t.Context(), []byte("s"), nil)
				require.NoError(t, err)
				run(t, db, "INSERT INTO "+name+" VALUES ($1, $2)", i, kmsmigrate.EncodeBlob(value)+strings.Repeat(" ", i))
			}
			store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
			report, err := rekey.Sweep(t.Context(), rekey.Base64(client), store, rekey.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 3, report.Renewed, "of %s: %+v", column, report)
			rec, err := store.Get(t.Context(), "1")
			require.NoError(t, err)
			require.ErrorIs(t, store.Swap(t.Context(), "1", append(rec.Value, '!'), []byte("x")), rekey.ErrConflict)
		}
	}))
}
