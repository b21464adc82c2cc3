package envelope_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

var sizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"4KiB", 4 << 10}, {"1MiB", 1 << 20}}

// rawGCM is the least that anyone would write: a random nonce, then ciphertext and tag.
func rawGCM(b *testing.B) cipher.AEAD {
	b.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	gcm, err := aes256GCM(key)
	require.NoError(b, err)
	return gcm
}

func aes256GCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func rawSeal(gcm cipher.AEAD, plaintext []byte) []byte {
	out := make([]byte, 12, 12+len(plaintext)+16)
	rand.Read(out)
	return gcm.Seal(out, out, plaintext, nil)
}

func benchEnvelope(b *testing.B) *envelope.Envelope {
	b.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{})})
	require.NoError(b, err)
	e, err := envelope.New(envelope.Config{Keys: client, MaxMessages: 1 << 32, MaxBytes: 1 << 50})
	require.NoError(b, err)
	b.Cleanup(e.Close)
	return e
}

// BenchmarkSeal compares sealing with a cached data key with bare AES-256-GCM under a random nonce.
func BenchmarkSeal(b *testing.B) {
	ctx := context.Background()
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	e := benchEnvelope(b) // before either runs, so that the collector has the same heap to go through
	for _, size := range sizes {
		plaintext := make([]byte, size.n)
		gcm := rawGCM(b)
		b.Run("raw/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size.n))
			for b.Loop() {
				rawSeal(gcm, plaintext)
			}
		})
		b.Run("keyhaul/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size.n))
			for b.Loop() {
				if _, err := e.Seal(ctx, plaintext, ec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen is the same for opening.
func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	e := benchEnvelope(b) // before either runs, so that the collector has the same heap to go through
	for _, size := range sizes {
		plaintext := make([]byte, size.n)
		gcm := rawGCM(b)
		raw := rawSeal(gcm, plaintext)
		b.Run("raw/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size.n))
			for b.Loop() {
				if _, err := gcm.Open(nil, raw[:12], raw[12:], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		record, err := e.Seal(ctx, plaintext, ec)
		require.NoError(b, err)
		b.Run("keyhaul/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size.n))
			for b.Loop() {
				if _, err := e.Open(ctx, record, ec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFresh is for profiles of what BenchmarkBudgetFresh measures.
func BenchmarkFresh(b *testing.B) {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: inProcess{rawGCM(b)}})
	require.NoError(b, err)
	e, err := envelope.New(envelope.Config{Keys: client, FreshKeys: true, MaxAge: -1})
	require.NoError(b, err)
	plaintext := make([]byte, 100)
	record, err := e.Seal(context.Background(), plaintext, nil)
	require.NoError(b, err)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			_, _ = e.Seal(context.Background(), plaintext, nil)
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			_, _ = e.Open(context.Background(), record, nil)
		}
	})
}
