package envelope_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
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

// withCopies returns a record of the own format with other wrapped copies.
func withCopies(record []byte, copies ...[]byte) []byte {
	at := 39
	for range record[38] {
		at += 2 + int(binary.BigEndian.Uint16(record[at:]))
	}
	out := append(bytes.Clone(record[:38]), byte(len(copies)))
	for _, c := range copies {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(c))), c...)
	}
	return append(out, record[at:]...)
}

// copiesOf returns the wrapped copies of a record of the own format.
func copiesOf(record []byte) (copies [][]byte) {
	at := 39
	for range record[38] {
		size := int(binary.BigEndian.Uint16(record[at:]))
		copies = append(copies, bytes.Clone(record[at+2:at+2+size]))
		at += 2 + size
	}
	return copies
}

func TestRewrapAndRenewTakeTheCopyThatFits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	writer := w.envelope(t, envelope.Config{WrapBoth: true, FreshKeys: true})
	a, b := seal(t, writer, "a", nil), seal(t, writer, "b", nil)
	ofA, ofB := copiesOf(a), copiesOf(b)
	mixed := withCopies(a, ofA[0], ofB[1]) // the copy of the new side is another record's
	for _, p := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		require.NoError(t, w.phase.Jump(p))
		e := w.envelope(t, envelope.Config{})
		out, err := e.Rewrap(t.Context(), bytes.Clone(mixed), nil)
		require.NoError(t, err, p)
		requireOpens(t, w.envelope(t, envelope.Config{}), out, nil, "a")

		hopeless := withCopies(a, ofB...)
		before := bytes.Clone(hopeless)
		_, err = e.Rewrap(t.Context(), hopeless, nil)
		require.ErrorIs(t, err, envelope.ErrTampered)
		require.Equal(t, before, hopeless)
	}
	// Two copies of the old side, of which the first is another record's.
	for _, cfg := range []envelope.Config{{}, {WrapBoth: true}} {
		e := w.envelope(t, cfg)
		r, err := e.Renew(t.Context(), withCopies(a, ofB[0], ofA[0]), nil)
		require.NoError(t, err)
		requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, w.new)}), r.Ciphertext, nil, "a")
		r, err = e.Renew(t.Context(), withCopies(a, ofB[0]), nil)
		require.ErrorIs(t, err, envelope.ErrTampered)
		require.Nil(t, r.Ciphertext)
	}
}

func TestOpenGoesOnToTheCopyThatFits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	writer := w.envelope(t, envelope.Config{WrapBoth: true, FreshKeys: true})
	a, b := seal(t, writer, "a", nil), seal(t, writer, "b", nil)
	ofA, ofB := copiesOf(a), copiesOf(b)
	flipped := bytes.Clone(ofA[1])
	flipped[60] ^= 1
	junk, err := w.new.Encrypt(t.Context(), []byte("no data key"), nil)
	require.NoError(t, err)
	for _, wrong := range [][]byte{ofB[1], flipped, junk} {
		e := w.envelope(t, envelope.Config{})
		opened := requireOpens(t, e, withCopies(a, ofA[0], wrong), nil, "a")
		require.Equal(t, kmsmigrate.SideOld, opened.Side)
		requireOpens(t, e, b, nil, "b")
	}
	_, err = w.envelope(t, envelope.Config{}).Open(t.Context(), withCopies(a, ofB...), nil)
	require.ErrorIs(t, err, envelope.ErrTampered)
	w.old.Disable()
	_, err = w.envelope(t, envelope.Config{}).Open(t.Context(), withCopies(a, ofA[0], ofB[1]), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	require.NotErrorIs(t, err, envelope.ErrTampered, "the copy that could not be tried may fit")
}

func TestALayoutsRecordOpensWithTheCopyThatFits(t *testing.T) {
	t.Parallel()
	old := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}})
	new := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001"}})
	cfg := envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, old, new), Layout: envelope.EncryptionSDK{}, WrapBoth: true, FreshKeys: true}
	record := seal(t, newEnvelope(t, cfg), "x", nil)
	cfg.Keys = clientOf(t, kmsmigrate.ReadBoth, old, answering(new, func() string { return aWrongKey }))
	require.Equal(t, kmsmigrate.SideOld, requireOpens(t, newEnvelope(t, cfg), record, nil, "x").Side)
}

func TestAWrongAnswerIsNotKept(t *testing.T) {
	t.Parallel()
	for _, l := range []envelope.Layout{nil, envelope.ThreeLine{}} {
		old := keytest.New(keytest.Config{})
		record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil), Layout: l}), "x", nil)
		lies := 1
		e := newEnvelope(t, envelope.Config{Layout: l, Keys: clientOf(t, kmsmigrate.OldOnly, answering(old, func() string {
			if lies--; lies >= 0 {
				return aWrongKey
			}
			return ""
		}), nil)})
		requireOpens(t, e, record, nil, "x")
		lies = 2
		e.Flush()
		_, err := e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, envelope.ErrTampered)
		requireOpens(t, e, record, nil, "x")

		// What has opened a record is right, and a tampered record costs no call.
		before := decrypts(old)
		if l == nil {
			record[6] ^= 1
		} else {
			record[len(record)-10] = 'A' + ('B'-record[len(record)-10])&1 // still base64, and another letter
		}
		_, err = e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, envelope.ErrTampered)
		require.Equal(t, before, decrypts(old))
	}
}

func TestInspectTellsTheCopiesOfSeveralValuesApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	e := w.envelope(t, envelope.Config{Layout: envelope.OSS{}})
	info, err := e.Inspect(seal(t, e, "x", nil))
	require.NoError(t, err)
	require.Len(t, info.Copies, 2)
	require.Equal(t, []int{0, 1}, []int{info.Copies[0].Value, info.Copies[1].Value})
}

func TestASecondCopyIsProvenBeforeItIsStored(t *testing.T) {
	t.Parallel()
	old, new := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	var mu sync.Mutex
	var last []byte
	late := keytest.Intercept(new, func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
		answer, err := next()
		if call.Op == "encrypt" { // each gets what was meant for the one before
			mu.Lock()
			defer mu.Unlock()
			last, answer = answer, last
			if answer == nil {
				answer = last
			}
		}
		return answer, err
	})
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, old, late), WrapBoth: true, FreshKeys: true})
	seal(t, e, "the first has its own", nil)
	for range 3 {
		record := seal(t, e, "x", nil)
		info, err := e.Inspect(record)
		require.NoError(t, err)
		require.Len(t, info.Copies, 1, "what the new key does not open is not stored")
		require.Equal(t, kmsmigrate.SideOld, info.Copies[0].Side)
		requireOpens(t, e, record, nil, "x")
	}
	require.EqualValues(t, 3, e.Stats().Single)
}

func TestWrapBothLeavesFormatsOfOneCopyWithOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	cfg := envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil), Layout: envelope.ThreeLine{}}
	record := seal(t, newEnvelope(t, cfg), "x", nil)
	e := w.envelope(t, envelope.Config{WrapBoth: true, Layouts: []envelope.Layout{envelope.ThreeLine{}}})
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideNew, requireOpens(t, e, r.Ciphertext, nil, "x").Side)
	out, err := e.Rewrap(t.Context(), bytes.Clone(record), nil)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideNew, requireOpens(t, e, out, nil, "x").Side)
	require.Zero(t, e.Stats().Single)
}

func TestASecondSideThatHangsCostsHalfASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, new := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
		hung := keytest.Intercept(new, func(ctx context.Context, _ keytest.Call, _ func() ([]byte, error)) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, old, hung), WrapBoth: true})
		start := time.Now()
		record := seal(t, e, "x", nil)
		require.Equal(t, 500*time.Millisecond, time.Since(start))
		requireOpens(t, e, record, nil, "x")
		require.EqualValues(t, 1, e.Stats().Single)
		e.Close()
	})
}

func TestBothSidesWrapAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, new := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
		keys := clientOf(t, kmsmigrate.ReadBoth, keytest.Slow(old, 200*time.Millisecond), keytest.Slow(new, 200*time.Millisecond))
		e := newEnvelope(t, envelope.Config{Keys: keys, WrapBoth: true})
		start := time.Now()
		record := seal(t, e, "x", nil)
		require.Equal(t, 400*time.Millisecond, time.Since(start), "the second is wrapped and unwrapped")
		info, err := e.Inspect(record)
		require.NoError(t, err)
		require.Len(t, info.Copies, 2)
		e.Close()
	})
}

func TestErrorsHaveAReasonThatCanBeCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	record := seal(t, e, "x", nil)
	record[len(record)-1] ^= 1
	reason := func(err error) string {
		var r interface{ Reason() string }
		require.ErrorAs(t, err, &r)
		return r.Reason()
	}
	_, err := e.Open(t.Context(), record, nil)
	require.Equal(t, "tampered", reason(err))
	_, err = e.Open(t.Context(), []byte("no record"), nil)
	require.Equal(t, "unknown format", reason(err))
	require.Equal(t, "the layout is not written", reason(envelope.ErrReadOnly))
}
