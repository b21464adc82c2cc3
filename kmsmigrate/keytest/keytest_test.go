package keytest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestKeysInMemoryPassTheSuite(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]kmsmigrate.Key{
		"3.0":         keytest.New(keytest.Config{}),
		"1.0":         keytest.New(keytest.Config{KMS1: true}),
		"3.0 unaware": keytest.New(keytest.Config{Blind: true}),
		"1.0 unaware": keytest.New(keytest.Config{KMS1: true, Blind: true}),
		"no Owns":     keytest.Blind(keytest.New(keytest.Config{})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, keytest.TestKey(t.Context(), key, keytest.New(keytest.Config{})))
		})
	}
}

// broken is a key with one rule broken.
type broken struct {
	kmsmigrate.Key
	encrypt func(kmsmigrate.Key, context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error)
	decrypt func(kmsmigrate.Key, context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error)
	owns    func(kmsmigrate.Key, []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership)
}

func (b broken) Encrypt(ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if b.encrypt != nil {
		return b.encrypt(b.Key, ctx, p, ec)
	}
	return b.Key.Encrypt(ctx, p, ec)
}

func (b broken) Decrypt(ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if b.decrypt != nil {
		return b.decrypt(b.Key, ctx, c, ec)
	}
	return b.Key.Decrypt(ctx, c, ec)
}

func (b broken) Owns(c []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	if b.owns != nil {
		return b.owns(b.Key, c)
	}
	return b.Key.Owns(c)
}

func TestTheSuiteNamesTheRuleThatIsBroken(t *testing.T) {
	t.Parallel()
	for rule, b := range map[string]broken{
		"must open what Encrypt returned": {decrypt: func(kmsmigrate.Key, context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error) {
			return nil, errors.New("no")
		}},
		"must return the bytes": {decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			p, err := k.Decrypt(ctx, c, ec)
			return append(p, '\n'), err
		}},
		"Decrypt must not change": {decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			p, err := k.Decrypt(ctx, c, ec)
			clear(c)
			return p, err
		}},
		"Encrypt must not change": {encrypt: func(k kmsmigrate.Key, ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			c, err := k.Encrypt(ctx, p, ec)
			clear(p)
			return c, err
		}},
		"with no encryption context must fail": {encrypt: func(k kmsmigrate.Key, ctx context.Context, p []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
			return k.Encrypt(ctx, p, nil)
		}, decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
			return k.Decrypt(ctx, c, nil)
		}},
		"must not panic": {decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			_ = string(c[:36]) // as the official transfer SDK does
			return k.Decrypt(ctx, c, ec)
		}},
		"must wrap ErrForeign": {decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			p, err := k.Decrypt(ctx, c, ec)
			if err != nil {
				err = errors.New("404")
			}
			return p, err
		}},
		"must not look foreign": {decrypt: func(k kmsmigrate.Key, ctx context.Context, c []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			p, err := k.Decrypt(ctx, c, ec)
			if err != nil {
				err = kmsmigrate.ErrForeign
			}
			return p, err
		}},
		"another key's ciphertext Mine": {owns: func(kmsmigrate.Key, []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
			return kmsmigrate.KeyRef{}, kmsmigrate.Mine
		}},
		"key's own ciphertext Foreign": {owns: func(kmsmigrate.Key, []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
			return kmsmigrate.KeyRef{}, kmsmigrate.Foreign
		}},
		"shows the plaintext": {encrypt: func(k kmsmigrate.Key, ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			c, err := k.Encrypt(ctx, p, ec)
			if err != nil {
				err = errors.New("Plaintext=" + string(p))
			}
			return c, err
		}},
		"Encrypt of nothing must fail": {encrypt: func(k kmsmigrate.Key, ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
			if len(p) == 0 {
				return nil, nil
			}
			return k.Encrypt(ctx, p, ec)
		}},
		"two encryptions of one plaintext must differ": {encrypt: memoised()},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			b.Key = keytest.New(keytest.Config{})
			require.ErrorContains(t, keytest.TestKey(t.Context(), b, keytest.New(keytest.Config{})), rule)
		})
	}
}

// memoised encrypts each plaintext once. It is for one test, which the suite's own goroutines end.
func memoised() func(kmsmigrate.Key, context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error) {
	mu := make(chan struct{}, 1)
	seen := map[string][]byte{}
	return func(k kmsmigrate.Key, ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
		mu <- struct{}{}
		defer func() { <-mu }()
		if c, ok := seen[string(p)]; ok && ctx.Err() == nil {
			return append([]byte(nil), c...), nil
		}
		c, err := k.Encrypt(ctx, p, ec)
		if err == nil {
			seen[string(p)] = append([]byte(nil), c...)
		}
		return c, err
	}
}

func TestRotationKeepsEarlierVersions(t *testing.T) {
	t.Parallel()
	for _, kms1 := range []bool{false, true} {
		key := keytest.New(keytest.Config{KMS1: kms1})
		before, err := key.Encrypt(t.Context(), []byte("v1"), nil)
		require.NoError(t, err)
		key.Rotate()
		after, err := key.Encrypt(t.Context(), []byte("v2"), nil)
		require.NoError(t, err)
		require.NotEqual(t, before[:kmsmigrate.VersionIDSize], after[:kmsmigrate.VersionIDSize])
		require.Len(t, key.Versions(), 2)
		for want, blob := range map[string][]byte{"v1": before, "v2": after} {
			got, err := key.Decrypt(t.Context(), blob, nil)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
			_, owned := key.Owns(blob)
			require.Equal(t, kmsmigrate.Mine, owned)
		}
	}
}

func TestADisabledKeyRefusesToDecrypt(t *testing.T) {
	t.Parallel()
	key := keytest.New(keytest.Config{})
	blob, err := key.Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	key.Disable()
	_, err = key.Decrypt(t.Context(), blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	key.Enable()
	_, err = key.Decrypt(t.Context(), blob, nil)
	require.NoError(t, err)
	encrypts, decrypts := key.Calls()
	require.Equal(t, []int64{1, 2}, []int64{encrypts, decrypts})
}

func TestACloneOpensWhatTheOriginalEncrypted(t *testing.T) {
	t.Parallel()
	key := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou"}})
	blob, err := key.Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	clone := key.Clone(kmsmigrate.KeyRef{Region: "cn-shanghai"})
	require.Equal(t, key.Ref().KeyID, clone.Ref().KeyID)
	require.False(t, key.Ref().SameKey(clone.Ref()))
	got, err := clone.Decrypt(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
}

func TestABlindKeyLearnsFromSuccessOnly(t *testing.T) {
	t.Parallel()
	key := keytest.New(keytest.Config{KMS1: true, Blind: true})
	clone := key.Clone(kmsmigrate.KeyRef{})
	blob, err := key.Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	_, owned := clone.Owns(blob)
	require.Equal(t, kmsmigrate.Unknown, owned)
	_, err = clone.Decrypt(t.Context(), blob, kmsmigrate.EncryptionContext{"a": "b"})
	require.Error(t, err)
	_, owned = clone.Owns(blob)
	require.Equal(t, kmsmigrate.Unknown, owned)
	_, err = clone.Decrypt(t.Context(), blob, nil)
	require.NoError(t, err)
	_, owned = clone.Owns(blob)
	require.Equal(t, kmsmigrate.Mine, owned)
}

func TestAADIsWhatTheServiceAuthenticates(t *testing.T) {
	t.Parallel()
	require.Nil(t, keytest.AAD(nil))
	const want = "8e85be58c1c372ac29fe7bfa80d8ddcbd04a4032c7b51c1c026d67c55b1ab23f" // facts: SHA-256("a=1&b=2")
	require.Equal(t, want, hexOf(keytest.AAD(kmsmigrate.EncryptionContext{"b": "2", "a": "1"})))
	require.Equal(t, keytest.AAD(kmsmigrate.EncryptionContext{"a": "1&b=2"}), keytest.AAD(kmsmigrate.EncryptionContext{"a": "1", "b": "2"}))
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

func TestFaultsDoWhatTheirNamesSay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := keytest.New(keytest.Config{})
		blob, err := key.Encrypt(t.Context(), []byte("secret"), nil)
		require.NoError(t, err)
		open := func(k kmsmigrate.Key) ([]byte, error) { return k.Decrypt(t.Context(), blob, nil) }

		_, err = open(keytest.Fail(key, kmsmigrate.ErrThrottled))
		require.ErrorIs(t, err, kmsmigrate.ErrThrottled)

		first := keytest.FailFirst(key, 2, kmsmigrate.ErrUnavailable)
		for range 2 {
			_, err = open(first)
			require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		}
		_, err = open(first)
		require.NoError(t, err)

		start := time.Now()
		_, err = open(keytest.Slow(key, time.Minute))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = keytest.Slow(key, time.Minute).Decrypt(ctx, blob, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = keytest.Hang(key).Decrypt(ctx, blob, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		empty, err := open(keytest.Empty(key))
		require.NoError(t, err)
		require.Empty(t, empty)
		short, err := open(keytest.Truncate(key, 3))
		require.NoError(t, err)
		require.Equal(t, "sec", string(short))
		wrong, err := open(keytest.Corrupt(key, "decrypt"))
		require.NoError(t, err)
		require.Equal(t, "secreu", string(wrong))
		_, owned := keytest.Blind(key).Owns(blob)
		require.Equal(t, kmsmigrate.Unknown, owned)
	})
}
