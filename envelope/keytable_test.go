package envelope_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// memoryTable is a KeyTable of a test.
type memoryTable struct {
	mu      sync.Mutex
	entries map[envelope.KeyID][]byte
	gets    int
	fail    error
}

func (m *memoryTable) Get(_ context.Context, id envelope.KeyID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	if e, ok := m.entries[id]; ok {
		return bytes.Clone(e), m.fail
	}
	return nil, envelope.ErrNoDataKey
}

func (m *memoryTable) Add(_ context.Context, id envelope.KeyID, entry []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.entries == nil {
		m.entries = map[envelope.KeyID][]byte{}
	}
	if _, ok := m.entries[id]; !ok {
		m.entries[id] = bytes.Clone(entry)
	}
	return nil
}

// renewAll is what a sweep of the table does.
func (m *memoryTable) renewAll(t *testing.T, e *envelope.Envelope, ec kmsmigrate.EncryptionContext) {
	t.Helper()
	for id, entry := range m.entries {
		r, err := e.Renew(t.Context(), entry, ec)
		require.NoError(t, err)
		require.NotNil(t, r.Ciphertext)
		m.entries[id] = r.Ciphertext
	}
}

func TestMovingTheTableMovesEveryRecord(t *testing.T) {
	t.Parallel()
	keys := kmsmigrate.EncryptionContext{"purpose": "data keys"}
	w := newWorld(t, kmsmigrate.ReadBoth)
	table := new(memoryTable)
	cfg := envelope.Config{Table: table, TableContext: keys}
	var records [60][]byte
	for _, e := range []*envelope.Envelope{w.envelope(t, cfg), w.envelope(t, cfg)} { // two processes
		for i := range records {
			records[i] = seal(t, e, fmt.Sprint("record ", i), kmsmigrate.EncryptionContext{"row": fmt.Sprint(i)})
		}
	}
	require.Len(t, table.entries, 2, "one data key for each process, whatever the records' contexts")
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	before := w.calls()
	sweeper := w.envelope(t, envelope.Config{})
	table.renewAll(t, sweeper, keys)
	require.Equal(t, before+3*2, w.calls())

	require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
	w.old.Disable()
	e := w.envelope(t, cfg)
	for i, record := range records {
		opened := requireOpens(t, e, record, kmsmigrate.EncryptionContext{"row": fmt.Sprint(i)}, fmt.Sprint("record ", i))
		require.Equal(t, kmsmigrate.SideNew, opened.Side)
		require.False(t, opened.Stale)
		_, err := e.Open(t.Context(), record, kmsmigrate.EncryptionContext{"row": "another"})
		require.ErrorIs(t, err, envelope.ErrTampered)
	}
	require.Equal(t, 1, table.gets, "60 records of one data key")
	r, err := e.Renew(t.Context(), records[0], nil)
	require.NoError(t, err)
	require.Nil(t, r.Ciphertext)
	info, err := e.Inspect(records[0])
	require.NoError(t, err)
	require.Equal(t, "keyhaul table", info.Layout)
}

func TestRecordsMoveIntoTheTableOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	writer := w.envelope(t, envelope.Config{})
	var records [20][]byte
	for i := range records {
		records[i] = seal(t, writer, "moved", customers)
	}
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	table := new(memoryTable)
	cfg := envelope.Config{Table: table, TableContext: kmsmigrate.EncryptionContext{"purpose": "data keys"}}
	before := w.calls()
	var group sync.WaitGroup
	e, other := w.envelope(t, cfg), w.envelope(t, cfg)
	var moved [20][]byte
	for i, record := range records {
		group.Go(func() {
			by := e
			if i%2 == 1 {
				by = other // another process at the same time
			}
			if r, err := by.Renew(t.Context(), record, customers); err == nil {
				moved[i] = r.Ciphertext
			}
		})
	}
	group.Wait()
	require.Len(t, table.entries, 1)
	require.LessOrEqual(t, w.calls(), before+2*3+1, "three for each process, fewer where the other was first, and one for who did not know")
	require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
	reader := w.envelope(t, cfg)
	for i, record := range moved {
		require.Less(t, len(record), len(records[i]))
		require.True(t, bytes.HasSuffix(record, records[i][len(records[i])-30:]), "the payload stays")
		requireOpens(t, reader, record, customers, "moved")
	}
}

func TestAKeyTableInADatabase(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "keys.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE data_keys (id CHAR(32) PRIMARY KEY, entry BLOB NOT NULL)")
	require.NoError(t, err)
	table, err := envelope.NewSQLKeyTable(db, "data_keys", false)
	require.NoError(t, err)
	w := newWorld(t, kmsmigrate.OldOnly)
	record := seal(t, w.envelope(t, envelope.Config{Table: table}), "in a database", customers)
	requireOpens(t, w.envelope(t, envelope.Config{Table: table}), record, customers, "in a database")

	require.NoError(t, table.Add(t.Context(), envelope.KeyID{1}, []byte("first")))
	require.NoError(t, table.Add(t.Context(), envelope.KeyID{1}, []byte("second")))
	entry, err := table.Get(t.Context(), envelope.KeyID{1})
	require.NoError(t, err)
	require.Equal(t, "first", string(entry))
	_, err = table.Get(t.Context(), envelope.KeyID{2})
	require.ErrorIs(t, err, envelope.ErrNoDataKey)

	for _, name := range []string{"", "a b", "x; DROP TABLE data_keys", "a.b.c"} {
		_, err := envelope.NewSQLKeyTable(db, name, false)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	_, err = envelope.NewSQLKeyTable(nil, "data_keys", false)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestNothingIsSealedWithADataKeyThatIsNotInTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	table := &memoryTable{fail: errPlain}
	_, err := w.envelope(t, envelope.Config{Table: table}).Seal(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, errPlain)

	table.fail = nil
	e := w.envelope(t, envelope.Config{Table: table})
	record := seal(t, e, "x", nil)
	_, err = w.envelope(t, envelope.Config{}).Open(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "no table")
	_, err = w.envelope(t, envelope.Config{Table: new(memoryTable)}).Open(t.Context(), record, nil)
	require.ErrorIs(t, err, envelope.ErrNoDataKey)
	_, err = e.Rewrap(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	for i := range record {
		changed := bytes.Clone(record)
		changed[i] ^= 1
		_, err := e.Open(t.Context(), changed, nil)
		require.Error(t, err, i)
		_, err = e.Open(t.Context(), record[:i], nil)
		require.Error(t, err, i)
	}
}
