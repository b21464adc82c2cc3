package rekeysql_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// Where a lock time-out rolls the whole transaction back, it must not pass for a conflict: the caller would go on in a
// transaction that has lost what was done before.
func TestALockTimeoutThatRollsBackIsAnError(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("KEYHAUL_MYSQL_ROLLBACK_DSN")
	if dsn == "" {
		t.Skip("needs KEYHAUL_MYSQL_ROLLBACK_DSN, a server with innodb_rollback_on_timeout=ON")
	}
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	d := database{dialect: rekeysql.MySQL, env: "KEYHAUL_MYSQL_ROLLBACK_DSN", driver: "mysql"}
	name := d.table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY, v BLOB)")
	orders := d.table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY)")
	client, old := moving(t)
	value, err := old.Encrypt(t.Context(), []byte("s"), nil)
	require.NoError(t, err)
	run(t, db, "INSERT INTO "+name+" VALUES (1, ?)", value)
	store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
	rekeyer, err := rekey.New(rekey.Config{Codec: client})
	require.NoError(t, err)

	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	run(t, other, "UPDATE "+name+" SET k = 1 WHERE k = 1")
	run(t, other, "SELECT * FROM "+name+" WHERE k = 1 FOR UPDATE")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	run(t, tx, "INSERT INTO "+orders+" VALUES (1)")
	rec, err := store.In(tx).Get(t.Context(), "1")
	require.NoError(t, err)
	plaintext, err := rekeyer.OpenSync(t.Context(), store.In(tx), rec)
	require.Equal(t, "s", string(plaintext))
	require.ErrorIs(t, err, rekey.ErrBusy)
	require.NotErrorIs(t, err, rekey.ErrConflict)
}
