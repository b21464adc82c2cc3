package envelope_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestARecordKeepsItsCopiesWhereTheTablesEntryDoesNotOpen(t *testing.T) {
	t.Parallel()
	cfg := envelope.Config{TableContext: kmsmigrate.EncryptionContext{"app": "shop"}}
	for name, spoil := range map[string]func(w *world, m *memoryTable, record []byte){
		"of a target that was given up": func(w *world, m *memoryTable, record []byte) {
			first := keytest.New(keytest.Config{})
			_, err := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, w.old, first), Table: m, TableContext: cfg.TableContext}).Renew(t.Context(), record, customers)
			require.NoError(t, err)
			first.Disable()
		},
		"of another TableContext": func(w *world, m *memoryTable, record []byte) {
			_, err := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, w.old, w.new), Table: m, TableContext: kmsmigrate.EncryptionContext{"app": "typo"}}).Renew(t.Context(), record, customers)
			require.NoError(t, err)
		},
		"damaged": func(w *world, m *memoryTable, record []byte) {
			_, err := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, w.old, w.new), Table: m, TableContext: cfg.TableContext}).Renew(t.Context(), record, customers)
			require.NoError(t, err)
			for _, entry := range m.entries {
				entry[80] ^= 1
			}
		},
		"of the side that is old now": func(w *world, m *memoryTable, record []byte) {
			_, err := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, w.new, w.old), Table: m, TableContext: cfg.TableContext}).Renew(t.Context(), record, customers)
			require.NoError(t, err)
		},
	} {
		w := newWorld(t, kmsmigrate.OldOnly)
		record := seal(t, w.envelope(t, envelope.Config{}), "the only copy", customers)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		cfg := cfg
		table := new(memoryTable)
		cfg.Table = table
		spoil(w, table, record)
		e := w.envelope(t, cfg)
		for _, renew := range []func() (kmsmigrate.Renewed, error){
			func() (kmsmigrate.Renewed, error) { return e.Renew(t.Context(), record, customers) },
			func() (kmsmigrate.Renewed, error) { return e.Converting().Renew(t.Context(), record, customers) },
		} {
			r, err := renew()
			require.ErrorContains(t, err, "the record is unchanged", name)
			require.Nil(t, r.Ciphertext, name)
		}
		clear(table.entries) // what the error says to do
		r, err := e.Renew(t.Context(), record, customers)
		require.NoError(t, err, name)
		requireOpens(t, w.envelope(t, cfg), r.Ciphertext, customers, "the only copy")
	}
}

// raced is a table in which another process is first between the look and the Add.
type raced struct {
	memoryTable
	first []byte
}

func (r *raced) Add(ctx context.Context, id envelope.KeyID, entry []byte) error {
	if err := r.memoryTable.Add(ctx, id, r.first); err != nil {
		return err
	}
	return r.memoryTable.Add(ctx, id, entry)
}

func TestWhatAnotherPutIntoTheTableFirstIsProvenToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	record := seal(t, w.envelope(t, envelope.Config{}), "the only copy", customers)
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	other := new(memoryTable)
	_, err := w.envelope(t, envelope.Config{Table: other, TableContext: customers}).Renew(t.Context(), record, customers)
	require.NoError(t, err)
	for _, entry := range other.entries {
		right, wrong := &raced{first: entry}, &raced{first: bytes.Clone(entry)}
		wrong.first[80] ^= 1
		r, err := w.envelope(t, envelope.Config{Table: wrong, TableContext: customers}).Renew(t.Context(), record, customers)
		require.ErrorContains(t, err, "the record is unchanged")
		require.Nil(t, r.Ciphertext)
		cfg := envelope.Config{Table: right, TableContext: customers}
		r, err = w.envelope(t, cfg).Renew(t.Context(), record, customers)
		require.NoError(t, err)
		requireOpens(t, w.envelope(t, cfg), r.Ciphertext, customers, "the only copy")
	}
}
