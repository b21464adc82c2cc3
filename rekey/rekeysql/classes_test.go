package rekeysql_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// moving is a client that rewrites, and its old key.
func moving(t *testing.T) (client *kmsmigrate.Client, old *keytest.Key) {
	t.Helper()
	old = keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	return client, old
}

// SQLite keeps the class of each value, whatever the column's declaration: text in a column without a type stays text, a BLOB
// in a TEXT column stays one, and each class has its own place in the order.
func TestSQLiteKeysOfEveryStorageClassAreSwept(t *testing.T) {
	t.Parallel()
	db := databases[0].open(t)
	for i, test := range []struct {
		declared string
		keys     []any
	}{
		{"", []any{int64(-7), int64(3), "", "user", "\x00user", "a\"b", "0102", "\xff\xfe", []byte{}, []byte{1, 2}, []byte("user")}},
		{"BLOB", []any{int64(7), "user", []byte("user"), []byte{0xff}}},
		{"TEXT", []any{"user", "\x00blob:00", "\x00\x00", "nul\x00x", []byte{}, []byte("user"), []byte("\x00user")}},
		{"BIGINT", []any{int64(-1), int64(5), "five", []byte("5"), []byte{0}}},
	} {
		name := databases[0].table(t, db, "CREATE TABLE NAME (k "+test.declared+" PRIMARY KEY NOT NULL, v BLOB)")
		client, old := moving(t)
		for _, key := range test.keys {
			value, err := old.Encrypt(t.Context(), []byte("plaintext"), nil)
			require.NoError(t, err)
			run(t, db, "INSERT INTO "+name+" VALUES (?, ?)", key, value)
		}
		for _, rows := range []int{1, 2, 500} {
			store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v", PageRows: rows})
			seen := map[string]bool{}
			for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
				require.NoError(t, err, "%d", i)
				require.False(t, seen[rec.ID], rec.ID)
				seen[rec.ID] = true
				again, err := store.Get(t.Context(), rec.ID)
				require.NoError(t, err)
				require.Equal(t, rec, again)
			}
			require.Len(t, seen, len(test.keys), "column of type %q", test.declared)
			for _, key := range test.keys {
				id, err := store.ID(key)
				require.NoError(t, err)
				require.True(t, seen[id], "%q of %v", id, key)
			}
			parts, err := store.Split(t.Context(), 3)
			require.NoError(t, err)
			n := 0
			for _, part := range parts {
				for _, err := range store.Scan(t.Context(), part) {
					require.NoError(t, err)
					n++
				}
			}
			require.Len(t, test.keys, n)
		}
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v", PageRows: 2})
		report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, len(test.keys), report.Renewed)
		census, err := rekey.TakeCensus(t.Context(), client, store)
		require.NoError(t, err)
		require.EqualValues(t, len(test.keys), census.Held(kmsmigrate.SideNew))
	}
}

func TestManyTextIDsInAnUntypedKeyColumn(t *testing.T) {
	t.Parallel()
	db := databases[0].open(t)
	const n = 1000
	for _, test := range []struct {
		declared string
		key      func(i int) any
	}{
		{"", func(i int) any { return fmt.Sprintf("user-%04d", i) }},
		{"BLOB", func(i int) any { return fmt.Sprintf("user-%04d", i) }},
		{"TEXT", func(i int) any { return fmt.Appendf(nil, "user-%04d", i) }},
	} {
		name := databases[0].table(t, db, "CREATE TABLE NAME (k "+test.declared+" PRIMARY KEY NOT NULL, v BLOB)")
		client, old := moving(t)
		value, err := old.Encrypt(t.Context(), []byte("plaintext"), nil)
		require.NoError(t, err)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for i := range n {
			run(t, tx, "INSERT INTO "+name+" VALUES (?, ?)", test.key(i), value)
		}
		require.NoError(t, tx.Commit())
		census, err := rekey.TakeCensus(t.Context(), client, mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"}))
		require.NoError(t, err)
		require.EqualValues(t, n, census.Held(kmsmigrate.SideOld))
	}
}

func TestASQLiteKeyThatIsARealNumberEndsTheSweepAtOnce(t *testing.T) {
	t.Parallel()
	db := databases[0].open(t)
	name := databases[0].table(t, db, "CREATE TABLE NAME (k BIGINT PRIMARY KEY NOT NULL, v BLOB)")
	client, old := moving(t)
	value, err := old.Encrypt(t.Context(), []byte("plaintext"), nil)
	require.NoError(t, err)
	run(t, db, "INSERT INTO "+name+" VALUES (1, ?)", value)
	store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
	run(t, db, "INSERT INTO "+name+" VALUES (2.5, ?)", value)
	report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, "real")
	require.False(t, report.Complete)
	require.Zero(t, report.Retries)
	census, err := rekey.TakeCensus(t.Context(), client, store)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.False(t, census.Complete)

	name = databases[0].table(t, db, "CREATE TABLE NAME (k INT PRIMARY KEY NOT NULL, v)")
	run(t, db, "INSERT INTO "+name+" VALUES (1, 'x'), (2, 2.5)")
	report, err = rekey.Sweep(t.Context(), rekey.Base64(client), mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"}), rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "a value that is a number is no ciphertext, now or later")
	require.Zero(t, report.Retries)
}

// An order that does not hold what it promises, here a collation that the database does not sort by, must end a scan.
func TestAScanThatDoesNotAdvanceEnds(t *testing.T) {
	t.Parallel()
	db := databases[0].open(t)
	name := databases[0].table(t, db, "CREATE TABLE NAME (k INTEGER PRIMARY KEY NOT NULL, v BLOB)")
	for i := range 10 {
		run(t, db, "INSERT INTO "+name+" VALUES (?, 'x')", i)
	}
	// The condition leaves a way back to the first rows, whatever comes after it.
	store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v", PageRows: 3, Where: "1) OR (k < 7"})
	n, failed := 0, error(nil)
	for _, err := range store.Scan(t.Context(), rekey.Range{}) {
		if err != nil {
			failed = err
			break
		}
		if n++; n > 1000 {
			failed = errors.New("it goes on for ever")
			break
		}
	}
	require.ErrorContains(t, failed, "advance")
	require.ErrorIs(t, failed, kmsmigrate.ErrInvalid)
}
