package rekey_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// back returns the client that moves everything back: the same keys, exchanged.
func (w *world) back(t *testing.T) *kmsmigrate.Client {
	t.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: w.new, New: w.old})
	require.NoError(t, err)
	return client
}

func TestASweepWithTheKeysExchangedMovesEverythingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 300
	w.fill(t, n)
	_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.NoError(t, err)
	require.NoError(t, w.census(t).Clear(kmsmigrate.SideOld))
	for i := range n {
		w.mustHold(t, i)
	}

	// The fleet goes back step by step, to the phase that writes old and reads both.
	require.NoError(t, w.phase.Set(kmsmigrate.WriteNew))
	require.NoError(t, w.phase.Set(kmsmigrate.ReadBoth))
	stopped := time.Now()
	back := w.back(t)
	var read int
	rekeyer, err := rekey.New(rekey.Config{Codec: back, Store: w.store})
	require.NoError(t, err)
	for rec, err := range w.store.Scan(t.Context(), rekey.Range{Through: idOf(49)}) {
		require.NoError(t, err)
		_, err := rekeyer.Open(t.Context(), rec)
		require.NoError(t, err)
		read++
	}
	require.NoError(t, rekeyer.Close(t.Context()))
	require.EqualValues(t, read, rekeyer.Stats().Rewritten, "lazily too")
	// A process of the fleet goes on writing meanwhile.
	value, err := w.client.Encrypt(t.Context(), secret(n), contextOf(n))
	require.NoError(t, err)
	w.store.Put(rekey.Record{ID: idOf(n), Value: value, Context: contextOf(n)})

	report, err := rekey.Sweep(t.Context(), back, w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, n-read, report.Renewed)
	require.EqualValues(t, read+1, report.AlreadyNew)
	census := w.census(t)
	require.NoError(t, census.Clear(kmsmigrate.SideNew))
	require.NoError(t, w.phase.SetProven(kmsmigrate.OldOnly, stopped, census))
	w.new.Disable()
	for i := range n + 1 {
		rec, err := w.store.Get(t.Context(), idOf(i))
		require.NoError(t, err)
		plaintext, err := w.old.Decrypt(t.Context(), rec.Value, contextOf(i))
		require.NoError(t, err, "the application of before, without the library")
		require.Equal(t, string(secret(i)), string(plaintext))
	}

	// And forward again.
	w.new.Enable()
	for _, p := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		require.NoError(t, w.phase.Set(p))
	}
	report, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, n+1, report.Renewed)
	require.NoError(t, w.census(t).Clear(kmsmigrate.SideOld))
}

func TestASweepThatIsTurnedHalfWayLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 200
	w.fill(t, n)
	_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Range: rekey.Range{Through: idOf(120)}})
	require.NoError(t, err)
	report, err := rekey.Sweep(t.Context(), w.back(t), w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 121, report.Renewed)
	require.EqualValues(t, n, w.census(t).Held(kmsmigrate.SideOld))
	require.NoError(t, w.census(t).Clear(kmsmigrate.SideNew))
}

func ExampleSweep_back() {
	ctx := context.Background()
	client, store, keys := exampleKeys(ctx)
	if _, err := rekey.Sweep(ctx, client, store, rekey.Options{Name: "customers.name"}); err != nil {
		fmt.Println(err)
	}
	// The migration is rolled back. Once every process is in ReadBoth again, which writes with the old key:
	back, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keys.New, New: keys.Old})
	if err != nil {
		fmt.Println(err)
	}
	report, err := rekey.Sweep(ctx, back, store, rekey.Options{Name: "customers.name, back"})
	if err != nil {
		fmt.Println(err)
	}
	census, err := rekey.TakeCensus(ctx, client, store) // in the words of the migration: the new side must be empty
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("renewed:", report.Renewed, "new:", census.Held(kmsmigrate.SideNew))
	// Output: renewed: 3 new: 0
}
