package envelope_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func decrypts(k *keytest.Key) int64 { _, d := k.Calls(); return d }
func encrypts(k *keytest.Key) int64 { e, _ := k.Calls(); return e }

func TestOneCallForEachWrappedKeyHoweverManyAsk(t *testing.T) {
	t.Parallel()
	const keys, readers = 10, 1000
	for _, cfg := range []envelope.Config{{FreshKeys: true}, {Layout: envelope.ThreeLine{}, FreshKeys: true}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		writer := w.envelope(t, cfg)
		var records [keys][]byte
		for i := range records {
			records[i] = seal(t, writer, "shared", nil)
		}
		reader := w.envelope(t, cfg)
		var group sync.WaitGroup
		var failed atomic.Int64
		for i := range readers {
			group.Go(func() {
				opened, err := reader.Open(t.Context(), records[i%keys], nil)
				if err != nil || string(opened.Plaintext) != "shared" {
					failed.Add(1)
				}
			})
		}
		group.Wait()
		require.Zero(t, failed.Load())
		require.EqualValues(t, keys, decrypts(w.old))
		stats := reader.Stats()
		require.Equal(t, []envelope.Opens{{Side: kmsmigrate.SideOld, Key: w.old.Ref(), Records: readers, Unwraps: keys}}, stats.Opens)
	}
}

func TestACallerWhoGivesUpFailsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := keytest.New(keytest.Config{})
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keytest.Slow(old, 10*time.Second), nil)})

		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := e.Open(hurried, record, nil)
			first <- err
		}()
		synctest.Wait()
		second := make(chan error, 1)
		go func() {
			_, err := e.Open(t.Context(), record, nil)
			second <- err
		}()
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
		require.NoError(t, <-second)
		require.EqualValues(t, 1, decrypts(old))
	})
}

func TestASharedCallHasATimeoutOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := keytest.New(keytest.Config{})
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keytest.Hang(old), nil), Timeout: 3 * time.Second})
		start := time.Now()
		_, err := e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestARequestDoesNotWaitForASweepsCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := keytest.New(keytest.Config{})
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
		paced := keytest.Intercept(old, func(ctx context.Context, _ keytest.Call, next func() ([]byte, error)) ([]byte, error) {
			if kmsmigrate.IsBackground(ctx) {
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
			}
			return next()
		})
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, paced, nil)})
		sweep := make(chan error, 1)
		go func() {
			_, err := e.Open(kmsmigrate.Background(t.Context()), record, nil)
			sweep <- err
		}()
		synctest.Wait()
		start := time.Now()
		requireOpens(t, e, record, nil, "x")
		require.Zero(t, time.Since(start))
		require.NoError(t, <-sweep)
	})
}

func TestDataKeysAgeOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, envelope.Config{MaxAge: time.Minute})
		record := seal(t, e, "x", nil)
		requireOpens(t, e, record, nil, "x")
		w.old.Disable()
		time.Sleep(59 * time.Second) //nolint:forbidigo // the bubble's clock
		requireOpens(t, e, record, nil, "x")
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		_, err := e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
		_, err = e.Seal(t.Context(), []byte("y"), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
		e.Close()
	})
}

func TestFlushForgetsDataKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	record := seal(t, e, "x", nil)
	requireOpens(t, e, record, nil, "x")
	w.old.Disable()
	requireOpens(t, e, record, nil, "x")
	e.Flush()
	_, err := e.Open(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	_, err = e.Seal(t.Context(), []byte("y"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
}

func TestSealSharesADataKeyWithinItsBounds(t *testing.T) {
	t.Parallel()
	count := func(cfg envelope.Config, records, size int, ecs ...kmsmigrate.EncryptionContext) int64 {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		for i := range records {
			ec := kmsmigrate.EncryptionContext(nil)
			if len(ecs) > 0 {
				ec = ecs[i%len(ecs)]
			}
			_, err := e.Seal(t.Context(), make([]byte, size), ec)
			require.NoError(t, err)
		}
		return encrypts(w.old)
	}
	for _, layout := range []envelope.Layout{nil, envelope.ThreeLine{}} {
		require.EqualValues(t, 1, count(envelope.Config{Layout: layout}, 100, 10))
		require.EqualValues(t, 10, count(envelope.Config{Layout: layout, MaxMessages: 10}, 100, 10))
		require.EqualValues(t, 100, count(envelope.Config{Layout: layout, MaxMessages: 1}, 100, 10))
		require.EqualValues(t, 20, count(envelope.Config{Layout: layout, MaxBytes: 50}, 100, 10))
		require.EqualValues(t, 5, count(envelope.Config{Layout: layout, MaxBytes: 50}, 5, 1000), "each longer than a key may seal")
		require.EqualValues(t, 100, count(envelope.Config{Layout: layout, FreshKeys: true}, 100, 10))
		require.EqualValues(t, 2, count(envelope.Config{Layout: layout}, 100, 10, nil, customers))
	}
}

func TestBoundsHoldWithManyWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{MaxMessages: 7})
	var mu sync.Mutex
	used := map[[32]byte]int{}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for range 20 {
				record, err := e.Seal(t.Context(), []byte("x"), nil)
				if err != nil {
					continue
				}
				info, _ := e.Inspect(record)
				mu.Lock()
				used[info.Copies[0].Group]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	total := 0
	for _, n := range used {
		require.LessOrEqual(t, n, 7)
		total += n
	}
	require.Equal(t, 64*20, total)
	require.Less(t, len(used), 64*20/2, "keys are shared")
}

func TestTheCacheForOpeningIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{FreshKeys: true, MaxEntries: 8})
	for range 200 {
		requireOpens(t, e, seal(t, e, "x", nil), nil, "x")
	}
	require.Eventually(t, func() bool { return e.Stats().CachedOpen <= 8 }, 10*time.Second, time.Millisecond)
}

func TestInNewOnlyACachedDataKeyOfTheOldSideDoesNotServe(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.ReadBoth)
		e := w.envelope(t, cfg)
		record := seal(t, e, "x", nil)
		require.False(t, requireOpens(t, e, record, nil, "x").Stale)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		before := w.calls()
		require.True(t, requireOpens(t, e, record, nil, "x").Stale, "also from the cache")
		require.Equal(t, before, w.calls())
		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		_, err := e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrRetired)
		require.Equal(t, before, w.calls(), "the old side is not asked")
		require.Zero(t, e.Stats().CachedOpen)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		requireOpens(t, e, record, nil, "x")
		require.Equal(t, before+1, w.calls(), "what the old side unwrapped was forgotten")
	}
}

func TestSealFollowsThePhaseAtOnce(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.ReadBoth)
		e := w.envelope(t, cfg)
		side := func() kmsmigrate.Side {
			info, err := e.Inspect(seal(t, e, "x", nil))
			require.NoError(t, err)
			return info.Copies[0].Side
		}
		require.Equal(t, kmsmigrate.SideOld, side())
		require.NoError(t, w.phase.Jump(kmsmigrate.WriteNew))
		require.Equal(t, kmsmigrate.SideNew, side())
		require.NoError(t, w.phase.Jump(kmsmigrate.ReadBoth))
		require.Equal(t, kmsmigrate.SideOld, side())
	}
}

func TestWhatAKeyAnswersIsNeverTakenForADataKey(t *testing.T) {
	t.Parallel()
	old := keytest.New(keytest.Config{})
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
	for name, faulty := range map[string]kmsmigrate.Key{
		"empty": keytest.Empty(old), "cut": keytest.Truncate(old, 20), "a bit flipped": keytest.Corrupt(old, "decrypt"),
	} {
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, faulty, nil)})
		_, err := e.Open(t.Context(), record, nil)
		require.Error(t, err, name)
	}
}

func TestNoDataKeyIsOverwrittenWhileItIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	cfg := envelope.Config{Layout: envelope.ThreeLine{}, MaxEntries: 4}
	fresh := w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}, FreshKeys: true})
	var records [32][]byte
	for i := range records {
		records[i] = seal(t, fresh, fmt.Sprint(i), nil)
	}
	e := w.envelope(t, cfg)
	var group sync.WaitGroup
	var failed atomic.Int64
	for g := range 8 {
		group.Go(func() {
			for i := range 200 {
				n := (i*7 + g*5) % len(records)
				opened, err := e.Open(t.Context(), records[n], nil)
				if err != nil || string(opened.Plaintext) != fmt.Sprint(n) {
					failed.Add(1)
				}
				record, err := e.Seal(t.Context(), []byte("x"), nil)
				if err != nil {
					failed.Add(1)
				} else if opened, err := fresh.Open(t.Context(), record, nil); err != nil || string(opened.Plaintext) != "x" {
					failed.Add(1)
				}
				if i%50 == g {
					e.Flush()
				}
			}
		})
	}
	group.Wait()
	require.Zero(t, failed.Load())
}

func TestBytesAreBoundedWithManyWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{MaxBytes: 100})
	var mu sync.Mutex
	used := map[[32]byte]int{}
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for range 20 {
				record, err := e.Seal(t.Context(), make([]byte, 30), nil)
				if err != nil {
					continue
				}
				info, _ := e.Inspect(record)
				mu.Lock()
				used[info.Copies[0].Group] += 30
				mu.Unlock()
			}
		})
	}
	group.Wait()
	total := 0
	for _, n := range used {
		require.LessOrEqual(t, n, 100)
		total += n
	}
	require.Equal(t, 32*20*30, total)
}
