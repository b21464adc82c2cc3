package rekey_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// memoryCheckpoint keeps a mark, and every one before it.
type memoryCheckpoint struct {
	mu    sync.Mutex
	marks []rekey.Mark
}

func (c *memoryCheckpoint) Load(context.Context) (rekey.Mark, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.marks) == 0 {
		return rekey.Mark{}, nil
	}
	return c.marks[len(c.marks)-1], nil
}

func (c *memoryCheckpoint) Save(_ context.Context, m rekey.Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks = append(c.marks, m)
	return nil
}

func TestAKilledSweepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, withCheckpoint := range []bool{false, true} {
		t.Run(fmt.Sprintf("checkpoint %t", withCheckpoint), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const n = 500
			w.fill(t, n)
			o := rekey.Options{Name: "customers", Workers: 8, CheckpointEvery: time.Millisecond}
			check := new(memoryCheckpoint)
			if withCheckpoint {
				o.Checkpoint = check
			}
			for kills := 0; ; kills++ {
				ctx, cancel := context.WithCancel(t.Context())
				var swaps atomic.Int64
				store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
					if swaps.Add(1) == 70 { // killed before, during and after swaps of other workers
						cancel()
					}
					return w.store.Swap(ctx, id, prev, next)
				}}
				report, err := rekey.Sweep(ctx, w.client, store, o)
				cancel()
				if m, _ := check.Load(t.Context()); withCheckpoint {
					for i := 0; i < n && idOf(i) <= m.After; i++ {
						w.mustHold(t, i)
					}
				}
				if err == nil {
					require.True(t, report.Complete)
					require.GreaterOrEqual(t, kills, 5)
					break
				}
				require.ErrorIs(t, err, context.Canceled)
				require.False(t, report.Complete)
			}
			for i := range n {
				w.mustHold(t, i)
			}
			require.NoError(t, w.census(t).Clear(kmsmigrate.SideOld))
		})
	}
}

func TestTheCheckpointNeverPassesAnUnfinishedRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n, stuck = 400, 123
	w.fill(t, n)
	for i := 10; i < n; i += 3 { // finished already, before and after the one that is stuck
		if i != stuck {
			value, err := w.new.Encrypt(t.Context(), secret(i), contextOf(i))
			require.NoError(t, err)
			w.store.Put(rekey.Record{ID: idOf(i), Value: value, Context: contextOf(i)})
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var swaps atomic.Int64
	store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		if id == idOf(stuck) {
			<-ctx.Done()
			return ctx.Err()
		}
		swaps.Add(1)
		return w.store.Swap(ctx, id, prev, next)
	}}
	check := new(memoryCheckpoint)
	progress := func(p rekey.Progress) {
		if p.Unfinished == 1 && p.Scanned == n { // all but one
			cancel()
		}
	}
	report, err := rekey.Sweep(ctx, w.client, store, rekey.Options{Name: "x", Checkpoint: check, CheckpointEvery: time.Millisecond, Progress: progress, ProgressEvery: time.Millisecond})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, idOf(stuck-1), report.After)
	for _, m := range check.marks {
		require.Less(t, m.After, idOf(stuck))
		require.False(t, m.Done)
	}
	m, err := check.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, idOf(stuck-1), m.After)

	report, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Name: "x", Checkpoint: check})
	require.NoError(t, err)
	require.EqualValues(t, n-stuck, report.Scanned, "it goes on where it was")
	require.EqualValues(t, 1, report.Renewed)
	m, err = check.Load(t.Context())
	require.NoError(t, err)
	require.True(t, m.Done)

	report, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Name: "x", Checkpoint: check})
	require.NoError(t, err)
	require.EqualValues(t, n, report.Scanned, "after its end it starts from the beginning")
}

func TestACheckpointOfAnotherSweepIsRefusedBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 10)
	check := new(memoryCheckpoint)
	require.NoError(t, check.Save(t.Context(), rekey.Mark{Sweep: "orders", After: idOf(5)}))
	_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Name: "customers", Checkpoint: check})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, `"orders"`)
	require.Zero(t, w.store.Swaps())
}
