package rekey_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// batching is a store that takes batches. The first waits until so many others wait too, so that there is one.
type batching struct {
	*rekeytest.Memory
	size int
	all  func(ctx context.Context, swaps []rekey.Swap) []error

	mu      sync.Mutex
	batches []int
}

func (b *batching) BatchSize() int { return b.size }

func (b *batching) SwapAll(ctx context.Context, swaps []rekey.Swap) []error {
	b.mu.Lock()
	b.batches = append(b.batches, len(swaps))
	b.mu.Unlock()
	if b.all != nil {
		return b.all(ctx, swaps)
	}
	errs := make([]error, len(swaps))
	for i, s := range swaps {
		errs[i] = b.Memory.Swap(ctx, s.ID, s.Prev, s.Next)
	}
	return errs
}

// Swap is slow enough that others come meanwhile.
func (b *batching) Swap(ctx context.Context, id string, prev, next []byte) error {
	for range 100 {
		runtime.Gosched()
	}
	return b.Memory.Swap(ctx, id, prev, next)
}

func batchStore(t *testing.T, records, size int) (*batching, *kmsmigrate.Client) {
	t.Helper()
	old := keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	store := &batching{Memory: new(rekeytest.Memory), size: size}
	for i := range records {
		value, err := old.Encrypt(t.Context(), fmt.Appendf(nil, "plaintext %d", i), nil)
		require.NoError(t, err)
		store.Put(rekey.Record{ID: fmt.Sprintf("%04d", i), Value: value})
	}
	return store, client
}

func TestASweepSwapsInBatchesWhatIsReadyTogether(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 3, 100} {
		store, client := batchStore(t, 500, size)
		report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, 500, report.Renewed)
		census, err := rekey.TakeCensus(t.Context(), client, store)
		require.NoError(t, err)
		require.NoError(t, census.Clear(kmsmigrate.SideOld))
		if size <= 1 {
			require.Empty(t, store.batches)
		}
		for _, n := range store.batches {
			require.Greater(t, n, 1)
			require.LessOrEqual(t, n, size)
		}
	}
}

func TestEachRecordOfABatchHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	store, client := batchStore(t, 400, 100)
	refused := 0
	store.all = func(ctx context.Context, swaps []rekey.Swap) []error {
		errs := make([]error, len(swaps))
		for i, s := range swaps {
			if i == 1 {
				store.mu.Lock()
				refused++
				store.mu.Unlock()
				errs[i] = fmt.Errorf("record %s: %w", s.ID, rekey.ErrRefused)
				continue
			}
			errs[i] = store.Memory.Swap(ctx, s.ID, s.Prev, s.Next)
		}
		return errs
	}
	report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, refused, report.Quarantined)
	require.EqualValues(t, 400-refused, report.Renewed)
	for _, q := range report.List {
		require.Contains(t, q.Err, "record "+q.ID)
	}
}

func TestABatchThatBreaksLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]func(ctx context.Context, swaps []rekey.Swap) []error{
		"panic":        func(context.Context, []rekey.Swap) []error { panic("secret") },
		"exit":         func(context.Context, []rekey.Swap) []error { runtime.Goexit(); return nil },
		"wrong length": func(_ context.Context, swaps []rekey.Swap) []error { return make([]error, len(swaps)-1) },
	} {
		store, client := batchStore(t, 400, 100)
		store.all = all
		report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
		if len(store.batches) == 0 { // nobody came meanwhile
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret")
		require.False(t, report.Complete)
	}
}

func TestASweepThatIsStoppedDoesNotWaitForItsTurnInABatch(t *testing.T) {
	t.Parallel()
	store, client := batchStore(t, 400, 100)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	gone := make(chan struct{})
	store.all = func(ctx context.Context, swaps []rekey.Swap) []error {
		stop()
		<-ctx.Done()
		errs := make([]error, len(swaps))
		for i := range errs {
			errs[i] = ctx.Err()
		}
		return errs
	}
	go func() {
		defer close(gone)
		_, err := rekey.Sweep(ctx, client, store, rekey.Options{})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	<-gone
}
