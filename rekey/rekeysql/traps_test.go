package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func mustOpen(t *testing.T, db rekeysql.DB, table rekeysql.Table) *rekeysql.Store {
	t.Helper()
	store, err := rekeysql.Open(t.Context(), db, table)
	require.NoError(t, err)
	return store
}

func only(dialect rekeysql.Dialect, test func(t *testing.T, d database)) func(t *testing.T, d database) {
	return func(t *testing.T, d database) {
		t.Helper()
		if d.dialect == dialect {
			test(t, d)
		}
	}
}

func TestOpenSaysWhatIsWrongBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, email VARCHAR(50) NOT NULL, tenant INT NOT NULL, number INT NOT NULL, nick VARCHAR(50), secret "+d.blob+", n INT, updated_at TIMESTAMP NULL, amount DECIMAL(10,2) NOT NULL, UNIQUE (email), UNIQUE (nick), UNIQUE (tenant, number), UNIQUE (amount))")
		view := d.table(t, db, "CREATE VIEW NAME AS SELECT * FROM "+name)
		t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP VIEW "+view) })
		good := rekeysql.Table{Name: name, Key: []string{"id"}, Value: "secret", Keep: []string{"updated_at"}}
		mustOpen(t, db, good)
		for _, test := range []struct {
			want   string
			change func(*rekeysql.Table)
		}{
			{"Table.Name is empty", func(x *rekeysql.Table) { x.Name = "" }},
			{"no such table", func(x *rekeysql.Table) { x.Name = "no_such_table" }},
			{"no such table", func(x *rekeysql.Table) { x.Name = "'; DROP TABLE " + name + "; --`\"" }},
			{"view", func(x *rekeysql.Table) { x.Name = view }},
			{"Key is empty", func(x *rekeysql.Table) { x.Key = nil }},
			{"Value is empty", func(x *rekeysql.Table) { x.Value = "" }},
			{"both Value and Values", func(x *rekeysql.Table) { x.Values = []string{"secret"} }},
			{`no column "idd"; it has id, email`, func(x *rekeysql.Table) { x.Key = []string{"idd"} }},
			{`no column "secrets"`, func(x *rekeysql.Table) { x.Value = "secrets" }},
			{`no column "changed"`, func(x *rekeysql.Table) { x.Keep = []string{"changed"} }},
			{`no column "who"`, func(x *rekeysql.Table) {
				x.Columns, x.Context = []string{"who"}, func(map[string]string) kmsmigrate.EncryptionContext { return nil }
			}},
			{"no Context that uses them", func(x *rekeysql.Table) { x.Columns = []string{"email"} }},
			{"named twice", func(x *rekeysql.Table) { x.Value = "id" }},
			{"makes tenant unique; unique are", func(x *rekeysql.Table) { x.Key = []string{"tenant"} }},
			{`"nick" can be NULL`, func(x *rekeysql.Table) { x.Key = []string{"nick"} }},
			{`key column "amount" is of type`, func(x *rekeysql.Table) { x.Key = []string{"amount"} }},
			{"reading the first row", func(x *rekeysql.Table) { x.Where = "this is no condition" }},
			{"negative", func(x *rekeysql.Table) { x.PageRows = -1 }},
		} {
			table := good
			test.change(&table)
			_, err := rekeysql.Open(t.Context(), db, table)
			require.ErrorContains(t, err, test.want)
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		}
		for _, key := range [][]string{{"email"}, {"tenant", "number"}, {"number", "tenant"}, {"tenant", "id"}} {
			table := good
			table.Key = key
			mustOpen(t, db, table)
		}
		if d.dialect != rekeysql.SQLite { // whose columns take everything
			table := good
			table.Value = "n"
			_, err := rekeysql.Open(t.Context(), db, table)
			require.ErrorContains(t, err, "ciphertext needs a text or binary column")
		}
		_, err := rekeysql.Open(t.Context(), nil, good)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	})
}

func TestMySQLWithoutStrictModeIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.MySQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v VARCHAR(10))")
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		run(t, conn, "SET SESSION sql_mode = ''")
		_, err = rekeysql.Open(t.Context(), conn, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		require.ErrorContains(t, err, "STRICT_TRANS_TABLES")
		run(t, conn, "SET SESSION sql_mode = DEFAULT")
	}))
}

func TestASwapThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		for _, test := range []struct {
			column, was, fits, large string
		}{
			{"VARCHAR(8)", "short", "üüüüüüüü", "123456789"},
			{"CHAR(8)", "12345678", "abcdefgh", "123456789"},
			{"VARCHAR(8)", "short", "12345678", "\xff\xfe"},
			{"TINYBLOB", "short", strings.Repeat("x", 255), strings.Repeat("x", 256)},
			{"TINYTEXT", "short", strings.Repeat("x", 255), strings.Repeat("ü", 128)},
			{"VARBINARY(8)", "short", "12345678", "123456789"},
			{"BINARY(8)", "12345678", "abcdefgh", "1234567"},
		} {
			if d.name == "sqlite" || d.name == "postgres" && !strings.Contains(test.column, "CHAR") {
				continue
			}
			name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+test.column+")")
			run(t, db, d.args("INSERT INTO "+name+" VALUES (1, ?)"), test.was)
			store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
			require.ErrorIs(t, store.Swap(t.Context(), "1", []byte(test.was), []byte(test.large)), rekey.ErrRefused, test.column)
			rec, err := store.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Equal(t, test.was, string(rec.Value))
			require.NoError(t, store.Swap(t.Context(), "1", []byte(test.was), []byte(test.fits)), test.column)
			rec, err = store.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Equal(t, test.fits, string(rec.Value))
		}
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v VARCHAR(100), CHECK (v <> 'forbidden'))")
		run(t, db, "INSERT INTO "+name+" VALUES (1, 'x')")
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		require.ErrorIs(t, store.Swap(t.Context(), "1", []byte("x"), []byte("forbidden")), rekey.ErrRefused)
	})
}

func TestKeptColumnsKeepTheirValue(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.MySQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v VARCHAR(20), updated_at TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP)")
		run(t, db, "INSERT INTO "+name+" (id, v) VALUES (1, 'a')")
		updated := func() (at time.Time) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT updated_at FROM "+name).Scan(&at))
			return at
		}
		before := updated()
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v", Keep: []string{"updated_at"}})
		require.NoError(t, store.Swap(t.Context(), "1", []byte("a"), []byte("b")))
		require.Equal(t, before, updated())
		careless := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		require.NoError(t, careless.Swap(t.Context(), "1", []byte("b"), []byte("c")))
		require.NotEqual(t, before, updated())
	}))
}

func TestASwapDoesNotWaitForALock(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+d.text+")")
		run(t, db, "INSERT INTO "+name+" VALUES (1, 'a'), (2, 'b')")
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		run(t, tx, "UPDATE "+name+" SET v = 'locked' WHERE id = 1")

		began := time.Now()
		err = store.Swap(t.Context(), "1", []byte("a"), []byte("c"))
		require.ErrorIs(t, err, rekey.ErrBusy)
		require.Less(t, time.Since(began), 4*time.Second)
		if d.name != "sqlite" { // which has one lock for all
			require.NoError(t, store.Swap(t.Context(), "2", []byte("b"), []byte("c")))
			other, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer func() { _ = other.Rollback() }()
			require.ErrorIs(t, store.In(other).Swap(t.Context(), "1", []byte("a"), []byte("c")), rekey.ErrConflict)
			require.NoError(t, store.In(other).Swap(t.Context(), "2", []byte("c"), []byte("d")), "the transaction goes on")
			require.NoError(t, other.Commit())
		}
		require.NoError(t, store.In(tx).Swap(t.Context(), "1", []byte("locked"), []byte("mine")), "its own lock is no obstacle")
		require.NoError(t, tx.Rollback())
		rec, err := store.Get(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, "a", string(rec.Value), "rolled back with the transaction")
	})
}

func TestOpenSyncCommitsAndRollsBackWithTheTransaction(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+d.blob+")")
		old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
		client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh})
		require.NoError(t, err)
		value, err := old.Encrypt(t.Context(), []byte("hello"), nil)
		require.NoError(t, err)
		run(t, db, d.args("INSERT INTO "+name+" VALUES (1, ?)"), value)
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		rekeyer, err := rekey.New(rekey.Config{Codec: client})
		require.NoError(t, err)
		for _, commit := range []bool{false, true} {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			in := store.In(tx)
			rec, err := in.Get(t.Context(), "1")
			require.NoError(t, err)
			plaintext, err := rekeyer.OpenSync(t.Context(), in, rec)
			require.NoError(t, err)
			require.Equal(t, "hello", string(plaintext))
			if commit {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
			}
			census, err := rekey.TakeCensus(t.Context(), client, store)
			require.NoError(t, err)
			require.Equal(t, commit, census.Held(kmsmigrate.SideNew) == 1)
		}
		require.EqualValues(t, 2, rekeyer.Stats().Rewritten)
	})
}

func TestKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		binary := d.of("BLOB", "VARBINARY(20)", "bytea")
		rows := func(n int, key func(i int) []any) (all [][]any) {
			for i := range n {
				all = append(all, key(i))
			}
			return all
		}
		for _, test := range []struct {
			name, columns string
			keys          [][]any
			ids           []string // of the first rows in order
		}{
			{"big integers", "a BIGINT NOT NULL, PRIMARY KEY (a)", [][]any{{int64(-5)}, {int64(9007199254740993)}, {int64(9223372036854775807)}}, []string{"-5", "9007199254740993", "9223372036854775807"}},
			{"awkward text", "a VARCHAR(50) NOT NULL, PRIMARY KEY (a)", [][]any{{""}, {`"quoted"`}, {"a,b"}, {`it's`}, {"ü"}}, nil},
			{"binary", "a " + binary + " NOT NULL, PRIMARY KEY (a)", [][]any{{[]byte{0, 1}}, {[]byte{0xff}}, {[]byte("a")}}, []string{"0001", "61", "ff"}},
			{"two columns", "a INT NOT NULL, b VARCHAR(20) NOT NULL, PRIMARY KEY (a, b)", rows(700, func(i int) []any { return []any{i % 7, fmt.Sprintf("n%04d", i)} }), []string{`"0","n0000"`, `"0","n0007"`}},
			{"three columns", "a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, PRIMARY KEY (a, b, c)", rows(700, func(i int) []any { return []any{i % 3, i % 11, i} }), []string{`"0","0","0"`, `"0","0","33"`}},
		} {
			name := d.table(t, db, "CREATE TABLE NAME (v "+d.blob+", "+test.columns+")")
			var key []string
			for i := range test.keys[0] {
				key = append(key, string(rune('a'+i)))
			}
			for i, k := range test.keys {
				marks := strings.TrimSuffix(strings.Repeat("?, ", len(k)+1), ", ")
				run(t, db, d.args("INSERT INTO "+name+" (v, "+strings.Join(key, ", ")+") VALUES ("+marks+")"), append([]any{fmt.Appendf(nil, "value %d", i)}, k...)...)
			}
			store := mustOpen(t, db, rekeysql.Table{Name: name, Key: key, Value: "v", PageRows: 64})
			seen := map[string]bool{}
			n := 0
			for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
				require.NoError(t, err, test.name)
				if n < len(test.ids) {
					require.Equal(t, test.ids[n], rec.ID)
				}
				n++
				seen[string(rec.Value)] = true
				require.NoError(t, store.Swap(t.Context(), rec.ID, rec.Value, append(rec.Value, '!')), "%s: %s", test.name, rec.ID)
				rest, err := store.Count(t.Context(), rekey.Range{After: rec.ID})
				require.NoError(t, err)
				require.EqualValues(t, len(test.keys)-n, rest, "%s: after %s", test.name, rec.ID)
			}
			require.Len(t, seen, len(test.keys), test.name)
			id, err := store.ID(test.keys[0]...)
			require.NoError(t, err)
			rec, err := store.Get(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, "value 0!", string(rec.Value))
		}
	})
}

func TestUUIDKeysOfPostgreSQL(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.PostgreSQL, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id uuid PRIMARY KEY, v text)")
		run(t, db, "INSERT INTO "+name+" SELECT gen_random_uuid(), 'x' FROM generate_series(1, 300)")
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		n := 0
		for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			require.Len(t, rec.ID, 36)
			require.NoError(t, store.Swap(t.Context(), rec.ID, rec.Value, []byte("y")))
			n++
		}
		require.Equal(t, 300, n)
	}))
}

func TestIDsOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.SQLite, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (a INTEGER NOT NULL, b TEXT NOT NULL, c BLOB NOT NULL UNIQUE, v BLOB, PRIMARY KEY (a, b), UNIQUE (a))")
		for _, test := range []struct {
			key []string
			ids []string
		}{
			{[]string{"a"}, []string{"", "x", "1.5", `"1`, `"1","2"`, "99999999999999999999"}},
			{[]string{"a", "b"}, []string{"", "1", "1,2", `"1"`, `"1","2","3"`, `"1","2`, `"1";"2"`, `'1','2'`, "`1`,`2`", `"x","2"`}},
			{[]string{"c"}, []string{"xyz", "0"}},
		} {
			store := mustOpen(t, db, rekeysql.Table{Name: name, Key: test.key, Value: "v"})
			for _, id := range test.ids {
				require.ErrorIs(t, store.Swap(t.Context(), id, []byte("a"), []byte("b")), kmsmigrate.ErrInvalid, "id %s for %v", id, test.key)
				_, err := store.Get(t.Context(), id)
				require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			}
		}
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"a", "b"}, Value: "v"})
		_, err := store.ID(1)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		id, err := store.ID("x", "y") // SQLite keeps text in a column of integers, so this can be a key
		require.NoError(t, err)
		require.ErrorIs(t, store.Swap(t.Context(), id, []byte("a"), []byte("b")), rekey.ErrConflict)
	}))
}

func TestNullsConditionsAndContexts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+d.blob+", tenant VARCHAR(20), kind INT NOT NULL)")
		run(t, db, d.args("INSERT INTO "+name+" VALUES (1, ?, 'acme', 1), (2, NULL, 'acme', 1), (3, ?, NULL, 1), (4, ?, 'other', 2), (5, ?, 'acme', 1)"), []byte("one"), []byte("three"), []byte("four"), []byte{})
		store := mustOpen(t, db, rekeysql.Table{
			Name: name, Key: []string{"id"}, Value: "v", Where: "kind = 1 OR kind = 7", Columns: []string{"tenant", "id"},
			Context: func(row map[string]string) kmsmigrate.EncryptionContext {
				if tenant, ok := row["tenant"]; ok {
					return kmsmigrate.EncryptionContext{"tenant": tenant, "id": row["id"]}
				}
				return nil
			},
		})
		var recs []rekey.Record
		for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			recs = append(recs, rec)
		}
		require.Equal(t, []rekey.Record{
			{ID: "1", Value: []byte("one"), Context: kmsmigrate.EncryptionContext{"tenant": "acme", "id": "1"}},
			{ID: "2", Context: kmsmigrate.EncryptionContext{"tenant": "acme", "id": "2"}},
			{ID: "3", Value: []byte("three")},
			{ID: "5", Context: kmsmigrate.EncryptionContext{"tenant": "acme", "id": "5"}},
		}, recs)
		require.ErrorIs(t, store.Swap(t.Context(), "2", nil, []byte("x")), rekey.ErrConflict, "what holds nothing is never filled")
	})
}

func TestSeveralColumnsAreSwappedTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, wrapped "+d.text+", payload "+d.blob+")")
		run(t, db, d.args("INSERT INTO "+name+" VALUES (1, 'key 1', ?), (2, NULL, ?), (3, NULL, NULL)"), []byte("payload 1"), []byte("payload 2"))
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Values: []string{"wrapped", "payload"}})
		one, err := store.Get(t.Context(), "1")
		require.NoError(t, err)
		two, err := store.Get(t.Context(), "2")
		require.NoError(t, err)
		three, err := store.Get(t.Context(), "3")
		require.NoError(t, err)
		require.Empty(t, three.Value)
		require.ErrorIs(t, store.Swap(t.Context(), "1", two.Value, one.Value), rekey.ErrConflict)
		require.NoError(t, store.Swap(t.Context(), "2", two.Value, one.Value))
		var wrapped sql.NullString
		var payload []byte
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT wrapped, payload FROM "+name+" WHERE id = 2").Scan(&wrapped, &payload))
		require.Equal(t, "key 1", wrapped.String)
		require.Equal(t, "payload 1", string(payload))
		require.NoError(t, store.Swap(t.Context(), "2", one.Value, two.Value))
		again, err := store.Get(t.Context(), "2")
		require.NoError(t, err)
		require.Equal(t, two, again)
		require.ErrorIs(t, store.Swap(t.Context(), "2", two.Value, []byte("not packed")), rekey.ErrRefused)
	})
}

func TestSQLiteKeepsTextTextAndBlobsBlobs(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.SQLite, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INTEGER PRIMARY KEY, v)")
		run(t, db, "INSERT INTO "+name+" VALUES (1, 'text'), (2, ?)", []byte("blob"))
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		require.NoError(t, store.Swap(t.Context(), "1", []byte("text"), []byte("new")))
		require.NoError(t, store.Swap(t.Context(), "2", []byte("blob"), []byte("new")))
		for id, want := range map[int]string{1: "text", 2: "blob"} {
			var is string
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT typeof(v) FROM "+name+" WHERE id = ?", id).Scan(&is))
			require.Equal(t, want, is)
		}
	}))
}

func TestLongValuesMakeShortPages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+d.blob+")")
		for i := range 150 {
			run(t, db, d.args("INSERT INTO "+name+" VALUES (?, ?)"), i, make([]byte, 4096))
		}
		counting := &countingDB{DB: db}
		store := mustOpen(t, counting, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v", PageBytes: 40 << 10, Dialect: d.dialect})
		counting.queries = 0
		n := 0
		for _, err := range store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 150, n)
		require.GreaterOrEqual(t, counting.queries, 6, "100 rows, then 9 at a time")
	})
}

type countingDB struct {
	rekeysql.DB
	queries int
}

func (c *countingDB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.queries++
	return c.DB.QueryContext(ctx, query, args...)
}

func TestWarningsNameTriggersAndWhatTheDatabaseChanges(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		stamp := "TIMESTAMP NULL"
		if d.dialect == rekeysql.MySQL {
			stamp = "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"
		}
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v "+d.text+", updated_at "+stamp+")")
		switch d.dialect {
		case rekeysql.SQLite:
			run(t, db, "CREATE TRIGGER "+name+"_tr AFTER UPDATE ON "+name+" BEGIN UPDATE "+name+" SET updated_at = 1 WHERE id = NEW.id; END")
			run(t, db, "CREATE TRIGGER "+name+"_ins AFTER INSERT ON "+name+" BEGIN UPDATE "+name+" SET updated_at = 1 WHERE id = NEW.id; END")
		case rekeysql.MySQL:
			run(t, db, "CREATE TRIGGER "+name+"_tr BEFORE UPDATE ON "+name+" FOR EACH ROW SET NEW.v = NEW.v")
			run(t, db, "CREATE TRIGGER "+name+"_ins BEFORE INSERT ON "+name+" FOR EACH ROW SET NEW.v = NEW.v")
		case rekeysql.PostgreSQL:
			run(t, db, "CREATE TRIGGER "+name+"_tr BEFORE UPDATE ON "+name+" FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
		}
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		warnings, err := store.Warnings(t.Context(), 1000)
		require.NoError(t, err)
		text := strings.Join(warnings, "\n")
		require.Contains(t, text, name+"_tr")
		require.NotContains(t, text, name+"_ins")
		require.Equal(t, d.dialect == rekeysql.MySQL, strings.Contains(text, "updated_at"))
		require.Contains(t, text, d.of("1000 bytes", "2000 bytes", "1000 bytes"))
	})
}

func TestAReplicaIsReadAndNeverWritten(t *testing.T) {
	t.Parallel()
	onEach(t, only(rekeysql.SQLite, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		db.SetMaxOpenConns(1)
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, v TEXT)")
		run(t, db, "INSERT INTO "+name+" VALUES (1, 'a')")
		run(t, db, "PRAGMA query_only = 1")
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "v"})
		run(t, db, "PRAGMA query_only = 0")
		_, err := store.Get(t.Context(), "1")
		require.NoError(t, err)
		require.ErrorContains(t, store.Swap(t.Context(), "1", []byte("a"), []byte("b")), "replica")
	}))
}
