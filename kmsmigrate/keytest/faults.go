package keytest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Call is one call of a key's Encrypt or Decrypt, as [Intercept] shows it.
type Call struct {
	Op    string // "encrypt" or "decrypt"
	Input []byte // what was given; not to be kept or changed
}

// Intercept returns a key that gives every call to around, which decides whether and when to make it: next makes it. Owns
// goes straight to key.
func Intercept(key kmsmigrate.Key, around func(ctx context.Context, call Call, next func() ([]byte, error)) ([]byte, error)) kmsmigrate.Key {
	return &intercepted{key, around}
}

type intercepted struct {
	kmsmigrate.Key
	around func(context.Context, Call, func() ([]byte, error)) ([]byte, error)
}

func (k *intercepted) Encrypt(ctx context.Context, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	return k.around(ctx, Call{"encrypt", plaintext}, func() ([]byte, error) { return k.Key.Encrypt(ctx, plaintext, ec) })
}

func (k *intercepted) Decrypt(ctx context.Context, ciphertext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	return k.around(ctx, Call{"decrypt", ciphertext}, func() ([]byte, error) { return k.Key.Decrypt(ctx, ciphertext, ec) })
}

// Fail returns a key whose every call fails with err.
func Fail(key kmsmigrate.Key, err error) kmsmigrate.Key {
	return Intercept(key, func(context.Context, Call, func() ([]byte, error)) ([]byte, error) { return nil, err })
}

// FailFirst returns a key whose first n calls fail with err.
func FailFirst(key kmsmigrate.Key, n int64, err error) kmsmigrate.Key {
	var calls atomic.Int64
	return Intercept(key, func(_ context.Context, _ Call, next func() ([]byte, error)) ([]byte, error) {
		if calls.Add(1) <= n {
			return nil, err
		}
		return next()
	})
}

// Slow returns a key whose every call waits for d first, or until its context is done, which fails it.
func Slow(key kmsmigrate.Key, d time.Duration) kmsmigrate.Key {
	return Intercept(key, func(ctx context.Context, _ Call, next func() ([]byte, error)) ([]byte, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return next()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// Hang returns a key whose every call waits until its context is done, and then fails.
func Hang(key kmsmigrate.Key) kmsmigrate.Key {
	return Intercept(key, func(ctx context.Context, _ Call, _ func() ([]byte, error)) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
}

// Empty returns a key that does the work and then answers with nothing and no error, as the official SDKs do for an answer
// with an empty body.
func Empty(key kmsmigrate.Key) kmsmigrate.Key { return Truncate(key, 0) }

// Truncate returns a key whose answers are cut to n bytes.
func Truncate(key kmsmigrate.Key, n int) kmsmigrate.Key {
	return Intercept(key, func(_ context.Context, _ Call, next func() ([]byte, error)) ([]byte, error) {
		answer, err := next()
		return answer[:min(n, len(answer))], err
	})
}

// Corrupt returns a key whose answers to op, "encrypt" or "decrypt", have their last bit flipped.
func Corrupt(key kmsmigrate.Key, op string) kmsmigrate.Key {
	return Intercept(key, func(_ context.Context, call Call, next func() ([]byte, error)) ([]byte, error) {
		answer, err := next()
		if call.Op == op && len(answer) > 0 {
			answer[len(answer)-1] ^= 1
		}
		return answer, err
	})
}

// Blind returns a key whose Owns answers Unknown to everything, and tells nothing, as a plain implementation does.
func Blind(key kmsmigrate.Key) kmsmigrate.Key { return blind{key} }

type blind struct{ kmsmigrate.Key }

func (blind) Owns([]byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	return kmsmigrate.KeyRef{}, kmsmigrate.Unknown
}
