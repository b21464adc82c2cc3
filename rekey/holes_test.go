package rekey_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// pairCodec is a format of two wrapped values, both of which a record needs.
type pairCodec struct{ client *kmsmigrate.Client }

func (c pairCodec) Open(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (opened kmsmigrate.Opened, err error) {
	values, err := kmsmigrate.Unpack(value, 2)
	if err != nil {
		return opened, err
	}
	for _, v := range values {
		one, err := c.client.Open(ctx, v, ec)
		if err != nil {
			return opened, err
		}
		opened.Stale = opened.Stale || one.Stale
		opened.Plaintext = append(opened.Plaintext, one.Plaintext...)
	}
	return opened, nil
}

func (c pairCodec) Renew(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (renewed kmsmigrate.Renewed, err error) {
	values, err := kmsmigrate.Unpack(value, 2)
	if err != nil {
		return renewed, err
	}
	for i, v := range values {
		one, err := c.client.Renew(ctx, v, ec)
		if err != nil {
			return renewed, err
		}
		if one.Ciphertext != nil {
			values[i], renewed = one.Ciphertext, one
		}
	}
	if renewed.Ciphertext != nil {
		renewed.Ciphertext = kmsmigrate.Pack(values...)
	}
	return renewed, nil
}

func (c pairCodec) Inspect(value []byte) (info kmsmigrate.Info, err error) {
	values, err := kmsmigrate.Unpack(value, 2)
	if err != nil {
		return info, err
	}
	info.Layout = "pair"
	for i, v := range values {
		one, err := c.client.Inspect(v)
		if err != nil {
			return info, err
		}
		one.Copies[0].Value = i
		info.Copies = append(info.Copies, one.Copies...)
	}
	return info, nil
}

func TestARecordOfSeveralValuesIsOldUntilAllOfThemAreNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	codec := pairCodec{w.client}
	encrypt := func(key *keytest.Key) []byte {
		value, err := key.Encrypt(t.Context(), secret(1), contextOf(1))
		require.NoError(t, err)
		return value
	}
	for i, keys := range [][2]*keytest.Key{{w.new, w.old}, {w.old, w.new}, {w.new, w.new}, {w.old, w.old}} {
		w.store.Put(rekey.Record{ID: idOf(i), Value: kmsmigrate.Pack(encrypt(keys[0]), encrypt(keys[1])), Context: contextOf(1)})
	}
	census, err := rekey.TakeCensus(t.Context(), codec, w.store)
	require.NoError(t, err)
	require.EqualValues(t, 3, census.Held(kmsmigrate.SideOld))
	require.Error(t, census.Clear(kmsmigrate.SideOld))
	report, err := rekey.Sweep(t.Context(), codec, w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Renewed)
	require.EqualValues(t, 1, report.AlreadyNew)
	census, err = rekey.TakeCensus(t.Context(), codec, w.store)
	require.NoError(t, err)
	require.NoError(t, census.Clear(kmsmigrate.SideOld))
}

func TestTheWaitForTheFleetIsNotTheRecordsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 60)
		fleet := &rekey.Fleet{Notebook: new(rekey.MemoryNotebook), Name: "x", PerSecond: 30}
		report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Fleet: fleet, Timeout: 500 * time.Millisecond, Patience: 20 * time.Second})
		require.NoError(t, err)
		require.EqualValues(t, 60, report.Renewed)
		require.Zero(t, report.Retries)
	})
}

// observed is a notebook that tells what was written.
type observed struct {
	rekey.MemoryNotebook
	writes atomic.Int64
}

func (o *observed) Write(ctx context.Context, name string, text []byte, revision int64) error {
	o.writes.Add(1)
	return o.MemoryNotebook.Write(ctx, name, text, revision)
}

func TestADryRunOfASharedSweepLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 60)
	book := new(observed)
	o := rekey.Options{Name: "x", DryRun: true, Fleet: &rekey.Fleet{Notebook: book, Name: "x", PerSecond: 1e6}}
	dry, err := rekey.SweepShared(t.Context(), w.client, splitting{w.store}, rekey.Shared{Notebook: book, Parts: 4}, o)
	require.NoError(t, err)
	require.True(t, dry.Complete)
	require.EqualValues(t, 60, dry.Stale)
	require.Zero(t, book.writes.Load())
	o.DryRun = false
	report, err := rekey.SweepShared(t.Context(), w.client, splitting{w.store}, rekey.Shared{Notebook: book, Parts: 4}, o)
	require.NoError(t, err)
	require.EqualValues(t, 60, report.Renewed)
}

func TestAClosedEndpointStopsTheSweepAndQuarantinesNothing(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
		return keytest.Fail(old, fmt.Errorf("the endpoint is closed: %w: %w", net.ErrClosed, kmsmigrate.ErrUnavailable)), new
	})
	w.fill(t, 60)
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, "closed")
	require.False(t, report.Complete)
	require.Zero(t, report.Quarantined)
	require.Empty(t, report.After)
}

func TestInvalidAnswersToEveryRecordStopTheSweepAlsoAmongNewRecords(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
		return keytest.Fail(old, kmsmigrate.ErrInvalid), new
	})
	recs := w.fill(t, 100)
	for i, rec := range recs {
		if i%2 == 0 {
			value, err := w.new.Encrypt(t.Context(), secret(i), rec.Context)
			require.NoError(t, err)
			w.store.Put(rekey.Record{ID: rec.ID, Value: value, Context: rec.Context})
		}
	}
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Workers: 1, InFlight: 1, MaxInARow: 10})
	require.ErrorContains(t, err, "10 records in a row")
	require.False(t, report.Complete)
}

// shortened is a store whose scan leaves out the records from some id on, and says nothing.
type shortened struct {
	*rekeytest.Memory
	until string
}

func (s shortened) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	r.Through = s.until
	return s.Memory.Scan(ctx, r)
}

func TestACensusThatSawFarFewerRecordsThanThereAreIsNotComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 100)
	census, err := rekey.TakeCensus(t.Context(), w.client, shortened{w.store, idOf(9)})
	require.ErrorContains(t, err, "10 of 100")
	require.False(t, census.Complete)

	// What was deleted meanwhile is not missing.
	deleting := rekey.CensusOptions{By: func(rec rekey.Record) string {
		if rec.ID == idOf(0) {
			for i := 20; i < 100; i++ {
				w.store.Delete(idOf(i))
			}
		}
		return ""
	}}
	report, err := rekey.TakeCensusWith(t.Context(), w.client, w.store, deleting)
	require.NoError(t, err)
	require.True(t, report.Complete)
}

func TestALoadThatIgnoresItsContextIsNotAskedTwiceAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 3)
		var asked atomic.Int64
		answer := make(chan struct{})
		load := func(context.Context) error {
			if asked.Add(1) == 1 {
				<-answer
			}
			return nil
		}
		done := make(chan error)
		go func() {
			_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Load: load, LoadEvery: time.Second})
			done <- err
		}()
		time.Sleep(time.Minute) //nolint:forbidigo // a fake clock
		require.EqualValues(t, 1, asked.Load())
		close(answer)
		require.NoError(t, <-done)
	})
}

func TestAStoreThatEndsItsGoroutineStopsTheSweepAndNotTheRekeyer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 60)
	broken := swapFunc{w.store, func(context.Context, string, []byte, []byte) error { runtime.Goexit(); return nil }}
	_, err := rekey.Sweep(t.Context(), w.client, broken, rekey.Options{Workers: 2})
	require.ErrorContains(t, err, "goroutine")

	r, err := rekey.New(rekey.Config{Codec: w.client, Store: broken, Workers: 2})
	require.NoError(t, err)
	for _, rec := range recs {
		_, err := r.Open(t.Context(), rec)
		require.NoError(t, err)
	}
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.Wait(waiting))
	require.EqualValues(t, len(recs), r.Stats().Failed)
	require.NoError(t, r.Close(waiting))

	var wg sync.WaitGroup // a scan that does it ends the goroutine of the caller, and leaves no other behind
	wg.Go(func() { _, _ = rekey.Sweep(t.Context(), w.client, exitingScan{w.store}, rekey.Options{}) })
	wg.Wait()
}

type exitingScan struct{ *rekeytest.Memory }

func (exitingScan) Scan(context.Context, rekey.Range) iter.Seq2[rekey.Record, error] {
	return func(func(rekey.Record, error) bool) { runtime.Goexit() }
}

func TestClassesAddUp(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
		return keytest.Intercept(old, func(_ context.Context, c keytest.Call, next func() ([]byte, error)) ([]byte, error) {
			out, err := next()
			if c.Op == "decrypt" && bytes.Equal(out, secret(0)) {
				return nil, kmsmigrate.ErrBadAnswer
			}
			return out, err
		}), new
	})
	recs := w.fill(t, 3)
	// After record 1 was renewed somebody else replaces it by rubbish, before it is read back.
	rubbish := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		err := w.store.Swap(ctx, id, prev, next)
		if id == idOf(1) {
			w.store.Put(rekey.Record{ID: id, Value: append(bytes.Clone(prev[:len(prev)-1]), prev[len(prev)-1]^1), Context: recs[1].Context})
		}
		return err
	}}
	report, err := rekey.Sweep(t.Context(), w.client, rubbish, rekey.Options{Workers: 1, ReadBack: 1, By: func(rekey.Record) string { return "c" }})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{rekey.ReasonBadAnswer: 1, rekey.ReasonMismatch: 1}, report.Reasons)
	require.Equal(t, rekey.ClassCount{Renewed: 1, Quarantined: 2}, report.Classes["c"])
	require.EqualValues(t, 1, report.Renewed, "a record is counted once")
	require.Equal(t, report.Scanned, report.AlreadyNew+report.Renewed+report.Conflicts+report.Busy+report.Quarantined+report.Unfinished)
}
