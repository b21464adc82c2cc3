package rekey_test

import (
	"context"
	"slices"
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

func TestTooManyOfOneReasonInARowPauseASweepThatCanBeResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const n = 500
		w.fill(t, n)
		wrong, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{}), New: w.new})
		require.NoError(t, err)
		var repaired atomic.Bool
		pause := new(rekey.Pause)
		var waiting []string
		o := rekey.Options{
			MaxInARow: 20, Workers: 4, InFlight: 8, Pause: pause,
			CodecFor: func(rekey.Record) (rekey.Codec, error) {
				if repaired.Load() {
					return w.client, nil
				}
				return wrong, nil
			},
			Progress: func(p rekey.Progress) { waiting = append(waiting, p.Waiting) },
		}
		var report rekey.Report
		var sweeping sync.WaitGroup
		sweeping.Go(func() { report, err = rekey.Sweep(t.Context(), w.client, w.store, o) })
		time.Sleep(time.Minute) //nolint:forbidigo // a fake clock
		synctest.Wait()
		require.True(t, pause.Paused())
		require.Contains(t, pause.Why(), "in a row were quarantined ("+rekey.ReasonNoKey+")")
		require.Contains(t, waiting[len(waiting)-1], "in a row")
		mustKeepSecrets(t, pause.Why())

		pause.Set(false)        // nothing was repaired: it pauses again
		time.Sleep(time.Minute) //nolint:forbidigo // a fake clock
		synctest.Wait()
		require.True(t, pause.Paused())

		repaired.Store(true)
		pause.Set(false)
		sweeping.Wait()
		require.NoError(t, err)
		require.True(t, report.Complete)

		require.GreaterOrEqual(t, report.Quarantined, int64(40))
		require.EqualValues(t, n, report.Renewed+report.Quarantined)
		ids := make([]string, 0, len(report.List))
		for _, q := range report.List {
			ids = append(ids, q.ID)
		}
		again, err := rekey.Retry(t.Context(), w.client, w.store, slices.Values(ids), rekey.Options{})
		require.NoError(t, err)
		require.Equal(t, report.Quarantined, again.Renewed)
		for i := range n {
			w.mustHold(t, i)
		}
	})
}

func TestASweepStopsInARowWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]rekey.Options{
		"nobody can resume it": {},
		"by choice":            {Pause: new(rekey.Pause), StopInARow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fill(t, 200)
			wrong, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{}), New: w.new})
			require.NoError(t, err)
			o.MaxInARow = 20
			_, err = rekey.Sweep(t.Context(), wrong, w.store, o)
			require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
			require.ErrorContains(t, err, "in a row")
			require.False(t, o.Pause.Paused())
		})
	}
}

// A process in an earlier phase writes a record again and again, with the old key.
func TestARecordThatOthersWriteIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 20)
		const hot = 7
		contested := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
			if id == idOf(hot) {
				value, err := w.old.Encrypt(ctx, secret(hot), contextOf(hot))
				require.NoError(t, err)
				w.store.Put(rekey.Record{ID: id, Value: value, Context: contextOf(hot)})
			}
			return w.store.Swap(ctx, id, prev, next)
		}}
		contended := &rekey.Contended{For: 10 * time.Second}
		rekeyer, err := rekey.New(rekey.Config{Codec: w.client, Store: contested, Contended: contended})
		require.NoError(t, err)
		read := func() {
			rec, err := w.store.Get(t.Context(), idOf(hot))
			require.NoError(t, err)
			_, err = rekeyer.Open(t.Context(), rec)
			require.NoError(t, err)
			require.NoError(t, rekeyer.Wait(t.Context()))
		}
		read()
		require.EqualValues(t, 1, rekeyer.Stats().Conflicts)
		encrypts, _ := w.new.Calls()
		for range 50 { // each finds other bytes than before, and stale ones
			read()
			rec, err := w.store.Get(t.Context(), idOf(hot))
			require.NoError(t, err)
			_, err = rekeyer.OpenSync(t.Context(), contested, rec)
			require.NoError(t, err)
			require.ErrorIs(t, contested.Swap(t.Context(), idOf(hot), rec.Value, nil), rekey.ErrConflict)
		}
		after, _ := w.new.Calls()
		require.Equal(t, encrypts, after, "no KMS call is spent on it")
		require.EqualValues(t, 100, rekeyer.Stats().Repeated)

		// A sweep that knows leaves it alone as well, and counts it.
		report, err := rekey.Sweep(t.Context(), w.client, contested, rekey.Options{Contended: contended})
		require.NoError(t, err)
		require.EqualValues(t, 19, report.Renewed)
		require.EqualValues(t, 1, report.Conflicts)
		require.Equal(t, report.Scanned, report.Renewed+report.Conflicts)
		after, _ = w.new.Calls()
		require.Equal(t, encrypts+19, after)

		time.Sleep(11 * time.Second) //nolint:forbidigo // a fake clock
		// What a sweep meets, lazy reads leave alone.
		report, err = rekey.Sweep(t.Context(), w.client, contested, rekey.Options{Contended: contended})
		require.NoError(t, err)
		require.EqualValues(t, 1, report.Conflicts)
		encrypts, _ = w.new.Calls()
		read()
		after, _ = w.new.Calls()
		require.Equal(t, encrypts, after)

		time.Sleep(11 * time.Second) //nolint:forbidigo // a fake clock
		report, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Contended: contended})
		require.NoError(t, err)
		require.EqualValues(t, 1, report.Renewed, "nobody writes it any more")
		require.NoError(t, w.census(t).Clear(kmsmigrate.SideOld))
		require.NoError(t, rekeyer.Close(t.Context()))
	})
}
