package rekey_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
)

// One row that the store cannot write must neither hold up the rest for ever nor pass for an outage of the key that wraps them
// all: what fails for a moment then would be quarantined at once.
func TestOneRecordThatTheStoreFailsForIsNotTheKeysFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reset atomic.Bool
		w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
			return keytest.Slow(old, 5*time.Second), new
		})
		const n = 300
		w.fill(t, n)
		sick := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
			if id == idOf(5) {
				return errors.New("page is corrupted")
			}
			if id == idOf(200) && reset.CompareAndSwap(false, true) {
				return errors.New("connection reset")
			}
			return w.store.Swap(ctx, id, prev, next)
		}}
		report, err := rekey.Sweep(t.Context(), w.client, sick, rekey.Options{Workers: 4, Patience: 30 * time.Second})
		require.NoError(t, err)
		require.Equal(t, map[string]int64{rekey.ReasonStore: 1}, report.Reasons)
		require.EqualValues(t, n-1, report.Renewed)
	})
}

// The same at the service: one wrapped data key that it cannot open must not make every hiccup of the key a quarantine.
func TestOneRecordThatTheServiceFailsForIsNotTheKeysFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sick []byte
		var n200 atomic.Int64
		w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
			return keytest.Intercept(keytest.Slow(old, 5*time.Second), func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
				switch {
				case call.Op == "decrypt" && string(call.Input) == string(sick):
					return nil, kmsmigrate.ErrUnavailable
				case n200.Add(1) == 200:
					return nil, kmsmigrate.ErrThrottled
				}
				return next()
			}), new
		})
		const n = 300
		w.fill(t, n)
		rec, err := w.store.Get(t.Context(), idOf(5))
		require.NoError(t, err)
		sick = rec.Value
		report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Workers: 4, Patience: 30 * time.Second})
		require.NoError(t, err)
		require.Equal(t, map[string]int64{rekey.ReasonService: 1}, report.Reasons)
		require.EqualValues(t, n-1, report.Renewed)
	})
}
