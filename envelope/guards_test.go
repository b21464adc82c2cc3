package envelope_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// A call that was under way when the phase changed leaves its answer in the cache after that was cleared.
func TestACallOfAnEarlierPhaseLeavesNothingForThisOne(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, kmsmigrate.Rewrite)
			writer := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil), Layout: cfg.Layout})
			record := seal(t, writer, "x", nil)
			cfg.Keys = clientOf(t, w.phase, keytest.Slow(w.old, time.Second), w.new)
			e := newEnvelope(t, cfg)
			late := make(chan error, 1)
			go func() {
				_, err := e.Open(t.Context(), record, nil)
				late <- err
			}()
			synctest.Wait()
			require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
			_, err := e.Open(t.Context(), record, nil)
			require.ErrorIs(t, err, kmsmigrate.ErrRetired)
			require.NoError(t, <-late, "it began when the phase still read the old side")
			require.Equal(t, 1, e.Stats().CachedOpen)
			for range 40 { // of sixteen reads one takes another way
				_, err = e.Open(t.Context(), record, nil)
				require.ErrorIs(t, err, kmsmigrate.ErrRetired)
			}
			e.Close()
			writer.Close()
		})
	}
}

func TestADataKeyOfAnEarlierPhaseSealsNothingInThisOne(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, kmsmigrate.ReadBoth)
			cfg.Keys = clientOf(t, w.phase, keytest.Slow(w.old, time.Second), w.new)
			e := newEnvelope(t, cfg)
			late := make(chan error, 1)
			go func() {
				_, err := e.Seal(t.Context(), []byte("x"), nil)
				late <- err
			}()
			synctest.Wait()
			require.NoError(t, w.phase.Jump(kmsmigrate.WriteNew))
			seal(t, e, "x", nil)
			require.NoError(t, <-late)
			for range 40 {
				info, err := e.Inspect(seal(t, e, "x", nil))
				require.NoError(t, err)
				require.Equal(t, kmsmigrate.SideNew, info.Copies[0].Side)
			}
			e.Close()
		})
	}
}

func TestACallForOneContextServesNoOther(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, kmsmigrate.OldOnly)
			writer := w.envelope(t, cfg)
			record := seal(t, writer, "x", customers)
			cfg.Keys = clientOf(t, kmsmigrate.OldOnly, keytest.Slow(w.old, time.Second), nil)
			e := newEnvelope(t, cfg)
			right := make(chan error, 1)
			go func() {
				_, err := e.Open(t.Context(), record, customers)
				right <- err
			}()
			synctest.Wait()
			_, err := e.Open(t.Context(), record, kmsmigrate.EncryptionContext{"table": "orders", "tenant": "north"})
			require.Error(t, err)
			require.NoError(t, <-right)
			for range 40 {
				_, err = e.Open(t.Context(), record, kmsmigrate.EncryptionContext{"table": "orders", "tenant": "north"})
				require.Error(t, err, "nor does the answer")
			}
			e.Close()
			writer.Close()
		})
	}
}

func TestADataKeySealsUnderItsOwnContextOnly(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		contexts := []kmsmigrate.EncryptionContext{nil, customers, {"table": "customers"}, {"table": "orders", "tenant": "north"}, {"tenant": "customers"}}
		for range 40 {
			for _, ec := range contexts {
				record := seal(t, e, "x", ec)
				requireOpens(t, w.envelope(t, envelope.Config{Layout: cfg.Layout, MaxAge: -1}), record, ec, "x")
			}
		}
		require.EqualValues(t, len(contexts), encrypts(w.old))
	}
}
