package rekey_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
)

func TestAFleetDividesItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := new(rekey.MemoryNotebook)
		worlds := []*world{newWorld(t), newWorld(t), newWorld(t)}
		fleets := make([]*rekey.Fleet, len(worlds))
		var wg sync.WaitGroup
		for i, w := range worlds {
			w.fill(t, 2000)
			fleets[i] = &rekey.Fleet{Notebook: book, Name: "cn-hangzhou", PerSecond: 300, Every: time.Second}
			wg.Go(func() {
				_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Fleet: fleets[i]})
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Second) //nolint:forbidigo // a fake clock
		for _, f := range fleets {
			require.InDelta(t, 100, f.Share(), 1)
		}
		before := int64(0)
		for _, w := range worlds {
			before += w.store.Swaps()
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // a fake clock
		after := int64(0)
		for _, w := range worlds {
			after += w.store.Swaps()
		}
		require.InDelta(t, 1000, after-before, 50, "300 calls a second are 100 renewals")
		wg.Wait()
		text, _, err := book.Read(t.Context(), "rate/cn-hangzhou")
		require.NoError(t, err)
		require.JSONEq(t, "{}", string(text), "they have left")
	})
}

func TestThrottlingSendsTheFleetToItsFloor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := new(rekey.MemoryNotebook)
		w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
			return old, keytest.FailFirst(new, 1, kmsmigrate.ErrThrottled)
		})
		w.fill(t, 600)
		mine := &rekey.Fleet{Notebook: book, Name: "x", PerSecond: 300, Every: time.Second}
		var shares []float64
		_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Fleet: mine, Progress: func(rekey.Progress) { shares = append(shares, mine.Share()) }})
		require.NoError(t, err)
		require.InDelta(t, 30, slices.Min(shares), 1)
		require.InDelta(t, 300, slices.Max(shares), 1, "and it comes back")
	})
}

// clocked notes when each swap was made.
func clocked(w *world) (store swapFunc, times func() []time.Time) {
	var mu sync.Mutex
	var all []time.Time
	return swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
			mu.Lock()
			all = append(all, time.Now())
			mu.Unlock()
			return w.store.Swap(ctx, id, prev, next)
		}}, func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			return all
		}
}

// A rate that is leased must be used, and not exceeded, also while processes come and go.
func TestASharedSweepUsesTheWholeRateAndNoMore(t *testing.T) {
	t.Parallel()
	for _, processes := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			const n, perSecond = 1000, 300.0
			w.fill(t, n)
			store, times := clocked(w)
			book := new(rekey.MemoryNotebook)
			began := time.Now()
			var sweeping sync.WaitGroup
			for i := range processes {
				sweeping.Go(func() {
					time.Sleep(time.Duration(i) * 700 * time.Millisecond) //nolint:forbidigo // a fake clock
					fleet := &rekey.Fleet{Notebook: book, Name: "x", PerSecond: perSecond}
					_, err := rekey.SweepShared(t.Context(), w.client, splittingSwaps{store}, rekey.Shared{Notebook: book, Parts: 20}, rekey.Options{Name: "x", Fleet: fleet})
					if err != nil {
						t.Error(err)
					}
				})
			}
			sweeping.Wait()
			least := time.Duration(n * 3 / perSecond * float64(time.Second))
			require.Less(t, time.Since(began), least+least/5, "%d processes", processes)
			all := times()
			for i, at := range all {
				within := 0
				for ; i+within < len(all) && all[i+within].Sub(at) < time.Second; within++ {
				}
				require.LessOrEqual(t, within, int(perSecond/3*1.3), "%d processes, after %s", processes, at.Sub(began))
			}
		})
	}
}

// splittingSwaps is a store that can be cut and notes its swaps.
type splittingSwaps struct{ swapFunc }

func (s splittingSwaps) Split(ctx context.Context, n int) ([]rekey.Range, error) {
	return splitting{s.Memory}.Split(ctx, n)
}

func TestTheShareOfADeadProcessIsGivenToTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := new(rekey.MemoryNotebook)
		require.NoError(t, book.Write(t.Context(), "rate/x", []byte(`{"DEAD":{"beat":9,"rate":300}}`), 0))
		w := newWorld(t)
		w.fill(t, 1000)
		fleet := &rekey.Fleet{Notebook: book, Name: "x", PerSecond: 300}
		var sweeping sync.WaitGroup
		sweeping.Go(func() {
			_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Fleet: fleet})
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(8 * time.Second) //nolint:forbidigo // a fake clock
		require.InDelta(t, 15, fleet.Share(), 1, "the floor, while nothing was given back")
		time.Sleep(4 * time.Second) //nolint:forbidigo // a fake clock
		require.InDelta(t, 300, fleet.Share(), 1)
		sweeping.Wait()
	})
}
