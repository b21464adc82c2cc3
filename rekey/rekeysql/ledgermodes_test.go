package rekeysql_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

var ofDataKeys = kmsmigrate.EncryptionContext{"purpose": "data keys"}

// keyTable creates a key table, and declares it for sweeps of its entries.
func (m *migration) keyTable(t *testing.T) (envelope.Config, *rekeysql.Store) {
	t.Helper()
	name := fmt.Sprintf("keys%d", tables.Add(1))
	run(t, m.db, "CREATE TABLE "+name+" (id CHAR(32) NOT NULL PRIMARY KEY, entry "+m.d.blob+" NOT NULL)")
	t.Cleanup(func() { _, _ = m.db.ExecContext(context.Background(), "DROP TABLE "+name) })
	table, err := envelope.NewSQLKeyTable(m.db, name, m.d.dialect == rekeysql.PostgreSQL)
	require.NoError(t, err)
	store := mustOpen(t, m.db, rekeysql.Table{
		Name: name, Key: []string{"id"}, Value: "entry",
		Context: func(map[string]string) kmsmigrate.EncryptionContext { return ofDataKeys },
	})
	return envelope.Config{Table: table, TableContext: ofDataKeys}, store
}

func (m *migration) with(t *testing.T, phase kmsmigrate.Phase, cfg envelope.Config) *envelope.Envelope {
	t.Helper()
	cfg.Keys = m.client(t, phase, nil)
	env, err := envelope.New(cfg)
	require.NoError(t, err)
	t.Cleanup(env.Close)
	return env
}

// mustBeClear takes a census of a store.
func mustBeClear(t *testing.T, codec rekey.Codec, store *rekeysql.Store, records int) kmsmigrate.Census {
	t.Helper()
	census, err := rekey.TakeCensus(t.Context(), codec, store)
	require.NoError(t, err)
	require.NoError(t, census.Clear(kmsmigrate.SideOld))
	require.EqualValues(t, records, census.Held(kmsmigrate.SideNew))
	return census
}

// mustOpenAlone reads every record without the old key.
func (m *migration) mustOpenAlone(t *testing.T, cfg envelope.Config) {
	t.Helper()
	m.old.Disable()
	defer m.old.Enable()
	reader := m.with(t, kmsmigrate.NewOnly, cfg)
	n := 0
	for rec, err := range m.store.Scan(t.Context(), rekey.Range{}) {
		require.NoError(t, err)
		opened, err := reader.Open(t.Context(), rec.Value, rec.Context)
		require.NoError(t, err)
		require.Equal(t, "record "+rec.ID, string(opened.Plaintext))
		n++
	}
	require.Equal(t, len(m.backup), n)
}

func TestADatabaseMovesByItsKeyTableAlone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 120
		m := newMigration(t, d, n)
		cfg, entries := m.keyTable(t)
		for range 2 { // two processes of the old days
			writer := m.with(t, kmsmigrate.OldOnly, cfg)
			for i := range n {
				var err error
				m.backup[i], err = writer.Seal(t.Context(), fmt.Appendf(nil, "record %d", i), m.context(i))
				require.NoError(t, err)
			}
		}
		m.restore(t)
		before, err := m.store.Get(t.Context(), "7")
		require.NoError(t, err)

		// The records need nothing of the old side themselves, and the census of their own table says no more than that.
		sweeper := m.with(t, kmsmigrate.Rewrite, cfg)
		report, err := rekey.Sweep(t.Context(), sweeper, m.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n, report.AlreadyNew)
		census := mustBeClear(t, sweeper, m.store, n)
		require.Equal(t, "keyhaul table", census.Counts[0].Layout)
		census, err = rekey.TakeCensus(t.Context(), sweeper, entries)
		require.NoError(t, err)
		require.EqualValues(t, 2, census.Held(kmsmigrate.SideOld), "what the entries need is another census's to say")

		_, decrypts := m.old.Calls()
		report, err = rekey.Sweep(t.Context(), sweeper, entries, rekey.Options{Name: "data_keys"})
		require.NoError(t, err)
		require.EqualValues(t, 2, report.Renewed)
		mustBeClear(t, sweeper, entries, 2)
		_, after := m.old.Calls()
		require.EqualValues(t, 2, after-decrypts, "two calls of the old key, however many records")
		m.mustOpenAlone(t, cfg)
		now, err := m.store.Get(t.Context(), "7")
		require.NoError(t, err)
		require.Equal(t, before, now, "no record was touched")
	})
}

func TestASweepMovesRecordsIntoTheKeyTable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 100
		m := newMigration(t, d, n)
		cfg, entries := m.keyTable(t)
		sweeper := m.with(t, kmsmigrate.Rewrite, cfg)
		report, err := rekey.Sweep(t.Context(), sweeper, m.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Renewed)
		mustBeClear(t, sweeper, m.store, n)
		mustBeClear(t, sweeper, entries, 10) // one for each context, as the records had shared data keys
		m.mustOpenAlone(t, cfg)
		rec, err := m.store.Get(t.Context(), "7")
		require.NoError(t, err)
		require.Less(t, len(rec.Value), len(m.backup[7]))
		tail := len(fmt.Sprint("record ", 7)) + 16
		require.True(t, bytes.HasSuffix(rec.Value, m.backup[7][len(m.backup[7])-tail:]), "the payload stays")

		// The next migration touches the entries only.
		m.old, m.next = m.next, m.old
		report, err = rekey.Sweep(t.Context(), m.with(t, kmsmigrate.Rewrite, cfg), entries, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, 10, report.Renewed)
		m.mustOpenAlone(t, cfg)
	})
}

func TestASweepReencryptsRecords(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 100
		m := newMigration(t, d, n)
		sweeper := m.with(t, kmsmigrate.Rewrite, envelope.Config{}).Reencrypting()
		report, err := rekey.Sweep(t.Context(), sweeper, m.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Renewed)
		mustBeClear(t, sweeper, m.store, n)
		m.mustOpenAlone(t, envelope.Config{})
		for rec, err := range m.store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			var i int
			_, err = fmt.Sscan(rec.ID, &i)
			require.NoError(t, err)
			tail := len("record ") + len(rec.ID) + 16
			require.NotEqual(t, m.backup[i][len(m.backup[i])-tail:], rec.Value[len(rec.Value)-tail:], "the payload is another")
		}
	})
}
