package rekey_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// twoTables are a place that was swept and counted, and another whose declaration has the same name.
func twoTables(t *testing.T) (a, b rekey.Place) {
	t.Helper()
	customers, orders := newWorld(t), newWorld(t)
	customers.fill(t, 20)
	orders.fill(t, 20)
	customers.store.Name, orders.store.Name = "customers", "orders"
	book := new(rekey.MemoryNotebook)
	a = rekey.Place{Name: "secret", Store: customers.store, Codec: customers.client, Notebook: book}
	b = rekey.Place{Name: "secret", Store: orders.store, Codec: orders.client, Notebook: book}
	return a, b
}

func mustNameBoth(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, "customers")
	require.ErrorContains(t, err, "orders")
}

func TestANameOfAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	a, b := twoTables(t)
	require.NoError(t, a.Declare(t.Context()))
	mustNameBoth(t, b.Declare(t.Context()))
	_, err := b.Rekeyer(t.Context(), rekey.Config{})
	mustNameBoth(t, err)
	_, err = b.Sweep(t.Context(), rekey.Options{})
	mustNameBoth(t, err)
	_, err = b.SweepShared(t.Context(), rekey.Shared{}, rekey.Options{})
	mustNameBoth(t, err)
	_, err = b.Census(t.Context(), rekey.CensusOptions{})
	mustNameBoth(t, err)
	notes, err := rekey.Places(t.Context(), a.Notebook)
	require.NoError(t, err)
	require.Equal(t, "customers", notes[0].Store)

	hidden := a
	hidden.Store = struct {
		rekey.Scanner
		rekey.Swapper
	}{a.Store, a.Store}
	require.ErrorContains(t, hidden.Declare(t.Context()), "make it an Identifier")
	told, ok := a.Store.(rekey.Identifier)
	require.True(t, ok)
	hidden.Store = struct {
		rekey.Scanner
		rekey.Swapper
		rekey.Identifier
	}{a.Store, a.Store, told}
	require.NoError(t, hidden.Declare(t.Context()))
}

func TestAnOldNoteOfAPlaceGetsItsStore(t *testing.T) {
	t.Parallel()
	a, b := twoTables(t)
	require.NoError(t, a.Notebook.Write(t.Context(), "place/secret", []byte(`{"name":"secret","declared":"2026-01-02T03:04:05Z"}`), 0))
	require.NoError(t, a.Declare(t.Context()))
	mustNameBoth(t, b.Declare(t.Context()))
	notes, err := rekey.Places(t.Context(), a.Notebook)
	require.NoError(t, err)
	require.Equal(t, 2026, notes[0].Declared.Year())
}

func TestASharedSweepOfAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	a, b := twoTables(t)
	shared := rekey.Shared{Notebook: a.Notebook}
	_, err := rekey.SweepShared(t.Context(), a.Codec, a.Store, shared, rekey.Options{Name: "x"})
	require.NoError(t, err)
	report, err := rekey.SweepShared(t.Context(), b.Codec, b.Store, shared, rekey.Options{Name: "x"})
	mustNameBoth(t, err)
	require.False(t, report.Complete)

	// A plan of before there were identities is the parts alone.
	require.NoError(t, a.Notebook.Write(t.Context(), "sweep/old/plan", []byte(`[{"After":"","Through":""}]`), 0))
	report, err = rekey.SweepShared(t.Context(), b.Codec, b.Store, shared, rekey.Options{Name: "old"})
	require.NoError(t, err)
	require.EqualValues(t, 20, report.Renewed)
}

func TestACensusOfAnotherStoreIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	a, b := twoTables(t)
	o := rekey.CensusOptions{Notebook: a.Notebook, Name: "x"}
	ctx, stop := context.WithCancel(t.Context())
	o.SaveEvery = time.Nanosecond
	o.By = func(rec rekey.Record) string {
		if rec.ID == idOf(17) {
			stop()
		}
		return ""
	}
	_, err := rekey.TakeCensusWith(ctx, a.Codec, a.Store, o)
	require.ErrorIs(t, err, context.Canceled)
	o.By = nil
	_, err = rekey.TakeCensusWith(t.Context(), b.Codec, b.Store, o)
	mustNameBoth(t, err)
	_, err = rekey.TakeCensusWith(t.Context(), a.Codec, a.Store, o)
	require.NoError(t, err)
}

func TestACheckpointOfAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	a, b := twoTables(t)
	check := rekey.CheckpointFile(filepath.Join(t.TempDir(), "check.json"))
	_, err := rekey.Sweep(t.Context(), a.Codec, a.Store, rekey.Options{Name: "x", Checkpoint: check})
	require.NoError(t, err)
	_, err = rekey.Sweep(t.Context(), b.Codec, b.Store, rekey.Options{Name: "x", Checkpoint: check})
	mustNameBoth(t, err)
}

// conditional sees a part of its records only.
type conditional struct{ rekey.Store }

func (conditional) Identity() string  { return "customers where region = 'cn'" }
func (conditional) Condition() string { return "region = 'cn'" }

func TestAPlaceThatLeavesRecordsOutProvesNothing(t *testing.T) {
	t.Parallel()
	a, _ := twoTables(t)
	a.Store = conditional{a.Store}
	since := time.Now()
	_, err := a.Sweep(t.Context(), rekey.Options{})
	require.NoError(t, err)
	_, err = a.Census(t.Context(), rekey.CensusOptions{})
	require.NoError(t, err)
	_, err = rekey.Proof(t.Context(), a.Notebook, since)
	require.ErrorIs(t, err, kmsmigrate.ErrPhase)
	require.ErrorContains(t, err, "region = 'cn'")
	a.Partial = true
	require.NoError(t, a.Declare(t.Context()))
	censuses, err := rekey.Proof(t.Context(), a.Notebook, since)
	require.NoError(t, err)
	require.Len(t, censuses, 1)
}

func TestASweepThatGoesOnIsAsOldAsItsFirstRun(t *testing.T) {
	t.Parallel()
	for name, sweep := range map[string]func(rekey.Place, context.Context) (rekey.Report, error){
		"alone": func(p rekey.Place, ctx context.Context) (rekey.Report, error) {
			return p.Sweep(ctx, rekey.Options{Workers: 1})
		},
		"shared": func(p rekey.Place, ctx context.Context) (rekey.Report, error) {
			return p.SweepShared(ctx, rekey.Shared{Lease: 50 * time.Millisecond}, rekey.Options{Workers: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(t, 100)
			ctx, kill := context.WithCancel(t.Context())
			killed := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
				if w.store.Swaps() >= 60 {
					kill()
				}
				return w.store.Swap(ctx, id, prev, next)
			}}
			place := rekey.Place{Name: "x", Store: killed, Codec: w.client, Notebook: new(rekey.MemoryNotebook)}
			_, err := sweep(place, ctx)
			require.ErrorIs(t, err, context.Canceled)
			if name == "shared" { // the process died before it gave its part back
				forgetReport(t, place.Notebook, "sweep/x/part-00000")
			}
			since := time.Now()
			place.Store = w.store
			report, err := sweep(place, t.Context())
			require.NoError(t, err)
			require.Less(t, report.Scanned, int64(60), "it goes on where it was")
			notes, err := rekey.Places(t.Context(), place.Notebook)
			require.NoError(t, err)
			require.ErrorContains(t, notes[0].Missing(since), "it was not swept to its end since ")
		})
	}
}

// forgetReport leaves of a lease what its renewals had written.
func forgetReport(t *testing.T, book rekey.Notebook, name string) {
	t.Helper()
	text, revision, err := book.Read(t.Context(), name)
	require.NoError(t, err)
	var lease map[string]any
	require.NoError(t, json.Unmarshal(text, &lease))
	require.NotEmpty(t, lease["after"])
	lease["report"] = map[string]any{}
	text, err = json.Marshal(lease)
	require.NoError(t, err)
	require.NoError(t, book.Write(t.Context(), name, text, revision))
}
