package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// ledger creates a ledger of the test's own.
func (d database) ledger(t *testing.T, db *sql.DB) (*rekeysql.Ledger, string) {
	t.Helper()
	name := fmt.Sprintf("ledger%d", tables.Add(1))
	t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+name) })
	ledger, err := rekeysql.CreateLedger(t.Context(), db, name)
	require.NoError(t, err)
	return ledger, name
}

func TestALedgerKeepsTheLastOfWhoeverAdds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		ledger, name := d.ledger(t, db)
		id, other := kmsmigrate.LedgerID([]byte("a")), kmsmigrate.LedgerID([]byte("b"))
		found, err := ledger.Find(t.Context(), id)
		require.NoError(t, err)
		require.Nil(t, found)

		const adders, each = 8, 20
		var wg sync.WaitGroup
		for i := range adders {
			wg.Go(func() {
				mine, err := rekeysql.OpenLedger(t.Context(), d.openAgain(t, db), name)
				if err != nil {
					t.Error(err)
					return
				}
				for n := range each {
					if err := mine.Add(t.Context(), kmsmigrate.LedgerID(fmt.Append(nil, n)), fmt.Appendf(nil, "of adder %d\x00\xff", i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var rows int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows))
		require.Equal(t, each, rows)
		first, err := ledger.Find(t.Context(), kmsmigrate.LedgerID([]byte("0")))
		require.NoError(t, err)
		require.Contains(t, string(first), "of adder ")
		require.NoError(t, ledger.Add(t.Context(), kmsmigrate.LedgerID([]byte("0")), []byte("late")))
		again, err := ledger.Find(t.Context(), kmsmigrate.LedgerID([]byte("0")))
		require.NoError(t, err)
		require.Equal(t, "late", string(again), "a new key that was given up for another leaves entries that nobody can open")

		require.ErrorIs(t, ledger.Add(t.Context(), other, nil), kmsmigrate.ErrInvalid)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, ledger.Add(done, other, []byte("x")))
		_, err = ledger.Find(done, other)
		require.Error(t, err)
		found, err = ledger.Find(t.Context(), other)
		require.NoError(t, err)
		require.Nil(t, found)
	})
}

func TestWhatIsNoLedgerIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		_, err := rekeysql.OpenLedger(t.Context(), nil, "")
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		_, err = rekeysql.OpenLedger(t.Context(), db, "no_such_ledger")
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "opening creates nothing")
		require.ErrorContains(t, err, "no such table")
		for want, create := range map[string]string{
			`no column "ciphertext"`: "CREATE TABLE NAME (id " + keyType(d) + " PRIMARY KEY, v " + d.blob + ")",
			"makes its id unique":    "CREATE TABLE NAME (id " + keyType(d) + " NOT NULL, ciphertext " + d.blob + ")",
		} {
			name := d.table(t, db, create)
			for _, open := range []func(context.Context, rekeysql.DB, string) (*rekeysql.Ledger, error){rekeysql.OpenLedger, rekeysql.CreateLedger} {
				_, err := open(t.Context(), db, name)
				require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
				require.ErrorContains(t, err, want)
			}
		}
		if d.dialect != rekeysql.SQLite { // whose columns take everything
			name := d.table(t, db, "CREATE TABLE NAME (id VARCHAR(64) PRIMARY KEY, ciphertext "+d.text+")")
			_, err := rekeysql.OpenLedger(t.Context(), db, name)
			require.ErrorContains(t, err, "must be binary")
		}
		if d.dialect == rekeysql.MySQL {
			name := d.table(t, db, "CREATE TABLE NAME (id BINARY(32) PRIMARY KEY, ciphertext TINYBLOB)")
			_, err := rekeysql.OpenLedger(t.Context(), db, name)
			require.ErrorContains(t, err, "255 bytes at most")
		}
	})
	_, err := rekeysql.LedgerDDL(rekeysql.Auto, "x")
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	ddl, err := rekeysql.LedgerDDL(rekeysql.PostgreSQL, "")
	require.NoError(t, err)
	require.Contains(t, ddl, `"keyhaul_ledger"`)
}

// keyType is a binary type that can be a key.
func keyType(d database) string {
	if d.dialect == rekeysql.MySQL {
		return "BINARY(32)"
	}
	return d.blob
}

// migration is a table of envelope records and one of bare ciphertext, and what reads and writes them.
type migration struct {
	db        *sql.DB
	d         database
	old, next *keytest.Key
	ledger    kmsmigrate.Ledger
	store     *rekeysql.Store
	table     string
	backup    [][]byte // the records as they were before
}

func newMigration(t *testing.T, d database, n int) *migration {
	t.Helper()
	m := &migration{db: d.open(t), d: d, old: keytest.New(keytest.Config{}), next: keytest.New(keytest.Config{})}
	m.table = d.table(t, m.db, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+d.blob+")")
	m.ledger, _ = d.ledger(t, m.db)
	m.backup = make([][]byte, n)
	seal := m.envelope(t, kmsmigrate.OldOnly, nil)
	for i := range m.backup {
		var err error
		m.backup[i], err = seal.Seal(t.Context(), fmt.Appendf(nil, "record %d", i), m.context(i))
		require.NoError(t, err)
	}
	m.restore(t)
	m.store = mustOpen(t, m.db, rekeysql.Table{
		Name: m.table, Key: []string{"k"}, Value: "v", Columns: []string{"k"},
		Context: func(row map[string]string) kmsmigrate.EncryptionContext {
			return kmsmigrate.EncryptionContext{"group": row["k"][len(row["k"])-1:]}
		},
	})
	return m
}

func (m *migration) context(i int) kmsmigrate.EncryptionContext {
	return kmsmigrate.EncryptionContext{"group": fmt.Sprint(i % 10)}
}

// restore puts the backup back.
func (m *migration) restore(t *testing.T) {
	t.Helper()
	require.NoError(t, m.d.fill(t.Context(), m.db, m.table, func(i int) any { return i }, m.backup, false))
}

func (m *migration) client(t *testing.T, phase kmsmigrate.Phase, ledger kmsmigrate.Ledger) *kmsmigrate.Client {
	t.Helper()
	cfg := kmsmigrate.Config{Phase: phase, Old: m.old, New: m.next, Ledger: ledger}
	if phase == kmsmigrate.NewOnly {
		cfg.Old = nil
	}
	client, err := kmsmigrate.NewClient(cfg)
	require.NoError(t, err)
	return client
}

func (m *migration) envelope(t *testing.T, phase kmsmigrate.Phase, ledger kmsmigrate.Ledger) *envelope.Envelope {
	t.Helper()
	env, err := envelope.New(envelope.Config{Keys: m.client(t, phase, ledger)})
	require.NoError(t, err)
	t.Cleanup(env.Close)
	return env
}

func TestABackupOpensAndIsRenewedThroughTheLedgerWhenTheOldKeyIsGone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 200
		m := newMigration(t, d, n)
		// Half is read by the application, the rest swept. Both fill the ledger.
		rewriting := m.envelope(t, kmsmigrate.Rewrite, m.ledger)
		rekeyer, err := rekey.New(rekey.Config{Codec: rewriting, Store: m.store})
		require.NoError(t, err)
		for i := range n / 2 {
			rec, err := m.store.Get(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			_, err = rekeyer.Open(t.Context(), rec)
			require.NoError(t, err)
		}
		require.NoError(t, rekeyer.Close(t.Context()))
		report, err := rekey.Sweep(t.Context(), rewriting, m.store, rekey.Options{})
		require.NoError(t, err)
		require.Equal(t, n-rekeyer.Stats().Rewritten, report.Renewed)
		census, err := rekey.TakeCensus(t.Context(), rewriting, m.store)
		require.NoError(t, err)
		require.NoError(t, census.Clear(kmsmigrate.SideOld))

		m.old.Disable()
		encrypts, decrypts := m.old.Calls()
		// What waited in a queue, or was exported, has the bytes of before.
		without := m.envelope(t, kmsmigrate.NewOnly, nil)
		with := m.envelope(t, kmsmigrate.NewOnly, m.ledger)
		for _, i := range []int{0, n / 2, n - 1} {
			_, err := without.Open(t.Context(), m.backup[i], m.context(i))
			require.ErrorIs(t, err, kmsmigrate.ErrRetired)
			opened, err := with.Open(t.Context(), m.backup[i], m.context(i))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("record ", i), string(opened.Plaintext))
			_, err = with.Open(t.Context(), m.backup[i], m.context(i+1))
			require.Error(t, err, "a ledger opens nothing under another context")
		}

		// A restored backup is swept without the old key.
		m.restore(t)
		report, err = rekey.Sweep(t.Context(), m.envelope(t, kmsmigrate.Rewrite, m.ledger), m.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Renewed)
		for i := range n {
			rec, err := m.store.Get(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			opened, err := without.Open(t.Context(), rec.Value, rec.Context)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("record ", i), string(opened.Plaintext))
		}
		e, de := m.old.Calls()
		require.Equal(t, []int64{encrypts, decrypts}, []int64{e, de}, "nobody asked the old key again")
	})
}

func TestBareCiphertextOfABackupOpensThroughTheLedger(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 30
		m := newMigration(t, d, n)
		var err error
		for i := range m.backup {
			m.backup[i], err = m.old.Encrypt(t.Context(), fmt.Appendf(nil, "value %d", i), m.context(i))
			require.NoError(t, err)
		}
		m.restore(t)
		report, err := rekey.Sweep(t.Context(), m.client(t, kmsmigrate.Rewrite, m.ledger), m.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Renewed)
		m.old.Disable()
		m.restore(t)
		reader := m.client(t, kmsmigrate.NewOnly, m.ledger)
		for rec, err := range m.store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			opened, err := reader.Open(t.Context(), rec.Value, rec.Context)
			require.NoError(t, err)
			require.Equal(t, "value "+rec.ID, string(opened.Plaintext))
			_, err = m.client(t, kmsmigrate.NewOnly, nil).Open(t.Context(), rec.Value, rec.Context)
			require.ErrorIs(t, err, kmsmigrate.ErrRetired)
		}
	})
}

// A ledger that is down is an outage: the sweep waits for it and quarantines nothing, and no record is replaced without its
// entry.
func TestALedgerThatIsDownStopsTheSweepAndQuarantinesNothing(t *testing.T) {
	t.Parallel()
	d := databases[0]
	m := newMigration(t, d, 10)
	gone := d.open(t)
	ledger, name := d.ledger(t, gone)
	run(t, gone, "DROP TABLE "+name)
	report, err := rekey.Sweep(t.Context(), m.envelope(t, kmsmigrate.Rewrite, ledger), m.store, rekey.Options{Patience: 1})
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
	require.Zero(t, report.Quarantined)
	require.Zero(t, report.Renewed)
}
