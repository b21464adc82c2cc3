package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// ledger is a kmsmigrate.Ledger in memory.
type ledger struct {
	mu      sync.Mutex
	entries map[[32]byte][]byte
	finds   int
	fail    error
}

func (l *ledger) Find(_ context.Context, id [32]byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finds++
	return l.entries[id], l.fail
}

func (l *ledger) Add(_ context.Context, id [32]byte, ciphertext []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if l.entries == nil {
		l.entries = map[[32]byte][]byte{}
	}
	if _, ok := l.entries[id]; !ok {
		l.entries[id] = bytes.Clone(ciphertext)
	}
	return nil
}

// ledgered returns an Envelope in a phase, over a client with the ledger.
func ledgered(t *testing.T, p kmsmigrate.PhaseSource, l *ledger, old, next kmsmigrate.Key, cfg envelope.Config) *envelope.Envelope {
	t.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: p, Old: old, New: next, Ledger: l})
	require.NoError(t, err)
	cfg.Keys = client
	return newEnvelope(t, cfg)
}

var ledgerFormats = map[string]envelope.Config{
	"own": {}, "own, both": {WrapBoth: true}, "three-line": {Layout: envelope.ThreeLine{}}, "JSON": {Layout: envelope.JSON{}},
	"blob": {Layout: envelope.Blob{}}, "OSS": {Layout: envelope.OSS{}}, "BlobInfo": {Layout: envelope.BlobInfo{}},
}

func TestARestoredRecordOpensThroughTheLedger(t *testing.T) {
	t.Parallel()
	for name, cfg := range ledgerFormats {
		w, l := newWorld(t, kmsmigrate.OldOnly), new(ledger)
		plain := cfg
		plain.WrapBoth = false
		backup := seal(t, w.envelope(t, plain), "restored", nil)
		r, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), backup, nil)
		require.NoError(t, err)
		require.NotNil(t, r.Ciphertext)
		require.NotEmpty(t, l.entries, name)

		for _, p := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
			before := l.finds
			e := ledgered(t, p, l, w.old, w.new, cfg)
			opened := requireOpens(t, e, backup, nil, "restored")
			require.Equal(t, kmsmigrate.SideOld, opened.Side, "%s in %s", name, p)
			require.Equal(t, p == kmsmigrate.Rewrite, opened.Stale)
			require.Equal(t, before, l.finds, "no read pays for the ledger before new-only")
		}
		e := ledgered(t, kmsmigrate.NewOnly, l, nil, w.new, cfg)
		opened := requireOpens(t, e, backup, nil, "restored")
		require.Equal(t, kmsmigrate.SideNew, opened.Side, name)
		require.False(t, opened.Stale)
		_, err = ledgered(t, kmsmigrate.NewOnly, new(ledger), nil, w.new, cfg).Open(t.Context(), backup, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrRetired, name)
		l.fail = errors.New("the table is locked")
		_, err = ledgered(t, kmsmigrate.NewOnly, l, nil, w.new, cfg).Open(t.Context(), backup, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrUnavailable, name)
	}
}

func TestARestoredRecordIsRenewedWithoutTheOldKey(t *testing.T) {
	t.Parallel()
	for name, cfg := range ledgerFormats {
		if cfg.WrapBoth {
			continue // the old side must be there to wrap
		}
		w, l := newWorld(t, kmsmigrate.OldOnly), new(ledger)
		backup := seal(t, w.envelope(t, cfg), "restored", nil)
		_, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), backup, nil)
		require.NoError(t, err)
		w.old.Disable()
		r, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), backup, nil)
		require.NoError(t, err, name)
		requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, w.new), Layout: cfg.Layout}), r.Ciphertext, nil, "restored")
	}
}

func TestAnEntryOfAnotherRecordIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]envelope.Layout{"own": nil, "three-line": envelope.ThreeLine{}} {
		w, l := newWorld(t, kmsmigrate.OldOnly), new(ledger)
		cfg := envelope.Config{Layout: layout, FreshKeys: true}
		writer := w.envelope(t, cfg)
		a, b := seal(t, writer, "a", nil), seal(t, writer, "b", nil)
		copies := func(record []byte) []byte {
			if layout == nil {
				return copiesOf(record)[0]
			}
			h, err := layout.Parse(record)
			require.NoError(t, err)
			return h.Values[0].Copies[0]
		}
		_, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), b, nil)
		require.NoError(t, err)
		l.entries[kmsmigrate.LedgerID(copies(a))] = l.entries[kmsmigrate.LedgerID(copies(b))]

		_, err = ledgered(t, kmsmigrate.NewOnly, l, nil, w.new, cfg).Open(t.Context(), a, nil)
		require.ErrorIs(t, err, envelope.ErrTampered, name)
		r, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), a, nil)
		require.NoError(t, err, "the old key is asked instead")
		requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, w.new), Layout: layout}), r.Ciphertext, nil, "a")
	}
}

func TestWhatCameThroughTheLedgerIsUsedInNewOnlyOnly(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{"own": {}, "three-line": {Layout: envelope.ThreeLine{}}} {
		w, l := newWorld(t, kmsmigrate.OldOnly), new(ledger)
		backup := seal(t, w.envelope(t, cfg), "x", nil)
		_, err := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg).Renew(t.Context(), backup, nil)
		require.NoError(t, err)
		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		e := ledgered(t, w.phase, l, w.old, w.new, cfg)
		requireOpens(t, e, backup, nil, "x")
		finds := l.finds
		requireOpens(t, e, backup, nil, "x")
		require.Equal(t, finds, l.finds, "%s: from the cache", name)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		require.True(t, requireOpens(t, e, backup, nil, "x").Stale, "%s: the record is still of the old side", name)
	}
}

func TestAValueThatNothingChecksIsNotTakenFromTheLedger(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t, kmsmigrate.OldOnly), new(ledger)
	layout := unchecked{envelope.OSS{}}
	cfg := envelope.Config{Layout: layout}
	record := seal(t, w.envelope(t, cfg), "x", nil)
	e := ledgered(t, kmsmigrate.Rewrite, l, w.old, w.new, cfg)
	_, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	w.old.Disable()
	_, err = e.Renew(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
}

// unchecked is a layout of two values that is no Checker.
type unchecked struct{ envelope.Layout }

func (unchecked) Name() string { return "unchecked" }

func TestARecordThatWasMovedBeforeNeedsNoOldKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	backup := seal(t, w.envelope(t, envelope.Config{}), "x", nil)
	cfg := envelope.Config{Table: new(memoryTable), Keys: clientOf(t, kmsmigrate.Rewrite, w.old, w.new)}
	_, err := newEnvelope(t, cfg).Renew(t.Context(), backup, nil)
	require.NoError(t, err)
	w.old.Disable()
	r, err := newEnvelope(t, cfg).Renew(t.Context(), backup, nil)
	require.NoError(t, err, "the table has the data key already")
	requireOpens(t, newEnvelope(t, cfg), r.Ciphertext, nil, "x")
}
