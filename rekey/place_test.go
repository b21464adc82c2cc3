package rekey_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestAPlaceThatIsReadAndNeverSweptIsReported(t *testing.T) {
	t.Parallel()
	book := new(rekey.MemoryNotebook)
	customers, orders := newWorld(t), newWorld(t)
	customers.fill(t, 30)
	orders.fill(t, 5)
	places := []rekey.Place{
		{Name: "customers.secret", Store: customers.store, Codec: customers.client, Notebook: book},
		{Name: "orders.note", Store: orders.store, Codec: orders.client, Notebook: book},
	}
	_, err := rekey.Proof(t.Context(), book, time.Now())
	require.ErrorIs(t, err, kmsmigrate.ErrPhase, "nothing is declared")
	var starting sync.WaitGroup
	for range 8 { // processes of the fleet, all at once
		for _, place := range places {
			starting.Go(func() {
				if _, err := place.Rekeyer(t.Context(), rekey.Config{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	starting.Wait()
	notes, err := rekey.Places(t.Context(), book)
	require.NoError(t, err)
	require.Len(t, notes, 2)

	since := time.Now()
	sweep := func(place rekey.Place, o rekey.Options) {
		t.Helper()
		_, err := place.Sweep(t.Context(), o)
		require.NoError(t, err)
	}
	// Neither a rehearsal nor a part is a sweep of the place.
	sweep(places[0], rekey.Options{DryRun: true})
	sweep(places[0], rekey.Options{Range: rekey.Range{Through: idOf(7)}, Name: "a part"})
	_, err = rekey.Proof(t.Context(), book, since)
	require.ErrorContains(t, err, "customers.secret: it was declared ")
	require.ErrorContains(t, err, "orders.note: it was declared ")
	sweep(places[0], rekey.Options{})
	_, err = rekey.Proof(t.Context(), book, since)
	require.ErrorContains(t, err, "customers.secret: it has no complete census;")
	report, err := places[0].Census(t.Context(), rekey.CensusOptions{})
	require.NoError(t, err)
	require.Equal(t, "customers.secret", report.Name)
	_, err = rekey.Proof(t.Context(), book, since)
	require.ErrorContains(t, err, "orders.note: it was declared ")
	require.NotContains(t, err.Error(), "customers.secret")

	for part := range 2 {
		shared := rekey.Shared{Parts: 1}
		report, err := places[1].SweepShared(t.Context(), shared, rekey.Options{})
		require.NoError(t, err, "process %d", part)
		require.True(t, report.Complete)
	}
	_, err = places[1].Census(t.Context(), rekey.CensusOptions{})
	require.NoError(t, err)
	censuses, err := rekey.Proof(t.Context(), book, since)
	require.NoError(t, err)
	require.NoError(t, customers.phase.SetProven(kmsmigrate.NewOnly, since, censuses...))
	require.EqualValues(t, 35, censuses[0].Records+censuses[1].Records)

	// What was done before the fleet stopped writing proves nothing.
	_, err = rekey.Proof(t.Context(), book, time.Now())
	require.ErrorContains(t, err, "it was not swept to its end since ")

	require.NoError(t, rekey.Forget(t.Context(), book, "orders.note"))
	require.NoError(t, rekey.Forget(t.Context(), book, "orders.note"))
	notes, err = rekey.Places(t.Context(), book)
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.EqualValues(t, 30, notes[0].Census.Held(kmsmigrate.SideNew))
}

func TestASweepOfAPlaceGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 200)
	book := new(rekey.MemoryNotebook)
	ctx, kill := context.WithCancel(t.Context())
	killed := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		if w.store.Swaps() >= 120 {
			kill()
		}
		return w.store.Swap(ctx, id, prev, next)
	}}
	place := rekey.Place{Name: "x", Store: killed, Codec: w.client, Notebook: book}
	_, err := place.Sweep(ctx, rekey.Options{Workers: 1})
	require.ErrorIs(t, err, context.Canceled)
	notes, err := rekey.Places(t.Context(), book)
	require.NoError(t, err)
	require.True(t, notes[0].Swept.IsZero())
	place.Store = w.store
	report, err := place.Sweep(t.Context(), rekey.Options{})
	require.NoError(t, err)
	require.Less(t, report.Scanned, int64(120), "the checkpoint is in the notebook")
}

func TestPlacesRefuseWhatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, place := range []rekey.Place{{}, {Name: "x", Store: w.store}, {Name: "x", Codec: w.client}, {Store: w.store, Codec: w.client}} {
		require.ErrorIs(t, place.Declare(t.Context()), kmsmigrate.ErrInvalid)
		_, err := place.Sweep(t.Context(), rekey.Options{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		_, err = place.SweepShared(t.Context(), rekey.Shared{}, rekey.Options{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		_, err = place.Census(t.Context(), rekey.CensusOptions{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		_, err = place.Rekeyer(t.Context(), rekey.Config{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	_, err := rekey.Places(t.Context(), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorIs(t, rekey.Forget(t.Context(), nil, "x"), kmsmigrate.ErrInvalid)
	book := new(rekey.MemoryNotebook)
	require.NoError(t, book.Write(t.Context(), "places", []byte("{"), 0))
	_, err = rekey.Places(t.Context(), book)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)

	// Without a notebook a place is a shorthand.
	place := rekey.Place{Name: "x", Store: new(rekeytest.Memory), Codec: w.client}
	_, err = place.Sweep(t.Context(), rekey.Options{})
	require.NoError(t, err)
	_, err = place.Census(t.Context(), rekey.CensusOptions{})
	require.NoError(t, err)
}

func ExamplePlace() {
	ctx := context.Background()
	client, store := exampleStore(ctx)
	book := new(rekey.MemoryNotebook) // rekeysql.OpenNotebook, for a fleet
	names := rekey.Place{Name: "customers.name", Store: store, Codec: client, Notebook: book}
	notes := rekey.Place{Name: "orders.note", Store: new(rekeytest.Memory), Codec: client, Notebook: book}

	for _, place := range []rekey.Place{names, notes} { // as every process of the application does
		if _, err := place.Rekeyer(ctx, rekey.Config{}); err != nil {
			fmt.Println(err)
		}
	}
	if _, err := names.Sweep(ctx, rekey.Options{}); err != nil {
		fmt.Println(err)
	}
	places, err := rekey.Places(ctx, book)
	if err != nil {
		fmt.Println(err)
	}
	for _, place := range places {
		fmt.Println(place.Name, "swept:", !place.Swept.IsZero(), "counted:", place.Census.Complete)
	}
	// Output:
	// customers.name swept: true counted: false
	// orders.note swept: false counted: false
}
