package envelope_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// ratio runs two things in turn, 400 rounds of one to two milliseconds each, and reports how many times as long as the second the
// first takes: the shortest round of each, because whatever else the machine does only ever adds.
func ratio(b *testing.B, ours, theirs func() error) {
	b.Helper()
	// With the small heap of a test the collector would run once a millisecond, which no application's does.
	defer debug.SetGCPercent(debug.SetGCPercent(1600))
	const rounds, round = 400, time.Millisecond
	time1 := func(do func() error, n int) time.Duration {
		start := time.Now()
		for range n {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	n := 1
	for time1(theirs, n) < round {
		n *= 2
	}
	time1(ours, n) // warm
	var best [2]time.Duration
	for i := range rounds {
		for j := range 2 {
			which := (i + j) % 2
			d := time1([]func() error{ours, theirs}[which], n)
			if best[which] == 0 || d < best[which] {
				best[which] = d
			}
		}
	}
	for b.Loop() {
	}
	b.ReportMetric(float64(best[0])/float64(best[1]), "ratio")
	b.ReportMetric(float64(best[0].Nanoseconds())/float64(n), "ns/ours")
	b.ReportMetric(float64(best[1].Nanoseconds())/float64(n), "ns/theirs")
	b.ReportMetric(testing.AllocsPerRun(10, func() { _ = ours() }), "allocs/ours")
	b.ReportMetric(testing.AllocsPerRun(10, func() { _ = theirs() }), "allocs/theirs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBudgetCached compares a cached data key with bare AES-256-GCM under a random nonce. Budgets: 2.0, 1.15 and 1.05.
func BenchmarkBudgetCached(b *testing.B) {
	ctx := context.Background()
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	e := benchEnvelope(b)
	gcm := rawGCM(b)
	for _, size := range sizes {
		record, err := e.Seal(ctx, make([]byte, size.n), ec)
		require.NoError(b, err)
		plaintexts, records, raws := spread(make([]byte, size.n)), spread(record), spread(rawSeal(gcm, make([]byte, size.n)))
		b.Run("seal/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.Seal(ctx, plaintexts(), ec); return err }, func() error { rawSeal(gcm, plaintexts()); return nil })
		})
		b.Run("open/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.Open(ctx, records(), ec); return err }, func() error {
				raw := raws()
				_, err := gcm.Open(nil, raw[:12], raw[12:], nil)
				return err
			})
		})
	}
}

// spread returns copies of b in turn, at different distances from a page's beginning. Where a processor reads what lies a
// multiple of 4096 bytes behind what it has just written, it waits, so that a single input would measure where it happens to be.
func spread(b []byte) func() []byte {
	var all [16][]byte
	for i := range all {
		room := make([]byte, 4096+len(b))
		all[i] = room[256*i : 256*i+len(b)]
		copy(all[i], b)
	}
	at := 0
	return func() []byte {
		at = (at + 1) % len(all)
		return all[at]
	}
}

// inProcess is a KEK that costs next to nothing.
type inProcess struct{ gcm cipher.AEAD }

const inProcessRef = "0123abcd-0123-0123-0123-0123456789ab"

func (k inProcess) Encrypt(_ context.Context, p []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	out := make([]byte, 36+12, 36+12+len(p)+16)
	copy(out, inProcessRef)
	rand.Read(out[36:])
	return k.gcm.Seal(out, out[36:], p, nil), nil
}

func (k inProcess) Decrypt(_ context.Context, c []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	if len(c) < 64 {
		return nil, errors.New("too short")
	}
	return k.gcm.Open(nil, c[36:48], c[48:], nil)
}

func (inProcess) Owns([]byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	return kmsmigrate.KeyRef{KeyID: inProcessRef}, kmsmigrate.Mine
}

// floor is the least that a hand-written envelope with our commitment and binding can be.
type floor struct{ kek inProcess }

func (f floor) derive(b []byte) (cipher.AEAD, []byte, error) {
	prk, err := hkdf.Extract(sha256.New, b, []byte("floor"))
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(sha256.New, prk, "key", 32)
	if err != nil {
		return nil, nil, err
	}
	commitment, err := hkdf.Expand(sha256.New, prk, "commitment", 32)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := aes256GCM(key)
	return gcm, commitment, err
}

func (f floor) seal(ctx context.Context, plaintext []byte) ([]byte, error) {
	dataKey := make([]byte, 32)
	rand.Read(dataKey)
	gcm, commitment, err := f.derive(dataKey)
	if err != nil {
		return nil, err
	}
	wrapped, err := f.kek.Encrypt(ctx, dataKey, nil)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 32+2+len(wrapped)+12+len(plaintext)+16)
	out = append(out, commitment...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped)))
	out = append(out, wrapped...)
	nonce := out[len(out) : len(out)+12]
	rand.Read(nonce)
	return gcm.Seal(out[:len(out)+12], nonce, plaintext, append(append(make([]byte, 0, 42), commitment...), 0, 0, 0, 0)), nil
}

func (f floor) open(ctx context.Context, record []byte) ([]byte, error) {
	n := int(binary.BigEndian.Uint16(record[32:]))
	dataKey, err := f.kek.Decrypt(ctx, record[34:34+n], nil)
	if err != nil {
		return nil, err
	}
	gcm, commitment, err := f.derive(dataKey)
	if err != nil || string(commitment) != string(record[:32]) {
		return nil, errors.New("another data key")
	}
	rest := record[34+n:]
	return gcm.Open(nil, rest[:12], rest[12:], append(append(make([]byte, 0, 42), commitment...), 0, 0, 0, 0))
}

// BenchmarkBudgetFresh compares a fresh data key with a hand-written envelope. Budget: 1.2.
func BenchmarkBudgetFresh(b *testing.B) {
	ctx := context.Background()
	kek := inProcess{rawGCM(b)}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: kek})
	require.NoError(b, err)
	e, err := envelope.New(envelope.Config{Keys: client, FreshKeys: true, MaxAge: -1})
	require.NoError(b, err)
	f := floor{kek}
	for _, size := range sizes {
		plaintext := make([]byte, size.n)
		record, err := e.Seal(ctx, plaintext, nil)
		require.NoError(b, err)
		theirs, err := f.seal(ctx, plaintext)
		require.NoError(b, err)
		b.Run("seal/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.Seal(ctx, plaintext, nil); return err }, func() error { _, err := f.seal(ctx, plaintext); return err })
		})
		b.Run("open/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.Open(ctx, record, nil); return err }, func() error { _, err := f.open(ctx, theirs); return err })
		})
	}
}

// BenchmarkBudgetStream compares a stream of 1 MiB, its data key and header included, with bare GCM over chunks of the same
// size. Budget: 1/0.95, 1.053.
func BenchmarkBudgetStream(b *testing.B) {
	const size = 1 << 20
	ctx := context.Background()
	plaintext := pattern(size)
	e := benchEnvelope(b)
	gcm := rawGCM(b)
	var sealed []byte
	chunked(gcm, plaintext, envelope.ChunkSize, func(nonce, chunk []byte) { sealed = gcm.Seal(sealed, nonce, chunk, nil) })
	stream := sealStream(b, e, plaintext, nil)
	buffer := make([]byte, sealedChunk)
	b.Run("seal", func(b *testing.B) {
		ratio(b, func() error {
			w, err := e.NewWriter(ctx, io.Discard, nil)
			if err != nil {
				return err
			}
			if _, err := w.Write(plaintext); err != nil {
				return err
			}
			return w.Close()
		}, func() error {
			chunked(gcm, plaintext, envelope.ChunkSize, func(nonce, chunk []byte) { _ = gcm.Seal(buffer[:0], nonce, chunk, nil) })
			return nil
		})
	})
	b.Run("open", func(b *testing.B) {
		ratio(b, func() error {
			r, err := e.NewReader(ctx, bytes.NewReader(stream), nil)
			if err != nil {
				return err
			}
			_, err = r.WriteTo(io.Discard)
			return err
		}, func() (err error) {
			chunked(gcm, sealed, sealedChunk, func(nonce, chunk []byte) {
				n := copy(buffer, chunk) // from the source, as any reader must
				_, err = gcm.Open(buffer[:0], nonce, buffer[:n], nil)
			})
			return err
		})
	})
}

// BenchmarkAppend compares AppendSeal and AppendOpen into a buffer that has room with Seal and Open, which allocate their result.
func BenchmarkAppend(b *testing.B) {
	ctx := context.Background()
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	e := benchEnvelope(b)
	for _, size := range sizes {
		plaintext := make([]byte, size.n)
		record, err := e.Seal(ctx, plaintext, ec)
		require.NoError(b, err)
		room := make([]byte, 0, len(record))
		b.Run("seal/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.AppendSeal(ctx, room, plaintext, ec); return err }, func() error { _, err := e.Seal(ctx, plaintext, ec); return err })
		})
		b.Run("open/"+size.name, func(b *testing.B) {
			ratio(b, func() error { _, err := e.AppendOpen(ctx, room, record, ec); return err }, func() error { _, err := e.Open(ctx, record, ec); return err })
		})
	}
}

// BenchmarkBudgetRewrap compares re-wrapping a record of 1 MiB in place with one of 100 bytes. Budget: no cost that grows.
func BenchmarkBudgetRewrap(b *testing.B) {
	ctx := context.Background()
	e := benchEnvelope(b)
	long, err := e.Seal(ctx, make([]byte, 1<<20), nil)
	require.NoError(b, err)
	short, err := e.Seal(ctx, make([]byte, 100), nil)
	require.NoError(b, err)
	ratio(b, func() (err error) { long, err = e.Rewrap(ctx, long, nil); return err }, func() (err error) { short, err = e.Rewrap(ctx, short, nil); return err })
}
