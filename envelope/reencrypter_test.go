package envelope_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

var (
	_ rekey.Codec = (*envelope.Envelope)(nil)
	_ rekey.Codec = (*envelope.Reencrypter)(nil)
)

// stored returns a store with these records, in this order.
func stored(records ...[]byte) *rekeytest.Memory {
	m := new(rekeytest.Memory)
	for i, r := range records {
		m.Put(rekey.Record{ID: fmt.Sprintf("%03d", i), Value: r, Context: customers})
	}
	return m
}

func value(t *testing.T, m *rekeytest.Memory, i int) []byte {
	t.Helper()
	rec, err := m.Get(t.Context(), fmt.Sprintf("%03d", i))
	require.NoError(t, err)
	return rec.Value
}

func TestReencryptingGivesTheOldSidesRecordsFreshDataKeys(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own": {}, "own, fresh keys": {FreshKeys: true}, "table": {Table: new(memoryTable)}, "three-line": {Layout: envelope.ThreeLine{}},
		"blob": {Layout: envelope.Blob{}}, "both": {WrapBoth: true},
	} {
		w := newWorld(t, kmsmigrate.ReadBoth)
		records := make([][]byte, 10, 11)
		was := w.envelope(t, envelope.Config{Layout: cfg.Layout})
		for i := range records {
			records[i] = seal(t, was, fmt.Sprint("record ", i), customers)
		}
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		e := w.envelope(t, cfg)
		done := seal(t, w.envelope(t, cfg), "new already", customers)
		m := stored(append(records, done)...)
		report, err := rekey.Sweep(t.Context(), e.Reencrypting(), m, rekey.Options{})
		require.NoError(t, err, name)
		require.EqualValues(t, 10, report.Renewed, name)
		require.EqualValues(t, 1, report.AlreadyNew)
		require.Zero(t, report.Quarantined)

		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		w.old.Disable()
		after := w.envelope(t, cfg)
		for i, record := range records {
			now := value(t, m, i)
			requireOpens(t, after, now, customers, fmt.Sprint("record ", i))
			require.False(t, bytes.HasSuffix(now, record[len(record)-20:]), "the payload is another")
			if cfg.Layout == nil {
				require.NotEqual(t, record[6:38], now[6:38], "the data key is another")
			}
		}
		require.Equal(t, done, value(t, m, 10))
	}
}

func TestTheOldKeyIsNotGivenTheNewDataKey(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{"own": {WrapBoth: true}, "fresh": {WrapBoth: true, FreshKeys: true}, "table": {WrapBoth: true, Table: new(memoryTable)}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		record := seal(t, w.envelope(t, envelope.Config{}), "x", customers)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		e := w.envelope(t, cfg)
		both := seal(t, e, "both", customers) // whose data key is in memory
		r, err := e.Reencrypting().Renew(t.Context(), record, customers)
		require.NoError(t, err)
		again, err := e.Reencrypt(t.Context(), record, customers)
		require.NoError(t, err)
		onlyOld := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil), Table: cfg.Table})
		requireOpens(t, onlyOld, both, customers, "both")
		for _, sealed := range [][]byte{r.Ciphertext, again} {
			requireOpens(t, e, sealed, customers, "x")
			_, err = onlyOld.Open(t.Context(), sealed, customers)
			require.Error(t, err, name)
		}
		e.Flush()
		require.Zero(t, e.Stats().CachedSeal, name)
	}
}

func TestConvertingMovesEveryFormatIntoTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	layouts := []envelope.Layout{envelope.ThreeLine{}, envelope.JSON{}, envelope.BlobInfo{}, envelope.Blob{}, envelope.OSS{}}
	var records [][]byte
	for _, l := range append([]envelope.Layout{nil}, layouts...) {
		for range 3 {
			records = append(records, seal(t, w.envelope(t, envelope.Config{Layout: l}), fmt.Sprint("record ", len(records)), customers))
		}
	}
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	records = append(records, seal(t, w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}}), fmt.Sprint("record ", len(records)), customers)) // new, and not in the table
	table := new(memoryTable)
	cfg := envelope.Config{Layouts: layouts, Table: table, TableContext: kmsmigrate.EncryptionContext{"purpose": "data keys"}}
	e := w.envelope(t, cfg)
	m := stored(records...)
	report, err := rekey.Sweep(t.Context(), e.Converting(), m, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, len(records), report.Renewed)
	require.Len(t, table.entries, 1+3, "one that Seal uses, and one for each data key of the own format")
	again, err := rekey.Sweep(t.Context(), w.envelope(t, cfg).Converting(), m, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, len(records), again.AlreadyNew)

	require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
	w.old.Disable()
	after := w.envelope(t, cfg)
	before := decrypts(w.new)
	for i := range records {
		info, err := after.Inspect(value(t, m, i))
		require.NoError(t, err)
		require.Equal(t, "keyhaul table", info.Layout)
		requireOpens(t, after, value(t, m, i), customers, fmt.Sprint("record ", i))
	}
	require.Equal(t, before+4, decrypts(w.new), "one for each entry of the table")
}

func TestAReadConvertsARecordOfEitherSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	threeLine := envelope.Config{Layout: envelope.ThreeLine{}}
	old := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil), Layout: envelope.ThreeLine{}}), "old", customers)
	fresh := seal(t, w.envelope(t, threeLine), "fresh", customers)
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.ThreeLine{}}})
	m := stored(old, fresh)
	rekeyer, err := rekey.New(rekey.Config{Codec: e.Converting(), Store: m})
	require.NoError(t, err)
	for i, want := range []string{"old", "fresh"} {
		rec, err := m.Get(t.Context(), fmt.Sprintf("%03d", i))
		require.NoError(t, err)
		plaintext, err := rekeyer.Open(t.Context(), rec)
		require.NoError(t, err)
		require.Equal(t, want, string(plaintext))
	}
	require.NoError(t, rekeyer.Close(t.Context()))
	for i, want := range []string{"old", "fresh"} {
		info, err := e.Inspect(value(t, m, i))
		require.NoError(t, err)
		require.Equal(t, "keyhaul", info.Layout)
		require.Equal(t, kmsmigrate.SideNew, info.Copies[0].Side)
		opened, err := e.Converting().Open(t.Context(), value(t, m, i), customers)
		require.NoError(t, err)
		require.Equal(t, want, string(opened.Plaintext))
		require.False(t, opened.Stale)
	}
}

func TestReencryptersRefuseWhatTheyMustNotDo(t *testing.T) {
	t.Parallel()
	for _, converting := range []bool{false, true} {
		w := newWorld(t, kmsmigrate.OldOnly)
		record := seal(t, w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}}), "x", customers)
		e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.ThreeLine{}}})
		codec := e.Reencrypting()
		if converting {
			codec = e.Converting()
		}
		for _, p := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew} {
			require.NoError(t, w.phase.Jump(p))
			_, err := codec.Renew(t.Context(), record, customers)
			require.ErrorIs(t, err, kmsmigrate.ErrPhase)
			opened, err := codec.Open(t.Context(), record, customers)
			require.NoError(t, err)
			require.False(t, opened.Stale)
		}
		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		_, err := codec.Renew(t.Context(), record, customers)
		require.ErrorIs(t, err, kmsmigrate.ErrRetired)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		_, err = codec.Renew(t.Context(), record, nil)
		require.Error(t, err, "another context")
		_, err = codec.Renew(t.Context(), []byte("no record"), customers)
		require.ErrorIs(t, err, envelope.ErrFormat)
		_, err = codec.Inspect([]byte("no record"))
		require.ErrorIs(t, err, envelope.ErrFormat)

		stream := sealStream(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil)}), []byte("long"), customers)
		r, err := codec.Renew(t.Context(), stream, customers)
		if converting {
			require.NoError(t, err)
			require.NotNil(t, r.Ciphertext)
		} else {
			require.ErrorIs(t, err, envelope.ErrFormat)
		}
	}
}

func TestWhatTheNewKeyDoesNotOpenTakesNoRecordsPlace(t *testing.T) {
	t.Parallel()
	old, next := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
	for name, faulty := range map[string]kmsmigrate.Key{"corrupt": keytest.Corrupt(next, "encrypt"), "another's": answering(next, func() string { return aWrongKey })} {
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, old, faulty)})
		r, err := e.Reencrypting().Renew(t.Context(), record, nil)
		require.Error(t, err, name)
		require.Nil(t, r.Ciphertext)
	}
}

// Records in the format of the instance SDK's samples move, as they are read and by a sweep, into records that share data keys in
// a table: the next migration renews that table, and touches no record.
func ExampleEnvelope_Converting() {
	ctx := context.Background()
	oldKey, newKey := keytest.New(keytest.Config{}), keytest.New(keytest.Config{}) // alikms makes real ones
	phase := switchAt(kmsmigrate.OldOnly)
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: oldKey, New: newKey})
	if err != nil {
		log.Fatal(err)
	}
	before, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}})
	if err != nil {
		log.Fatal(err)
	}
	store := new(rekeytest.Memory)
	for i, name := range []string{"Ada", "Grace", "Barbara"} {
		record, err := before.Seal(ctx, []byte(name), nil)
		if err != nil {
			log.Fatal(err)
		}
		store.Put(rekey.Record{ID: fmt.Sprint(i), Value: record})
	}

	before.Close()

	if err := phase.Jump(kmsmigrate.Rewrite); err != nil {
		log.Fatal(err)
	}
	table := new(memoryTable) // envelope.NewSQLKeyTable keeps one in a database
	e, err := envelope.New(envelope.Config{Keys: client, Table: table, Layouts: []envelope.Layout{envelope.ThreeLine{}}})
	if err != nil {
		log.Fatal(err)
	}
	report, err := rekey.Sweep(ctx, e.Converting(), store, rekey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	e.Close()
	fmt.Println("moved:", report.Renewed, "data keys in the table:", len(table.entries))
	// Output: moved: 3 data keys in the table: 1
}
