package envelope_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestRewrapUsesTheNewestVersionAndLeavesThePayload(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		record := seal(t, e, "a long-lived record", customers)
		tail := bytes.Clone(record[len(record)-30:])
		w.old.Rotate()
		before := w.calls()
		rewrapped, err := e.Rewrap(t.Context(), bytes.Clone(record), customers)
		require.NoError(t, err)
		require.Equal(t, before+3, w.calls())
		require.Len(t, rewrapped, len(record))
		require.Equal(t, tail, rewrapped[len(rewrapped)-30:])
		info, err := e.Inspect(rewrapped)
		require.NoError(t, err)
		require.Equal(t, w.old.Ref(), info.Copies[0].Key)
		requireOpens(t, e, rewrapped, customers, "a long-lived record")
	}
}

func TestRewrapReusesTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	record := seal(t, e, "x", nil)
	rewrapped, err := e.Rewrap(t.Context(), record, nil)
	require.NoError(t, err)
	require.Same(t, &record[0], &rewrapped[0])
	w.old.Disable()
	before := bytes.Clone(record)
	_, err = e.Rewrap(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	require.Equal(t, before, record)
}

func TestRewrapRefusesACopyThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	old := keytest.New(keytest.Config{})
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keytest.Corrupt(old, "encrypt"), nil)})
	before := bytes.Clone(record)
	_, err := e.Rewrap(t.Context(), record, nil)
	require.Error(t, err)
	require.Equal(t, before, record)
}

func TestReencryptChangesEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	from := w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}})
	record := seal(t, from, "suspect", customers)
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.ThreeLine{}}})
	again, err := e.Reencrypt(t.Context(), record, customers)
	require.NoError(t, err)
	info, err := e.Inspect(again)
	require.NoError(t, err)
	require.Equal(t, "keyhaul", info.Layout)
	require.Equal(t, kmsmigrate.SideNew, info.Copies[0].Side)
	requireOpens(t, e, again, customers, "suspect")
	third, err := e.Reencrypt(t.Context(), again, customers)
	require.NoError(t, err)
	other, err := e.Inspect(third)
	require.NoError(t, err)
	require.NotEqual(t, info.Copies[0].Group, other.Copies[0].Group, "a data key of its own")
}

func TestARecordWrappedForBothOpensThroughWhicheverIsUp(t *testing.T) {
	t.Parallel()
	for p := kmsmigrate.OldOnly; p <= kmsmigrate.NewOnly; p++ {
		w := newWorld(t, p)
		record := seal(t, w.envelope(t, envelope.Config{WrapBoth: true}), "twice", customers)
		e := w.envelope(t, envelope.Config{FailoversPerSecond: 100})
		info, err := e.Inspect(record)
		require.NoError(t, err)
		if p == kmsmigrate.OldOnly || p == kmsmigrate.NewOnly {
			require.Len(t, info.Copies, 1, p)
			continue
		}
		require.Len(t, info.Copies, 2, p)
		require.ElementsMatch(t, []kmsmigrate.Side{kmsmigrate.SideOld, kmsmigrate.SideNew}, []kmsmigrate.Side{info.Copies[0].Side, info.Copies[1].Side})
		opened := requireOpens(t, e, record, customers, "twice")
		require.Equal(t, kmsmigrate.SideNew, opened.Side, "the new side first")

		w.new.Disable()
		opened = requireOpens(t, w.envelope(t, envelope.Config{FailoversPerSecond: 100}), record, customers, "twice")
		require.Equal(t, kmsmigrate.SideOld, opened.Side)
		require.False(t, opened.Stale, "it has a copy of the new side")
		_, err = w.envelope(t, envelope.Config{}).Open(t.Context(), record, customers)
		require.ErrorIs(t, err, kmsmigrate.ErrKeyState, "failing over is opt-in")

		w.new.Enable()
		w.old.Disable()
		requireOpens(t, w.envelope(t, envelope.Config{}), record, customers, "twice")
		for _, single := range []kmsmigrate.Phase{kmsmigrate.NewOnly} {
			require.NoError(t, w.phase.Jump(single))
			requireOpens(t, w.envelope(t, envelope.Config{}), record, customers, "twice")
		}
	}
}

func TestFailoversAreCapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	record := seal(t, w.envelope(t, envelope.Config{WrapBoth: true}), "x", nil)
	w.new.Disable()
	e := w.envelope(t, envelope.Config{FailoversPerSecond: 0.001, MaxAge: -1})
	requireOpens(t, e, record, nil, "x")
	_, err := e.Open(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	require.EqualValues(t, 1, e.Stats().Failovers)
}

func TestWrapBothAsksForAvailabilityAndCostsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.WriteNew)
	w.old.Disable()
	e := w.envelope(t, envelope.Config{WrapBoth: true})
	record := seal(t, e, "x", nil)
	info, err := e.Inspect(record)
	require.NoError(t, err)
	require.Len(t, info.Copies, 1)
	require.EqualValues(t, 1, e.Stats().Single)
	requireOpens(t, e, record, nil, "x")
}

func TestRenewAddsOrReplacesTheCopyOfTheOldSide(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		w := newWorld(t, kmsmigrate.Rewrite)
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil)}), "x", nil)
		e := w.envelope(t, envelope.Config{WrapBoth: both})
		r, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err)
		info, err := e.Inspect(r.Ciphertext)
		require.NoError(t, err)
		if both {
			require.Len(t, info.Copies, 2)
		} else {
			require.Len(t, info.Copies, 1)
		}
		require.Equal(t, kmsmigrate.SideNew, info.Copies[0].Side)
		require.False(t, requireOpens(t, e, r.Ciphertext, nil, "x").Stale)
		again, err := e.Renew(t.Context(), r.Ciphertext, nil)
		require.NoError(t, err)
		require.Nil(t, again.Ciphertext)
	}
}

func TestACopyOfAKeyThatIsNotConfiguredStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	third := keytest.New(keytest.Config{KMS1: true})
	record := seal(t, newEnvelope(t, envelope.Config{
		Keys: clientOf(t, kmsmigrate.ReadBoth, w.old, third), WrapBoth: true,
	}), "three parties", nil)
	e := w.envelope(t, envelope.Config{})
	require.True(t, requireOpens(t, e, record, nil, "three parties").Stale)
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	info, err := e.Inspect(r.Ciphertext)
	require.NoError(t, err)
	require.Len(t, info.Copies, 2)
	requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, third, nil)}), r.Ciphertext, nil, "three parties")
	requireOpens(t, e, r.Ciphertext, nil, "three parties")
}

// BenchmarkRewrap shows that re-wrapping in place does not read the payload.
func BenchmarkRewrap(b *testing.B) {
	e := benchEnvelope(b)
	for _, size := range []struct {
		name string
		n    int
	}{{"100B", 100}, {"1MiB", 1 << 20}} {
		record, err := e.Seal(context.Background(), make([]byte, size.n), nil)
		require.NoError(b, err)
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if record, err = e.Rewrap(context.Background(), record, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestRewrapRefusesAKeyThatGivesBackSomethingElse(t *testing.T) {
	t.Parallel()
	old := keytest.New(keytest.Config{})
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
	decrypts := 0
	liar := keytest.Intercept(old, func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
		answer, err := next()
		if call.Op == "decrypt" {
			if decrypts++; decrypts == 2 { // the one that proves
				answer[0] ^= 1
			}
		}
		return answer, err
	})
	before := bytes.Clone(record)
	_, err := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, liar, nil)}).Rewrap(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
	require.Equal(t, before, record)
}
