package rekey_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

func TestWhatIsEnqueuedIsRewritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 5)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store})
	for _, rec := range recs {
		copied := rekey.Record{ID: rec.ID, Value: append([]byte(nil), rec.Value...), Context: rec.Context.Clone()}
		r.Enqueue(copied)
		clear(copied.Value) // what was handed over is the caller's
		clear(copied.Context)
	}
	require.NoError(t, r.Wait(t.Context()))
	for i := range recs {
		w.mustHold(t, i)
	}
	require.Equal(t, rekey.Stats{Stale: 5, Rewritten: 5}, r.Stats())

	// What is new already is left, and so is everything in a phase that rewrites nothing.
	fresh, err := w.client.Encrypt(t.Context(), secret(0), contextOf(0))
	require.NoError(t, err)
	r.Enqueue(rekey.Record{ID: "fresh", Value: fresh, Context: contextOf(0)})
	require.NoError(t, r.Wait(t.Context()))
	require.Equal(t, int64(1), r.Stats().Unneeded)
	require.NoError(t, w.phase.Set(kmsmigrate.WriteNew))
	more := w.fill(t, 1)
	r.Enqueue(more[0])
	require.NoError(t, r.Wait(t.Context()))
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, int64(5), r.Stats().Rewritten)
}
