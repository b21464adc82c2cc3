package rekey_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
)

func TestSweepMovesEveryRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 300
	w.fill(t, n)
	w.store.Put(rekey.Record{ID: "empty"})
	require.EqualValues(t, n, w.census(t).Held(kmsmigrate.SideOld))

	var last rekey.Progress
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Progress: func(p rekey.Progress) { last = p }})
	require.NoError(t, err)
	require.True(t, report.Complete)
	require.EqualValues(t, n, report.Scanned)
	require.EqualValues(t, n, report.Renewed)
	require.EqualValues(t, 1, report.Empty)
	require.Zero(t, report.Unfinished+report.Conflicts+report.Quarantined+report.AlreadyNew+report.Busy+report.Retries)
	require.Equal(t, "empty", report.After)
	require.EqualValues(t, n+1, last.Total)
	require.Zero(t, last.Left)
	for i := range n {
		w.mustHold(t, i)
	}
	census := w.census(t)
	require.NoError(t, census.Clear(kmsmigrate.SideOld))
	require.EqualValues(t, n, census.Held(kmsmigrate.SideNew))
}

func TestASecondSweepCostsNoKMSCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 100)
	_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.NoError(t, err)
	oldE, oldD := w.old.Calls()
	newE, newD := w.new.Calls()
	require.EqualValues(t, 200, oldE+oldD, "encrypted by the test, decrypted once each")
	require.EqualValues(t, 200, newE+newD, "encrypted and verified once each")

	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 100, report.AlreadyNew)
	oldE2, oldD2 := w.old.Calls()
	newE2, newD2 := w.new.Calls()
	require.Equal(t, []int64{oldE, oldD, newE, newD}, []int64{oldE2, oldD2, newE2, newD2})
}

func TestSweepIsBackground(t *testing.T) {
	t.Parallel()
	var foreground atomic.Int64
	watch := func(key kmsmigrate.Key) kmsmigrate.Key {
		return keytest.Intercept(key, func(ctx context.Context, _ keytest.Call, next func() ([]byte, error)) ([]byte, error) {
			if !kmsmigrate.IsBackground(ctx) {
				foreground.Add(1)
			}
			return next()
		})
	}
	w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) { return watch(old), watch(new) })
	w.fill(t, 10)
	_, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
	require.NoError(t, err)
	require.Zero(t, foreground.Load())
}

func TestARecordThatCannotBeOpenedIsQuarantinedAndTheSweepGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 200
	recs := w.fill(t, n)
	foreign, err := keytest.New(keytest.Config{}).Encrypt(t.Context(), secret(0), nil)
	require.NoError(t, err)
	damaged := append([]byte(nil), recs[50].Value...)
	damaged[len(damaged)-1] ^= 1
	bad := map[string]struct {
		rec    rekey.Record
		reason string
	}{
		idOf(10): {rekey.Record{Value: foreign}, rekey.ReasonNoKey},
		idOf(50): {rekey.Record{Value: damaged, Context: recs[50].Context}, rekey.ReasonInvalid},
		idOf(60): {rekey.Record{Value: recs[60].Value, Context: kmsmigrate.EncryptionContext{"customer": "sEcReT another"}}, rekey.ReasonInvalid},
		idOf(70): {rekey.Record{Value: []byte(kmsmigrate.EncodeBlob(recs[70].Value))}, rekey.ReasonUnreadable},
		idOf(80): {rekey.Record{Value: []byte("x")}, ""},
	}
	for id, b := range bad {
		b.rec.ID = id
		w.store.Put(b.rec)
	}
	var told atomic.Int64
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Quarantine: func(rekey.Quarantined) { told.Add(1) }})
	require.NoError(t, err)
	require.True(t, report.Complete)
	require.EqualValues(t, len(bad), report.Quarantined)
	require.EqualValues(t, n-len(bad), report.Renewed)
	require.EqualValues(t, len(bad), told.Load())
	require.Len(t, report.List, len(bad))
	mustKeepSecrets(t, report)
	var reasons int64
	for _, count := range report.Reasons {
		reasons += count
	}
	require.Equal(t, report.Quarantined, reasons)
	for _, q := range report.List {
		b, ok := bad[q.ID]
		require.True(t, ok, "record %s should not be quarantined: %s", q.ID, q.Err)
		if b.reason != "" {
			require.Equal(t, b.reason, q.Reason, "record %s: %s", q.ID, q.Err)
		}
		now, err := w.store.Get(t.Context(), q.ID)
		require.NoError(t, err)
		require.Equal(t, b.rec.Value, now.Value, "a quarantined record is as it was")
	}
	for i := range n {
		if _, isBad := bad[idOf(i)]; !isBad {
			w.mustHold(t, i)
		}
	}
}

func TestSweepStopsAtOnceInAPhaseThatDoesNotRewrite(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		phase kmsmigrate.Phase
		want  error
	}{{kmsmigrate.OldOnly, kmsmigrate.ErrPhase}, {kmsmigrate.WriteNew, kmsmigrate.ErrPhase}, {kmsmigrate.NewOnly, kmsmigrate.ErrRetired}} {
		t.Run(test.phase.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(t, 100)
			require.NoError(t, w.phase.Jump(test.phase))
			report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
			require.ErrorIs(t, err, test.want)
			require.Zero(t, report.Quarantined)
			require.False(t, report.Complete)
			require.Zero(t, w.store.Swaps())
		})
	}
}

// outages are the answers that say nothing of a record.
var outages = []error{kmsmigrate.ErrThrottled, kmsmigrate.ErrUnavailable, kmsmigrate.ErrDenied, kmsmigrate.ErrKeyState, context.DeadlineExceeded}

func TestAnOutageIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, outage := range append(outages, kmsmigrate.ErrBadAnswer) {
		t.Run(outage.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
					return keytest.FailFirst(old, 3, outage), keytest.FailFirst(new, 3, outage)
				})
				w.fill(t, 50)
				report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
				require.NoError(t, err)
				require.EqualValues(t, 50, report.Renewed)
				require.Zero(t, report.Quarantined)
				require.Positive(t, report.Retries)
			})
		})
	}
}

func TestAnOutageThatLastsStopsTheSweepAndQuarantinesNothing(t *testing.T) {
	t.Parallel()
	for _, outage := range outages {
		t.Run(outage.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) {
					return old, keytest.Intercept(new, func(context.Context, keytest.Call, func() ([]byte, error)) ([]byte, error) {
						calls.Add(1)
						return nil, outage
					})
				})
				w.fill(t, 500)
				var waited atomic.Bool
				report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Progress: func(p rekey.Progress) { waited.Store(waited.Load() || p.Waiting != "") }})
				require.ErrorIs(t, err, outage)
				require.Zero(t, report.Quarantined)
				require.Zero(t, w.store.Swaps())
				require.Less(t, calls.Load(), int64(1000), "the service that was down was hammered")
				require.True(t, waited.Load(), "progress did not say what it waits for")
				require.LessOrEqual(t, report.Ended.Sub(report.Started), 6*time.Minute)
			})
		})
	}
}

func TestOneKeyOfSeveralThatIsDownDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := keytest.New(keytest.Config{})
		client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: w.old, New: keytest.Slow(w.new, time.Second), Older: []kmsmigrate.Key{other}})
		require.NoError(t, err)
		const n = 1000
		w.fill(t, n)
		for i := 5; i < n; i += 10 {
			value, err := other.Encrypt(t.Context(), secret(i), contextOf(i))
			require.NoError(t, err)
			w.store.Put(rekey.Record{ID: idOf(i), Value: value, Context: contextOf(i)})
		}
		other.Disable()
		report, err := rekey.Sweep(t.Context(), client, w.store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, n/10, report.Quarantined)
		require.EqualValues(t, n/10, report.Reasons[rekey.ReasonKeyDown])
		require.EqualValues(t, n-n/10, report.Renewed)
	})
}

func TestEmptyAnswersAreNeverStored(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(kmsmigrate.Key) kmsmigrate.Key{
		"empty": keytest.Empty, "truncated": func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Truncate(k, 40) },
		"corrupt ciphertext": func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "encrypt") },
		"corrupt plaintext":  func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "decrypt") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) { return old, fault(new) })
				recs := w.fill(t, 20)
				report, _ := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{})
				require.Zero(t, report.Renewed)
				for _, rec := range recs {
					now, err := w.store.Get(t.Context(), rec.ID)
					require.NoError(t, err)
					require.Equal(t, rec.Value, now.Value)
				}
			})
		})
	}
}

func TestConflictsAreLeftToTheWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 60
	w.fill(t, n)
	store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		if id[len(id)-1] == '7' {
			w.store.Put(rekey.Record{ID: id, Value: []byte("written meanwhile")})
		}
		return w.store.Swap(ctx, id, prev, next)
	}}
	report, err := rekey.Sweep(t.Context(), w.client, store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, n/10, report.Conflicts)
	require.EqualValues(t, n-n/10, report.Renewed)
	rec, err := w.store.Get(t.Context(), idOf(7))
	require.NoError(t, err)
	require.Equal(t, "written meanwhile", string(rec.Value))
}

func TestALockedRecordIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 10)
		var tries sync.Map
		store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
			n, _ := tries.LoadOrStore(id, new(atomic.Int64))
			if n.(*atomic.Int64).Add(1) <= 2 || id == idOf(3) {
				return rekey.ErrBusy
			}
			return w.store.Swap(ctx, id, prev, next)
		}}
		report, err := rekey.Sweep(t.Context(), w.client, store, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, 9, report.Renewed)
		require.EqualValues(t, 1, report.Busy)
	})
}

func TestWhatTheStoreRefusesIsQuarantinedAndWhatItCannotDoStopsTheSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 10)
		answer := fmt.Errorf("too long: %w", rekey.ErrRefused)
		store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
			if id == idOf(4) {
				return answer
			}
			return w.store.Swap(ctx, id, prev, next)
		}}
		report, err := rekey.Sweep(t.Context(), w.client, store, rekey.Options{})
		require.NoError(t, err)
		require.Equal(t, map[string]int64{rekey.ReasonRefused: 1}, report.Reasons)

		answer = errors.New("the database is gone")
		report, err = rekey.Sweep(t.Context(), w.client, store, rekey.Options{})
		require.ErrorIs(t, err, answer)
		require.Zero(t, report.Quarantined)
	})
}

func TestAPanicStopsTheSweepWithAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 100)
	_, err := rekey.Sweep(t.Context(), w.client, swapFunc{w.store, func(context.Context, string, []byte, []byte) error { panic("sEcReT") }}, rekey.Options{})
	require.ErrorContains(t, err, "panicked")
	mustKeepSecrets(t, err)
}

func TestTooManyOfOneReasonInARowStopTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 500)
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{}), New: w.new})
	require.NoError(t, err)
	report, err := rekey.Sweep(t.Context(), client, w.store, rekey.Options{MaxInARow: 20})
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
	require.ErrorContains(t, err, "in a row")
	require.Less(t, report.Quarantined, int64(60))
}
