package rekeysql_test

import (
	"context"
	"database/sql"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// replicated is a primary and its replica.
func replicated(t *testing.T, driver, primaryEnv, replicaEnv string) (primary, replica *sql.DB) {
	t.Helper()
	open := func(env string) *sql.DB {
		dsn := os.Getenv(env)
		if dsn == "" {
			t.Skipf("needs %s", env)
		}
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	return open(primaryEnv), open(replicaEnv)
}

func TestARealReplicaIsReadAndHoldsASweepBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, driver, primary, replica, stop, goOn string
		d                                          database
	}{
		{"postgres", "pgx", "KEYHAUL_POSTGRES_DSN", "KEYHAUL_POSTGRES_REPLICA_DSN", "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()", databases[2]},
		{"mariadb", "mysql", "KEYHAUL_MYSQL_ROLLBACK_DSN", "KEYHAUL_MYSQL_REPLICA_DSN", "STOP SLAVE SQL_THREAD", "START SLAVE", databases[1]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			primary, replica := replicated(t, test.driver, test.primary, test.replica)
			name := test.d.table(t, primary, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+test.d.text+")")
			run(t, primary, "INSERT INTO "+name+" VALUES (1, 'a')")
			table := rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"}
			arrived := func() bool {
				store, err := rekeysql.Open(t.Context(), replica, table)
				if err != nil {
					return false
				}
				rec, err := store.Get(t.Context(), "1")
				return err == nil && string(rec.Value) == "a"
			}
			require.Eventually(t, arrived, time.Minute, 50*time.Millisecond)

			// Read there, written here, by one sweep.
			store := mustOpen(t, replica, table)
			require.ErrorContains(t, store.Swap(t.Context(), "1", []byte("a"), []byte("b")), "replica")
			both := struct {
				rekey.Scanner
				rekey.Swapper
			}{store, mustOpen(t, primary, table)}
			report, err := rekey.Sweep(t.Context(), freeCodec{}, both, rekey.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 1, report.Renewed)

			calm := rekeysql.ReplicationLag(time.Minute, replica)
			require.Eventually(t, func() bool { return calm(t.Context()) == nil }, time.Minute, 50*time.Millisecond)
			if test.name == "postgres" {
				require.NoError(t, rekeysql.ReplicationLag(time.Minute, primary, replica)(t.Context()), "which knows its replica")
			} else {
				_, err := rekeysql.Lag(t.Context(), primary)
				require.ErrorContains(t, err, "no replica")
			}
			run(t, replica, test.stop)
			defer run(t, replica, test.goOn)
			strict := rekeysql.ReplicationLag(time.Millisecond, replica)
			require.Eventually(t, func() bool {
				run(t, primary, "UPDATE "+name+" SET v = v")
				_, err := primary.ExecContext(t.Context(), "INSERT INTO "+name+" SELECT MAX(k) + 1, 'x' FROM "+name)
				return err == nil && strict(t.Context()) != nil
			}, time.Minute, 50*time.Millisecond)
			held, err := rekey.Sweep(stopped(t, time.Second), freeCodec{}, both, rekey.Options{Load: strict, LoadEvery: 50 * time.Millisecond})
			require.Error(t, err)
			require.Zero(t, held.Renewed)
		})
	}
}

func TestLagFailsWhereNobodyTells(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		if d.dialect == rekeysql.PostgreSQL { // which has a replica
			return
		}
		db := d.open(t)
		_, err := rekeysql.Lag(t.Context(), db)
		require.Error(t, err)
		require.ErrorIs(t, rekeysql.ReplicationLag(time.Second)(t.Context()), kmsmigrate.ErrInvalid)
		require.ErrorIs(t, rekeysql.ReplicationLag(0, db)(t.Context()), kmsmigrate.ErrInvalid)
		require.ErrorIs(t, rekeysql.ReplicationLag(time.Second, nil)(t.Context()), kmsmigrate.ErrInvalid)
	})
}

// stopped is a context that ends after a while.
func stopped(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	t.Cleanup(cancel)
	return ctx
}
