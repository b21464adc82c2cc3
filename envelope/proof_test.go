package envelope_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// aWrongKey is what every format takes for a data key, and no record's.
const aWrongKey = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

// answering returns key, whose Decrypt answers lie() where that is not empty.
func answering(key kmsmigrate.Key, lie func() string) kmsmigrate.Key {
	return keytest.Intercept(key, func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
		answer, err := next()
		if call.Op == "decrypt" && err == nil {
			if text := lie(); text != "" {
				return []byte(text), nil
			}
		}
		return answer, err
	})
}

func TestRenewRefusesADataKeyThatIsNotTheRecords(t *testing.T) {
	t.Parallel()
	for _, l := range []envelope.Layout{
		nil, envelope.ThreeLine{}, envelope.JSON{}, envelope.Columns{}, envelope.BlobInfo{}, envelope.Tink{}, envelope.Tink{ValueText: true},
		envelope.FourField{}, envelope.EncryptionSDK{}, envelope.OSS{}, envelope.Blob{},
	} {
		old := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}})
		new := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001"}})
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil), Layout: l}), "once", nil)
		lie := aWrongKey
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, answering(old, func() string { return lie }), new), Layout: l})
		r, err := e.Renew(t.Context(), record, nil)
		if _, direct := l.(envelope.Blob); direct {
			require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
		} else {
			require.ErrorIs(t, err, envelope.ErrTampered, "%T", l)
		}
		require.Nil(t, r.Ciphertext)
		if l != (envelope.OSS{}) { // its key cannot be told from another's, only its IV
			require.Zero(t, encrypts(new), "%T", l)
		}

		lie = ""
		r, err = e.Renew(t.Context(), record, nil)
		require.NoError(t, err, "%T: nothing wrong is remembered", l)
		after := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, new), Layout: l})
		requireOpens(t, after, r.Ciphertext, nil, "once")
	}
}

func TestRenewRefusesADataKeyThatIsNotTheStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	stream := sealStream(t, w.envelope(t, envelope.Config{}), []byte("once"), nil)
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, answering(w.old, func() string { return aWrongKey }), w.new)})
	_, err := e.Renew(t.Context(), stream, nil)
	require.ErrorIs(t, err, envelope.ErrTampered)
	require.Zero(t, encrypts(w.new))
}

func TestATamperedRecordFailsNoOtherOfItsDataKey(t *testing.T) {
	t.Parallel()
	for _, l := range []envelope.Layout{nil, envelope.ThreeLine{}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, kmsmigrate.ReadBoth)
			writer := w.envelope(t, envelope.Config{Layout: l})
			bad, good := seal(t, writer, "bad", nil), seal(t, writer, "good", nil)
			if l == nil {
				bad[6] ^= 1
			} else {
				bad[len(bad)-10] = 'A' + ('B'-bad[len(bad)-10])&1 // still base64, and another letter
			}
			keys := clientOf(t, kmsmigrate.Rewrite, keytest.Slow(w.old, time.Second), w.new)
			e := newEnvelope(t, envelope.Config{Keys: keys, Layout: l})
			failed := make(chan error, 1)
			go func() {
				_, err := e.Renew(t.Context(), bad, nil)
				failed <- err
			}()
			synctest.Wait()
			r, err := e.Renew(t.Context(), good, nil)
			require.NoError(t, err, "it waited for the call that the tampered record began")
			require.ErrorIs(t, <-failed, envelope.ErrTampered)
			requireOpens(t, e, r.Ciphertext, nil, "good")
			if l == nil {
				_, err = e.Renew(t.Context(), bad, nil)
				require.ErrorIs(t, err, envelope.ErrTampered, "also when the data key's renewal is remembered")
			}
			e.Close()
			writer.Close()
		})
	}
}
