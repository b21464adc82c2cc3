package envelope_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// hangs returns key, whose calls hang while down is set.
func hangs(key kmsmigrate.Key, down *atomic.Bool) kmsmigrate.Key {
	return keytest.Intercept(key, func(ctx context.Context, _ keytest.Call, next func() ([]byte, error)) ([]byte, error) {
		if down.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return next()
	})
}

func TestASecondSideThatHangsIsNotWaitedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		keys := clientOf(t, kmsmigrate.ReadBoth, keytest.New(keytest.Config{}), hangs(keytest.New(keytest.Config{}), &down))
		e := newEnvelope(t, envelope.Config{Keys: keys, WrapBoth: true, FreshKeys: true})
		takes := func(ctx context.Context) time.Duration {
			start := time.Now()
			_, err := e.Seal(ctx, []byte("x"), nil)
			require.NoError(t, err)
			return time.Since(start)
		}
		const full = 500 * time.Millisecond
		require.Equal(t, full, takes(t.Context()))
		for range 10 {
			require.Zero(t, takes(t.Context()))
		}
		require.Equal(t, full, takes(kmsmigrate.Background(t.Context())), "a sweep finds out for itself")
		require.Zero(t, takes(kmsmigrate.Background(t.Context())))
		stats := e.Stats()
		require.EqualValues(t, 13, stats.Single)
		require.EqualValues(t, 11, stats.NotAsked)

		time.Sleep(5 * time.Second) //nolint:forbidigo // the bubble's clock
		waited := make(chan time.Duration, 8)
		for range cap(waited) {
			go func() { waited <- takes(t.Context()) }()
		}
		synctest.Wait()
		require.Len(t, waited, 7, "one finds out for all")
		require.Equal(t, []time.Duration{0, 0, 0, 0, 0, 0, 0, full}, []time.Duration{
			<-waited, <-waited, <-waited, <-waited, <-waited, <-waited, <-waited, <-waited,
		})

		down.Store(false)
		require.Zero(t, takes(t.Context()))
		require.EqualValues(t, 22, e.Stats().Single)
		time.Sleep(5 * time.Second) //nolint:forbidigo // the bubble's clock
		for range 3 {
			takes(t.Context())
		}
		require.EqualValues(t, 22, e.Stats().Single, "it is back")
		e.Close()
	})
}

func TestACallerWhoGivesUpSaysNothingOfTheSecondSide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := keytest.Slow(keytest.New(keytest.Config{}), 100*time.Millisecond)
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, keytest.New(keytest.Config{}), slow), WrapBoth: true, FreshKeys: true})
		hurried, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := e.Seal(hurried, []byte("x"), nil)
		require.NoError(t, err)
		info, err := e.Inspect(seal(t, e, "x", nil))
		require.NoError(t, err)
		require.Len(t, info.Copies, 2)
		e.Close()
	})
}

func TestAWrongNewCopyIsStaleOnceSeenAndRenewed(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{"own": {}, "own, both": {WrapBoth: true}} {
		old := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}})
		next := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001"}})
		writer := cfg
		writer.Keys, writer.WrapBoth, writer.FreshKeys = clientOf(t, kmsmigrate.Rewrite, old, next), true, true
		record := seal(t, newEnvelope(t, writer), "x", nil)
		info, err := newEnvelope(t, writer).Inspect(record)
		require.NoError(t, err)
		require.Len(t, info.Copies, 2)
		require.Equal(t, kmsmigrate.SideNew, info.Copies[0].Side, name)
		damaged := bytes.Clone(record)
		at := bytes.Index(damaged, []byte(next.Ref().VersionID)) + 60
		damaged[at] ^= 1

		cfg.Keys = writer.Keys
		e := newEnvelope(t, cfg)
		r, err := e.Renew(t.Context(), damaged, nil)
		require.NoError(t, err)
		require.Nil(t, r.Ciphertext, "nobody has looked")
		opened := requireOpens(t, e, damaged, nil, "x")
		require.True(t, opened.Stale, name)
		require.False(t, requireOpens(t, e, record, nil, "x").Stale, name)
		r, err = e.Renew(t.Context(), damaged, nil)
		require.NoError(t, err)
		require.NotNil(t, r.Ciphertext, name)
		require.False(t, requireOpens(t, e, r.Ciphertext, nil, "x").Stale)
		after, err := e.Inspect(r.Ciphertext)
		require.NoError(t, err)
		require.Len(t, after.Copies, map[bool]int{false: 1, true: 2}[cfg.WrapBoth], "the wrong copy is gone")
		cfg.Keys = clientOf(t, kmsmigrate.NewOnly, nil, next)
		requireOpens(t, newEnvelope(t, cfg), r.Ciphertext, nil, "x")

		// A record that has nothing else is not made worse.
		_, err = e.Renew(t.Context(), withCopies(damaged, copiesOf(damaged)[0]), nil)
		require.Error(t, err)
	}
}

func TestACopyThatWasWrongOnceIsAskedAgainBeforeItIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	record := seal(t, w.envelope(t, envelope.Config{WrapBoth: true}), "x", nil)
	lies := 2
	keys := clientOf(t, kmsmigrate.Rewrite, w.old, answering(w.new, func() string {
		if lies--; lies >= 0 {
			return aWrongKey
		}
		return ""
	}))
	e := newEnvelope(t, envelope.Config{Keys: keys})
	require.True(t, requireOpens(t, e, record, nil, "x").Stale)
	before := encrypts(w.new)
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	require.Nil(t, r.Ciphertext)
	require.Equal(t, before, encrypts(w.new))
	require.False(t, requireOpens(t, e, record, nil, "x").Stale)
}

func TestAServiceThatDoesNotAnswerMakesNoCopyWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	record := seal(t, w.envelope(t, envelope.Config{WrapBoth: true}), "x", nil)
	down := keytest.Fail(w.new, kmsmigrate.ErrUnavailable)
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, w.old, down), FailoversPerSecond: 1000})
	require.False(t, requireOpens(t, e, record, nil, "x").Stale)
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	require.Nil(t, r.Ciphertext)
}
