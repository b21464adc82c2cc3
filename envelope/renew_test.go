package envelope_test

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestRenewTouchesTheDataKeyOnly(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}, {Layout: envelope.ThreeLine{Raw: true}}} {
		w := newWorld(t, kmsmigrate.Rewrite)
		stays := clientOf(t, kmsmigrate.OldOnly, w.old, nil)
		cfgOld := cfg
		cfgOld.Keys = stays
		record := seal(t, newEnvelope(t, cfgOld), "the payload stays", customers)
		e := w.envelope(t, cfg)
		before := bytes.Clone(record)
		renewed, err := e.Renew(t.Context(), record, customers)
		require.NoError(t, err)
		require.Equal(t, before, record)
		require.Equal(t, w.old.Ref(), renewed.From)
		require.Equal(t, w.new.Ref(), renewed.To)
		require.True(t, bytes.HasSuffix(renewed.Ciphertext, record[len(record)-40:]))
		require.False(t, requireOpens(t, e, renewed.Ciphertext, customers, "the payload stays").Stale)
		again, err := e.Renew(t.Context(), renewed.Ciphertext, customers)
		require.NoError(t, err)
		require.Nil(t, again.Ciphertext)
		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		requireOpens(t, w.envelope(t, cfg), renewed.Ciphertext, customers, "the payload stays")
	}
}

func TestRenewCostsThreeCallsForAllThatShareADataKey(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.ReadBoth)
		writer := w.envelope(t, cfg)
		var records [20][]byte
		for i := range records {
			records[i] = seal(t, writer, "twenty", nil)
		}
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		before := w.calls()
		e := w.envelope(t, cfg)
		var group sync.WaitGroup
		var renewed [20][]byte
		for i, record := range records {
			group.Go(func() {
				r, err := e.Renew(t.Context(), record, nil)
				if err == nil {
					renewed[i] = r.Ciphertext
				}
			})
		}
		group.Wait()
		require.Equal(t, before+3, w.calls())
		require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
		for _, record := range renewed {
			requireOpens(t, e, record, nil, "twenty")
		}
	}
}

func TestRenewIsRememberedForAsLongAsADataKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kmsmigrate.ReadBoth)
		e := w.envelope(t, envelope.Config{MaxAge: time.Minute})
		record := seal(t, e, "x", nil)
		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		first, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err)
		calls := w.calls()
		second, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.Equal(t, calls, w.calls())
		time.Sleep(61 * time.Second) //nolint:forbidigo // the bubble's clock
		_, err = e.Renew(t.Context(), record, nil)
		require.NoError(t, err)
		require.Equal(t, calls+3, w.calls())
		// Another context is another wrapped key, whatever its bytes.
		_, err = e.Renew(t.Context(), record, customers)
		require.Error(t, err)
		e.Close()
	})
}

func TestRenewOutsideOfRewriteDoesWhatTheClientDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	e := w.envelope(t, envelope.Config{})
	ofOld := seal(t, e, "x", nil)
	require.NoError(t, w.phase.Jump(kmsmigrate.WriteNew))
	ofNew := seal(t, e, "y", nil)
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	_, err := e.Renew(t.Context(), ofOld, nil)
	require.NoError(t, err)
	calls := w.calls()
	for p, want := range map[kmsmigrate.Phase]error{
		kmsmigrate.OldOnly: kmsmigrate.ErrPhase, kmsmigrate.ReadBoth: kmsmigrate.ErrPhase, kmsmigrate.WriteNew: kmsmigrate.ErrPhase,
		kmsmigrate.NewOnly: kmsmigrate.ErrRetired,
	} {
		require.NoError(t, w.phase.Jump(p))
		_, err := e.Renew(t.Context(), ofOld, nil)
		require.ErrorIs(t, err, want, "also for what is remembered, in %s", p)
		if p.Reads(kmsmigrate.SideNew) {
			r, err := e.Renew(t.Context(), ofNew, nil)
			require.NoError(t, err)
			require.Nil(t, r.Ciphertext)
		}
	}
	require.Equal(t, calls, w.calls())
}

// Every way in which the new key can lie must leave the record as it is.
func TestRenewRefusesACopyThatTheNewKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	old, new := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil)}), "x", nil)
	for name, faulty := range map[string]kmsmigrate.Key{
		"empty": keytest.Empty(new), "cut": keytest.Truncate(new, 60),
		"wrapped wrong": keytest.Corrupt(new, "encrypt"), "opened wrong": keytest.Corrupt(new, "decrypt"),
	} {
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, old, faulty)})
		r, err := e.Renew(t.Context(), record, nil)
		require.Error(t, err, name)
		require.Nil(t, r.Ciphertext, name)
	}
}

func TestARecordThatOnlyATrialKnowsIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, kmsmigrate.Rewrite, keytest.New(keytest.Config{KMS1: true, Blind: true}), keytest.New(keytest.Config{KMS1: true, Blind: true}))
	stays := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil)})
	record := seal(t, stays, "x", nil)
	e := w.envelope(t, envelope.Config{})
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideNew, requireOpens(t, e, r.Ciphertext, nil, "x").Side)
}
