package rekeysql_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

func TestADatabaseIsSweptForwardAndBackAndForwardAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		const n = 120
		m := newMigration(t, d, n)
		directed := func(old, next kmsmigrate.Key) *envelope.Envelope {
			client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Ledger: m.ledger})
			require.NoError(t, err)
			env, err := envelope.New(envelope.Config{Keys: client})
			require.NoError(t, err)
			t.Cleanup(env.Close)
			return env
		}
		forward, back := directed(m.old, m.next), directed(m.next, m.old)
		for turn, codec := range []*envelope.Envelope{forward, back, forward} {
			report, err := rekey.Sweep(t.Context(), codec, m.store, rekey.Options{Name: fmt.Sprint("turn ", turn)})
			require.NoError(t, err)
			require.EqualValues(t, n, report.Renewed, "turn %d", turn)
			here, there := kmsmigrate.SideNew, kmsmigrate.SideOld
			if codec == back {
				here, there = there, here
			}
			census, err := rekey.TakeCensus(t.Context(), forward, m.store)
			require.NoError(t, err)
			require.NoError(t, census.Clear(there), "turn %d", turn)
			require.EqualValues(t, n, census.Held(here), "turn %d", turn)
			left := m.next
			if codec != back {
				left = m.old
			}
			left.Disable() // the side that was left is not needed
			reader := m.envelope(t, kmsmigrate.ReadBoth, nil)
			for rec, err := range m.store.Scan(t.Context(), rekey.Range{}) {
				require.NoError(t, err)
				opened, err := reader.Open(t.Context(), rec.Value, rec.Context)
				require.NoError(t, err)
				require.Equal(t, "record "+rec.ID, string(opened.Plaintext))
			}
			left.Enable()
		}
	})
}
