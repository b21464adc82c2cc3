package rekey_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// stuckLedger stands for a ledger in the database whose transaction waits for it.
type stuckLedger struct{}

func (stuckLedger) Find(context.Context, [32]byte) ([]byte, error) { return nil, nil }

func (stuckLedger) Add(ctx context.Context, _ [32]byte, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestOpenSyncDoesNotWaitLongForARenewal(t *testing.T) {
	t.Parallel()
	for timeout, most := range map[time.Duration]time.Duration{0: 2 * time.Second, time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			rec := w.fill(t, 1)[0]
			client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: w.phase, Old: w.old, New: w.new, Ledger: stuckLedger{}})
			require.NoError(t, err)
			rekeyer, err := rekey.New(rekey.Config{Codec: client, Timeout: timeout})
			require.NoError(t, err)
			began := time.Now()
			plaintext, err := rekeyer.OpenSync(t.Context(), w.store, rec)
			require.NoError(t, err)
			require.Equal(t, secret(0), plaintext)
			require.Equal(t, most, time.Since(began))
			require.EqualValues(t, 1, rekeyer.Stats().Failed)
			require.NoError(t, rekeyer.Close(t.Context()))
		})
	}
}

func TestOpenSyncSwapsInTheTimeOfItsCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := w.fill(t, 1)[0]
	rekeyer, err := rekey.New(rekey.Config{Codec: w.client})
	require.NoError(t, err)
	swapped := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		_, bounded := ctx.Deadline()
		require.False(t, bounded, "a driver ends the transaction with a statement whose context ends")
		return w.store.Swap(ctx, id, prev, next)
	}}
	_, err = rekeyer.OpenSync(context.WithoutCancel(t.Context()), swapped, rec)
	require.NoError(t, err)
	w.mustHold(t, 0)
}
