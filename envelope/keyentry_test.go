package envelope_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Whatever codec a sweep of the table is given, the data key of an entry stays: every record that names it needs it.
func TestNoCodecTakesTheDataKeyOutOfAnEntry(t *testing.T) {
	t.Parallel()
	type codec interface {
		Renew(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error)
		Inspect(record []byte) (kmsmigrate.Info, error)
	}
	for name, of := range map[string]func(plain, table *envelope.Envelope) codec{
		"with the table":           func(_, table *envelope.Envelope) codec { return table },
		"re-encrypting":            func(plain, _ *envelope.Envelope) codec { return plain.Reencrypting() },
		"re-encrypting, and table": func(_, table *envelope.Envelope) codec { return table.Reencrypting() },
		"converting":               func(plain, _ *envelope.Envelope) codec { return plain.Converting() },
		"converting, and table":    func(_, table *envelope.Envelope) codec { return table.Converting() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kmsmigrate.OldOnly)
			table := new(memoryTable)
			cfg := envelope.Config{Table: table}
			record := seal(t, w.envelope(t, cfg), "of the table", customers)
			require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
			c := of(w.envelope(t, envelope.Config{}), w.envelope(t, cfg))
			for id, entry := range table.entries {
				info, err := c.Inspect(entry)
				require.NoError(t, err)
				was, _ := info.Standing()
				require.Equal(t, kmsmigrate.SideOld, was.Side)
				r, err := c.Renew(t.Context(), entry, nil)
				require.NoError(t, err)
				require.NotNil(t, r.Ciphertext)
				table.entries[id] = r.Ciphertext
				r, err = c.Renew(t.Context(), r.Ciphertext, nil)
				require.NoError(t, err)
				require.Nil(t, r.Ciphertext, "there is nothing left to do")
			}
			require.Len(t, table.entries, 1)
			require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
			w.old.Disable()
			requireOpens(t, w.envelope(t, cfg), record, customers, "of the table")
		})
	}
}

func TestReencryptLeavesTheDataKeyInAnEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	table := new(memoryTable)
	cfg := envelope.Config{Table: table}
	record := seal(t, w.envelope(t, cfg), "of the table", customers)
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	for id, entry := range table.entries {
		next, err := w.envelope(t, envelope.Config{}).Reencrypt(t.Context(), entry, nil)
		require.NoError(t, err)
		require.NotEqual(t, entry, next)
		table.entries[id] = next
	}
	require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
	w.old.Disable()
	requireOpens(t, w.envelope(t, cfg), record, customers, "of the table")
}
