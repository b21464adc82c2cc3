package rekeysql_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestAStoreTellsWhichRowsItsAre(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		create := "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, a " + d.blob + ", b " + d.blob + ")"
		one, two := d.table(t, db, create), d.table(t, db, create)
		open := func(db rekeysql.DB, table rekeysql.Table) *rekeysql.Store {
			t.Helper()
			table.Key = []string{"id"}
			store, err := rekeysql.Open(t.Context(), db, table)
			require.NoError(t, err)
			return store
		}
		base := open(db, rekeysql.Table{Name: one, Value: "a"})
		require.Contains(t, base.Identity(), one)
		require.Empty(t, base.Condition())
		schema, err := askText(t, db, d.of("SELECT 'main'", "SELECT DATABASE()", "SELECT current_schema()"))
		require.NoError(t, err)
		require.Equal(t, base.Identity(), open(d.openAgain(t, db), rekeysql.Table{Name: one, Value: "a", Schema: schema}).Identity())
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, base.Identity(), base.In(tx).Identity())
		require.NoError(t, tx.Rollback())
		part := open(db, rekeysql.Table{Name: one, Value: "a", Where: "id > 5"})
		require.Equal(t, "id > 5", part.Condition())
		for _, other := range []*rekeysql.Store{open(db, rekeysql.Table{Name: two, Value: "a"}), open(db, rekeysql.Table{Name: one, Value: "b"}), open(db, rekeysql.Table{Name: one, Values: []string{"a", "b"}}), part} {
			require.NotEqual(t, base.Identity(), other.Identity())
		}
		codec, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{}), New: keytest.New(keytest.Config{})})
		require.NoError(t, err)
		book := new(rekey.MemoryNotebook)
		require.NoError(t, rekey.Place{Name: "x", Store: base, Codec: codec, Notebook: book}.Declare(t.Context()))
		err = rekey.Place{Name: "x", Store: part, Codec: codec, Notebook: book}.Declare(t.Context())
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.ErrorContains(t, err, base.Identity())
		require.ErrorContains(t, err, part.Identity())
	})
}

func askText(t *testing.T, db *sql.DB, query string) (text string, err error) {
	t.Helper()
	err = db.QueryRowContext(t.Context(), query).Scan(&text)
	return text, err
}

func TestOpenSyncBesideALedgerInTheSameSQLiteFileLeavesTheTransactionAlive(t *testing.T) {
	t.Parallel()
	for name, connections := range map[string]int{"one connection": 1, "several": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "a.db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(30000)")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			db.SetMaxOpenConns(connections)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			run(t, db, "CREATE TABLE c (id INTEGER PRIMARY KEY, secret BLOB)")
			old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
			value, err := old.Encrypt(ctx, []byte("x"), nil)
			require.NoError(t, err)
			run(t, db, "INSERT INTO c VALUES (1, ?)", value)
			ledger, err := rekeysql.CreateLedger(ctx, db, "")
			require.NoError(t, err)
			client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh, Ledger: ledger})
			require.NoError(t, err)
			store, err := rekeysql.Open(ctx, db, rekeysql.Table{Name: "c", Key: []string{"id"}, Value: "secret"})
			require.NoError(t, err)
			rekeyer, err := rekey.New(rekey.Config{Codec: client})
			require.NoError(t, err)
			id, err := store.ID(1)
			require.NoError(t, err)
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(ctx, "UPDATE c SET id = id WHERE id = 1")
			require.NoError(t, err)
			began := time.Now()
			plaintext, err := rekeyer.OpenSync(ctx, store.In(tx), rekey.Record{ID: id, Value: value})
			require.NoError(t, err)
			require.Equal(t, "x", string(plaintext))
			require.Less(t, time.Since(began), 10*time.Second)
			require.NoError(t, tx.Commit())
		})
	}
}
