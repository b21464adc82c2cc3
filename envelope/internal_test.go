package envelope

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// The byte copies of data keys are overwritten when they leave the cache, and not before their last user is done.
func TestEvictedDataKeysAreOverwritten(t *testing.T) {
	t.Parallel()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	e, err := New(Config{Keys: client, Layout: ThreeLine{}})
	require.NoError(t, err)
	defer e.Close()
	record, err := e.Seal(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	_, err = e.Open(t.Context(), record, nil)
	require.NoError(t, err)

	h, err := ThreeLine{}.Parse(record)
	require.NoError(t, err)
	k, err := e.unwrap(t.Context(), kmsmigrate.OldOnly, forLayoutOpening, 0, h.Values[0].Copies[0], nil)
	require.NoError(t, err)
	s, err := e.sealingKey(t.Context(), kmsmigrate.OldOnly, nil, nil)
	require.NoError(t, err)
	require.Len(t, k.value, 44)
	e.Flush()
	require.NotEqual(t, make([]byte, 44), k.value, "still in use")
	require.NotEqual(t, make([]byte, 44), s.layout.Values[0], "still in use")
	require.False(t, isZero(k.value))
	k.release()
	s.release()
	require.True(t, isZero(k.value))
	require.True(t, isZero(s.layout.Values[0]))
	require.False(t, k.tryRetain())
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Two contexts have one encoding only when they are equal.
func TestContextsAreEncodedInjectively(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab=&\x00\x01")), 0, 4, -1)
		contexts := rapid.MapOfN(text, text, 0, 4)
		a, b := contexts.Draw(t, "a"), contexts.Draw(t, "b")
		equal := len(a) == len(b)
		for k, v := range a {
			w, ok := b[k]
			equal = equal && ok && v == w
		}
		if (string(appendContext(nil, a)) == string(appendContext(nil, b))) != equal {
			t.Fatal("two contexts, one encoding")
		}
	})
}

func TestTheHotPathAllocatesTheResultOnly(t *testing.T) {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	e, err := New(Config{Keys: client})
	require.NoError(t, err)
	defer e.Close()
	ec := kmsmigrate.EncryptionContext{"table": "customers", "tenant": "north"}
	plaintext := make([]byte, 4096)
	record, err := e.Seal(context.Background(), plaintext, ec)
	require.NoError(t, err)
	_, err = e.Open(context.Background(), record, ec)
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = e.Seal(context.Background(), plaintext, ec) }), 2.0)
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = e.Open(context.Background(), record, ec) }), 2.0)
}

// The short HKDF is crypto/hkdf.
func TestKeysAreDerivedWithHKDF(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dataKey := rapid.SliceOfN(rapid.Byte(), dataKeySize, dataKeySize).Draw(t, "data key")
		suite := rapid.SampledFrom([]Suite{AES256GCM, SM4GCM}).Draw(t, "suite")
		prk, err := hkdf.Extract(sha256.New, dataKey, []byte("keyhaul envelope v1"))
		require.NoError(t, err)
		key, err := hkdf.Expand(sha256.New, prk, "payload"+string(rune(suite)), suite.keySize())
		require.NoError(t, err)
		commitment, err := hkdf.Expand(sha256.New, prk, "commitment"+string(rune(suite)), commitmentSize)
		require.NoError(t, err)

		short := extract(dataKey)
		require.Equal(t, prk, short[:])
		of := expand(&short, "payload", byte(suite))
		require.Equal(t, key, of[:suite.keySize()])
		aead, committed, err := suite.derive(dataKey)
		require.NoError(t, err)
		require.Equal(t, commitment, committed[:])
		reference, err := suite.cipher().newGCM(key)
		require.NoError(t, err)
		require.Equal(t, reference.Seal(nil, make([]byte, 12), dataKey, nil), aead.Seal(nil, make([]byte, 12), dataKey, nil))
	})
}

// The key that was used last is looked at first, and an operation that read the phase before it changed may have used it.
func TestTheKeyThatWasUsedLastIsOfThePhase(t *testing.T) {
	t.Parallel()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.WriteNew, Old: keytest.New(keytest.Config{}), New: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	e, err := New(Config{Keys: client})
	require.NoError(t, err)
	defer e.Close()
	for range 100 {
		for _, p := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew} {
			k, err := e.sealingKey(t.Context(), p, nil, nil)
			require.NoError(t, err)
			require.Equal(t, p, k.phase)
		}
	}
}

// What was read last is let go of with everything else.
func TestForgottenKeysAreNotHeld(t *testing.T) {
	t.Parallel()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{})})
	require.NoError(t, err)
	e, err := New(Config{Keys: client})
	require.NoError(t, err)
	defer e.Close()
	record, err := e.Seal(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	for range 40 {
		_, err = e.Open(t.Context(), record, nil)
		require.NoError(t, err)
		_, err = e.Seal(t.Context(), []byte("x"), nil)
		require.NoError(t, err)
	}
	held := func() (n int) {
		for i := range hotSlots {
			if e.opening.hot[i].Load() != nil {
				n++
			}
			if e.sealing.hot[i].Load() != nil {
				n++
			}
		}
		if e.opening.last.Load() != nil || e.sealing.last.Load() != nil {
			n++
		}
		return n
	}
	require.NotZero(t, held())
	e.Flush()
	require.Zero(t, held())
}

// However a data key leaves the cache, its byte copy is overwritten.
func TestDataKeysAreOverwrittenHoweverTheyLeave(t *testing.T) {
	t.Parallel()
	// unwrapped returns the data key of a fresh record, in the cache and used by nobody.
	unwrapped := func(t *testing.T, e *Envelope) *openingKey {
		t.Helper()
		record, err := e.Seal(t.Context(), []byte("x"), nil)
		require.NoError(t, err)
		h, err := ThreeLine{}.Parse(record)
		require.NoError(t, err)
		k, err := e.unwrap(t.Context(), kmsmigrate.Rewrite, forLayoutOpening, 0, h.Values[0].Copies[0], nil)
		require.NoError(t, err)
		require.False(t, isZero(k.value))
		k.release()
		return k
	}
	for name, leave := range map[string]func(t *testing.T, e *Envelope, phase *kmsmigrate.PhaseSwitch){
		"aged":    func(*testing.T, *Envelope, *kmsmigrate.PhaseSwitch) { time.Sleep(2 * time.Minute) }, //nolint:forbidigo // the bubble's clock
		"flushed": func(_ *testing.T, e *Envelope, _ *kmsmigrate.PhaseSwitch) { e.Flush() },
		"closed":  func(_ *testing.T, e *Envelope, _ *kmsmigrate.PhaseSwitch) { e.Close() },
		"pushed out": func(t *testing.T, e *Envelope, _ *kmsmigrate.PhaseSwitch) {
			t.Helper()
			for range 200 {
				unwrapped(t, e)
			}
		},
		"retired": func(t *testing.T, e *Envelope, phase *kmsmigrate.PhaseSwitch) {
			t.Helper()
			require.NoError(t, phase.Jump(kmsmigrate.NewOnly))
			_, err := e.Seal(t.Context(), []byte("x"), nil)
			require.NoError(t, err)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			phase, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.ReadBoth)
			require.NoError(t, err)
			client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: keytest.New(keytest.Config{}), New: keytest.New(keytest.Config{})})
			require.NoError(t, err)
			e, err := New(Config{Keys: client, Layout: ThreeLine{}, MaxEntries: 8, FreshKeys: true})
			require.NoError(t, err)
			k := unwrapped(t, e)
			leave(t, e, phase)
			synctest.Wait()
			require.True(t, isZero(k.value), name)
			e.Close()
		})
	}
}
