package rekey_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey"
)

// loaded is a database whose swaps take longer the more of them run at once.
type loaded struct {
	active, most atomic.Int64
	w            *world
}

func (l *loaded) store() swapFunc {
	return swapFunc{l.w.store, func(ctx context.Context, id string, prev, next []byte) error {
		n := l.active.Add(1)
		defer l.active.Add(-1)
		for was := l.most.Load(); n > was && !l.most.CompareAndSwap(was, n); was = l.most.Load() {
		}
		time.Sleep(time.Duration(n) * 10 * time.Millisecond) //nolint:forbidigo // a fake clock
		return l.w.store.Swap(ctx, id, prev, next)
	}}
}

func TestASweepIsAsWideAsTheDatabaseBears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const n = 6000
		w.fill(t, n)
		db := &loaded{w: w}
		widths := map[int]int{}
		var asked []rekey.Pressure
		report, err := rekey.Sweep(t.Context(), w.client, db.store(), rekey.Options{
			Workers: 32, LoadEvery: time.Second,
			Steer: func(_ context.Context, p rekey.Pressure) (float64, error) {
				asked = append(asked, p)
				return float64(p.Mean) / float64(100*time.Millisecond), nil // ten at once
			},
			Progress: func(p rekey.Progress) { widths[p.Width]++ },
		})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Renewed)
		require.LessOrEqual(t, db.most.Load(), int64(16), "it looks a little above what can be borne, and never far")
		require.Positive(t, widths[4]+widths[6]+widths[8], "and is half as wide then: %v", widths)
		require.Zero(t, asked[0].Width, "it begins shut")
		require.Zero(t, asked[0].Swaps)
		var swaps int64
		for _, p := range asked {
			swaps += p.Swaps
		}
		require.Greater(t, swaps, int64(n-200), "every swap is counted once")
	})
}

func TestASweepIsShutWhileTheLoadIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(ctx context.Context) (float64, error){
		"error":         func(context.Context) (float64, error) { return 0, errors.New("the replica does not answer") },
		"not a number":  func(context.Context) (float64, error) { return math.NaN(), nil },
		"negative":      func(context.Context) (float64, error) { return -1, nil },
		"panic":         func(context.Context) (float64, error) { panic("x") },
		"never answers": func(ctx context.Context) (float64, error) { <-ctx.Done(); return 0, nil },
		"too high":      func(context.Context) (float64, error) { return 1.5, nil },
		"infinite":      func(context.Context) (float64, error) { return math.Inf(1), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fill(t, 400)
				db := &loaded{w: w}
				began := time.Now()
				var waited string
				var early int64
				_, err := rekey.Sweep(t.Context(), w.client, db.store(), rekey.Options{
					Workers: 4, LoadEvery: time.Second,
					Steer: func(ctx context.Context, _ rekey.Pressure) (float64, error) {
						if lasted := time.Since(began); lasted < 2*time.Second || lasted > 30*time.Second {
							return 0.5, nil
						}
						return broken(ctx)
					},
					Progress: func(p rekey.Progress) {
						switch at := time.Since(began); {
						case at < 8*time.Second:
							early = p.Renewed
						case at < 30*time.Second:
							if early != p.Renewed || p.Width != 0 {
								t.Errorf("it moves: %d, %d wide", p.Renewed-early, p.Width)
							}
							waited = p.Waiting
						}
					},
				})
				require.NoError(t, err)
				require.Greater(t, time.Since(began), 30*time.Second)
				require.True(t, strings.HasPrefix(waited, "load"), waited)
				require.Positive(t, early)
			})
		})
	}
}
