package rekey_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
)

func newRekeyer(t *testing.T, cfg rekey.Config) *rekey.Rekeyer {
	t.Helper()
	r, err := rekey.New(cfg)
	require.NoError(t, err)
	return r
}

func TestOpenRewritesWhatTheOldKeyWrapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 20)
	var told rewrites
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Notify: told.add})
	for i, rec := range recs {
		plaintext, err := r.Open(t.Context(), rec)
		require.NoError(t, err)
		require.Equal(t, secret(i), plaintext)
	}
	require.NoError(t, r.Wait(t.Context()))
	for i := range recs {
		w.mustHold(t, i)
	}
	require.Equal(t, rekey.Stats{Stale: 20, Rewritten: 20}, r.Stats())
	for _, done := range told.list() {
		require.Equal(t, rekey.Rewritten, done.Outcome)
		require.Equal(t, w.old.Ref(), done.From)
		require.Equal(t, w.new.Ref(), done.To)
		mustKeepSecrets(t, done)
	}
	require.NoError(t, r.Close(t.Context()))
}

func TestOpenReturnsBeforeTheRewrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 1)
	swapping, let := make(chan struct{}), make(chan struct{})
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		close(swapping)
		<-let
		return w.store.Swap(ctx, id, prev, next)
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	plaintext, err := r.Open(ctx, recs[0])
	require.NoError(t, err)
	require.Equal(t, secret(0), plaintext)
	cancel() // the request is over; its rewrite is not
	<-swapping
	require.Zero(t, w.store.Swaps())
	require.ErrorIs(t, r.Wait(ctx), context.Canceled)
	close(let)
	require.NoError(t, r.Wait(t.Context()))
	w.mustHold(t, 0)
}

func TestCallerOwnsItsBuffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 30)
	let := make(chan struct{})
	held := heldCodec{w.client, let}
	r := newRekeyer(t, rekey.Config{Codec: held, Store: w.store})
	row := make([]byte, 0, 1024) // one buffer for every row, as database drivers have
	ec := kmsmigrate.EncryptionContext{}
	for i, rec := range recs {
		row = append(row[:0], rec.Value...)
		for name, value := range rec.Context {
			ec[name] = value
		}
		plaintext, err := r.Open(t.Context(), rekey.Record{ID: rec.ID, Value: row, Context: ec})
		require.NoError(t, err)
		require.Equal(t, secret(i), plaintext)
		clear(plaintext)
		clear(row)
		clear(ec)
	}
	close(let)
	require.NoError(t, r.Wait(t.Context()))
	for i := range recs {
		w.mustHold(t, i)
	}
}

// heldCodec renews only when it is let.
type heldCodec struct {
	rekey.Codec
	let chan struct{}
}

func (c heldCodec) Renew(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	<-c.let
	return c.Codec.Renew(ctx, value, ec)
}

func TestAFailedRewriteDoesNotFailTheRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 3)
	w.new.Disable()
	var told rewrites
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Notify: told.add})
	plaintext, err := r.Open(t.Context(), recs[0])
	require.NoError(t, err)
	require.Equal(t, secret(0), plaintext)
	require.NoError(t, r.Wait(t.Context()))
	require.Equal(t, int64(1), r.Stats().Failed)
	require.ErrorIs(t, told.list()[0].Err, kmsmigrate.ErrKeyState)
	mustKeepSecrets(t, told.list()[0].Err)
	now, err := w.store.Get(t.Context(), recs[0].ID)
	require.NoError(t, err)
	require.Equal(t, recs[0].Value, now.Value)
}

func TestAConcurrentWriterWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 1)
	var told rewrites
	r := newRekeyer(t, rekey.Config{Codec: w.client, Notify: told.add, Store: swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		w.store.Put(rekey.Record{ID: id, Value: []byte("what the writer wrote")})
		return w.store.Swap(ctx, id, prev, next)
	}}})
	_, err := r.Open(t.Context(), recs[0])
	require.NoError(t, err)
	require.NoError(t, r.Wait(t.Context()))
	now, err := w.store.Get(t.Context(), recs[0].ID)
	require.NoError(t, err)
	require.Equal(t, "what the writer wrote", string(now.Value))
	require.Equal(t, rekey.Conflicted, told.list()[0].Outcome)
	require.Equal(t, rekey.Stats{Stale: 1, Conflicts: 1}, r.Stats())
}

func TestManyReadersOfOneRecordRewriteItOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 1)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			plaintext, err := r.Open(t.Context(), recs[0])
			if err != nil || string(plaintext) != string(secret(0)) {
				t.Errorf("Open: %v", err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Wait(t.Context()))
	_, err := r.Open(t.Context(), recs[0]) // a reader that still holds the bytes of before
	require.NoError(t, err)
	require.NoError(t, r.Wait(t.Context()))
	encrypts, _ := w.new.Calls()
	require.Equal(t, int64(1), encrypts)
	require.Equal(t, rekey.Stats{Stale: 51, Rewritten: 1, Repeated: 50}, r.Stats())
}

func TestAFullQueueSkipsAndCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 10)
	for _, test := range []struct {
		name string
		cfg  rekey.Config
	}{
		{"records", rekey.Config{QueueRecords: 2}},
		{"bytes", rekey.Config{QueueBytes: int64(2 * (len(recs[0].Value) + len(recs[0].ID)))}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			let := make(chan struct{})
			started := make(chan struct{}, 10)
			cfg := test.cfg
			cfg.Codec, cfg.Workers = w.client, 1
			cfg.Store = swapFunc{w.store, func(context.Context, string, []byte, []byte) error {
				started <- struct{}{}
				<-let
				return nil
			}}
			r := newRekeyer(t, cfg)
			_, err := r.Open(t.Context(), recs[0])
			require.NoError(t, err)
			<-started // one runs, and the queue is empty
			for _, rec := range recs[1:] {
				_, err := r.Open(t.Context(), rec)
				require.NoError(t, err)
			}
			require.Equal(t, rekey.Stats{Stale: 10, QueueFull: 7, Queued: 2, Active: 1}, r.Stats())
			close(let)
			require.NoError(t, r.Wait(t.Context()))
			require.Equal(t, rekey.Stats{Stale: 10, QueueFull: 7, Rewritten: 3}, r.Stats())
		})
	}
}

func TestASampleOfReadsIsRewritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, OneIn: 4})
	for _, rec := range w.fill(t, 20) {
		_, err := r.Open(t.Context(), rec)
		require.NoError(t, err)
	}
	require.NoError(t, r.Wait(t.Context()))
	require.Equal(t, rekey.Stats{Stale: 20, Rewritten: 5, NotSampled: 15}, r.Stats())
}

func TestAPanicOfTheStoreIsAFailedRewrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 1)
	var told rewrites
	r := newRekeyer(t, rekey.Config{
		Codec: w.client, Store: swapFunc{w.store, func(context.Context, string, []byte, []byte) error { panic("sEcReT") }},
		Notify: func(done rekey.Rewrite) { told.add(done); panic("and the hook") },
	})
	_, err := r.Open(t.Context(), recs[0])
	require.NoError(t, err)
	require.NoError(t, r.Wait(t.Context()))
	require.Equal(t, int64(1), r.Stats().Failed)
	mustKeepSecrets(t, told.list()[0].Err)
}

func TestRewritingBacksOffWhileASideIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		recs := w.fill(t, 200)
		w.new.Disable()
		r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Workers: 1})
		for _, rec := range recs {
			_, err := r.Open(t.Context(), rec)
			require.NoError(t, err)
			require.NoError(t, r.Wait(t.Context()))
			time.Sleep(50 * time.Millisecond) //nolint:forbidigo // reads arrive over ten seconds of a fake clock
		}
		encrypts, _ := w.new.Calls()
		require.Less(t, encrypts, int64(12), "a side that is down was asked on every read")
		require.Positive(t, r.Stats().BackedOff)
		w.new.Enable()
		time.Sleep(2 * time.Minute) //nolint:forbidigo // until the pause and the records' own are over
		for _, rec := range recs {
			_, err := r.Open(t.Context(), rec)
			require.NoError(t, err)
		}
		require.NoError(t, r.Wait(t.Context()))
		for i := range recs {
			w.mustHold(t, i)
		}
	})
}

func TestARewriteEndsWithItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) { return old, keytest.Hang(new) })
		recs := w.fill(t, 1)
		var told rewrites
		r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Timeout: 7 * time.Second, Notify: told.add})
		_, err := r.Open(t.Context(), recs[0])
		require.NoError(t, err)
		require.NoError(t, r.Wait(t.Context()))
		require.ErrorIs(t, told.list()[0].Err, context.DeadlineExceeded)
		require.Equal(t, 7*time.Second, told.list()[0].Duration)
	})
}

func TestCloseDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 50)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Workers: 1})
	for _, rec := range recs {
		_, err := r.Open(t.Context(), rec)
		require.NoError(t, err)
	}
	require.NoError(t, r.Close(t.Context()))
	for i := range recs {
		w.mustHold(t, i)
	}
	plaintext, err := r.Open(t.Context(), recs[0])
	require.NoError(t, err, "reads go on after Close")
	require.Equal(t, secret(0), plaintext)
	require.Equal(t, int64(1), r.Stats().AfterClose)
	require.NoError(t, r.Close(t.Context()))
}

func TestCloseDropsWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) { return old, keytest.Hang(new) })
	recs := w.fill(t, 50)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store, Workers: 2})
	for _, rec := range recs {
		_, err := r.Open(t.Context(), rec)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Close(ctx), context.Canceled)
	require.NoError(t, r.Wait(t.Context()))
	require.Zero(t, w.store.Swaps())
	s := r.Stats()
	require.Zero(t, s.Queued+s.Active)
	for _, rec := range recs {
		now, err := w.store.Get(t.Context(), rec.ID)
		require.NoError(t, err)
		require.Equal(t, rec.Value, now.Value)
	}
}

func TestOpenSyncSwapsWithTheCallersTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 3)
	r := newRekeyer(t, rekey.Config{Codec: w.client})

	plaintext, err := r.OpenSync(t.Context(), w.store, recs[0])
	require.NoError(t, err)
	require.Equal(t, secret(0), plaintext)
	w.mustHold(t, 0)

	plaintext, err = r.OpenSync(t.Context(), w.store, recs[0]) // the bytes of before: somebody was first
	require.NoError(t, err)
	require.Equal(t, secret(0), plaintext)

	lost := errors.New("the transaction is lost")
	plaintext, err = r.OpenSync(t.Context(), swapFunc{w.store, func(context.Context, string, []byte, []byte) error { return lost }}, recs[1])
	require.ErrorIs(t, err, lost)
	require.Equal(t, secret(1), plaintext)

	w.new.Disable()
	plaintext, err = r.OpenSync(t.Context(), w.store, recs[2])
	require.NoError(t, err, "a renewal that fails does not fail the read")
	require.Equal(t, secret(2), plaintext)
	require.Equal(t, rekey.Stats{Stale: 4, Rewritten: 1, Conflicts: 1, Failed: 2}, r.Stats())
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := rekey.New(rekey.Config{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.New(rekey.Config{Codec: newWorld(t).client, Workers: -1})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestAnUnusableRecordFailsTheReadAndQueuesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRekeyer(t, rekey.Config{Codec: w.client, Store: w.store})
	for _, value := range [][]byte{nil, {}, []byte("no ciphertext"), make([]byte, 100)} {
		_, err := r.Open(t.Context(), rekey.Record{ID: "1", Value: value})
		require.Error(t, err)
	}
	require.Equal(t, rekey.Stats{}, r.Stats())
}
