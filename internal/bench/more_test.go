package bench_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"io"
	"testing"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
)

// cached are those whose data key, or only key, is at hand: bare AES-256-GCM with a random nonce, which binds and commits to
// nothing, Keyhaul with a data key from its cache, and a keyset of tink's in memory.
func cached(tb testing.TB) []sealer {
	tb.Helper()
	gcm := newGCM(random(32))
	bare := sealer{
		name: "gcm",
		seal: func(plaintext []byte) ([]byte, error) {
			out := make([]byte, 12, 12+len(plaintext)+16)
			rand.Read(out)
			return gcm.Seal(out, out, plaintext, nil), nil
		},
		open: func(record []byte) ([]byte, error) { return gcm.Open(nil, record[:12], record[12:], nil) },
	}
	e := newEnvelope(tb, envelope.Config{})
	ctx := context.Background()
	kept := sealer{
		name: "keyhaul",
		seal: func(plaintext []byte) ([]byte, error) { return e.Seal(ctx, plaintext, nil) },
		open: func(record []byte) ([]byte, error) {
			opened, err := e.Open(ctx, record, nil)
			return opened.Plaintext, err
		},
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(tb, err)
	a, err := aead.New(handle)
	require.NoError(tb, err)
	local := sealer{
		name: "tink",
		seal: func(plaintext []byte) ([]byte, error) { return a.Encrypt(plaintext, nil) },
		open: func(record []byte) ([]byte, error) { return a.Decrypt(record, nil) },
	}
	return []sealer{bare, kept, local}
}

func newEnvelope(tb testing.TB, cfg envelope.Config) *envelope.Envelope {
	tb.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: newKEK()})
	require.NoError(tb, err)
	cfg.Keys = client
	e, err := envelope.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(e.Close)
	return e
}

func BenchmarkSealCached(b *testing.B) { benchSeal(b, cached(b)) }

func BenchmarkOpenCached(b *testing.B) { benchOpen(b, cached(b)) }

// BenchmarkRewrap wraps the data key of a record anew, in place: the payload is not read.
func BenchmarkRewrap(b *testing.B) {
	for _, size := range sizes {
		if size.name == "4KiB" {
			continue
		}
		e := newEnvelope(b, envelope.Config{})
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

// streamer seals to a writer and opens from a reader. None asks a KMS in the loop.
type streamer struct {
	name string
	seal func(w io.Writer) (io.WriteCloser, error)
	open func(r io.Reader) (io.Reader, error)
}

// bareChunks is the least that a stream can be: GCM over chunks of 64 KiB, whose nonce is their number.
type bareChunks struct {
	gcm    cipher.AEAD
	nonce  [12]byte
	number uint64
	w      io.Writer
	r      io.Reader
	buffer []byte
	rest   []byte
}

func (c *bareChunks) next() []byte {
	binary.BigEndian.PutUint64(c.nonce[4:], c.number)
	c.number++
	return c.nonce[:]
}

func (c *bareChunks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), envelope.ChunkSize-len(c.buffer))
		c.buffer, p = append(c.buffer, p[:take]...), p[take:]
		if len(c.buffer) == envelope.ChunkSize {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (c *bareChunks) flush() error {
	_, err := c.w.Write(c.gcm.Seal(c.buffer[:0], c.next(), c.buffer, nil))
	c.buffer = c.buffer[:0]
	return err
}

func (c *bareChunks) Close() error { return c.flush() }

func (c *bareChunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		n, err := io.ReadFull(c.r, c.buffer[:envelope.ChunkSize+16])
		if n == 0 {
			return 0, err
		}
		if c.rest, err = c.gcm.Open(c.buffer[:0], c.next(), c.buffer[:n], nil); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func streamers(tb testing.TB) []streamer {
	tb.Helper()
	ctx, e, gcm := context.Background(), newEnvelope(tb, envelope.Config{}), newGCM(random(32))
	all := []streamer{
		{
			"gcm",
			func(w io.Writer) (io.WriteCloser, error) {
				return &bareChunks{gcm: gcm, w: w, buffer: make([]byte, 0, envelope.ChunkSize+16)}, nil
			},
			func(r io.Reader) (io.Reader, error) {
				return &bareChunks{gcm: gcm, r: r, buffer: make([]byte, envelope.ChunkSize+16)}, nil
			},
		},
		{
			"keyhaul",
			func(w io.Writer) (io.WriteCloser, error) { return e.NewWriter(ctx, w, nil) },
			func(r io.Reader) (io.Reader, error) { return e.NewReader(ctx, r, nil) },
		},
	}
	add := func(name string, handle *keyset.Handle, err error) {
		require.NoError(tb, err)
		s, err := streamingaead.New(handle)
		require.NoError(tb, err)
		all = append(all, streamer{
			name,
			func(w io.Writer) (io.WriteCloser, error) { return s.NewEncryptingWriter(w, nil) },
			func(r io.Reader) (io.Reader, error) { return s.NewDecryptingReader(r, nil) },
		})
	}
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF4KBKeyTemplate())
	add("tink-4KiB", handle, err)
	handle, err = keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	add("tink-1MiB", handle, err)
	return all
}

var streamSizes = []struct {
	name string
	n    int
}{{"1MiB", 1 << 20}, {"16MiB", 16 << 20}}

func (s streamer) sealAll(w io.Writer, plaintext []byte) error {
	sealing, err := s.seal(w)
	if err != nil {
		return err
	}
	if _, err := sealing.Write(plaintext); err != nil {
		return err
	}
	return sealing.Close()
}

func BenchmarkStreamSeal(b *testing.B) {
	for _, size := range streamSizes {
		plaintext := make([]byte, size.n)
		for _, s := range streamers(b) {
			b.Run(s.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for b.Loop() {
					if err := s.sealAll(io.Discard, plaintext); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkStreamOpen(b *testing.B) {
	buffer := make([]byte, 32<<10)
	for _, size := range streamSizes {
		for _, s := range streamers(b) {
			var stream bytes.Buffer
			require.NoError(b, s.sealAll(&stream, make([]byte, size.n)))
			b.Run(s.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for b.Loop() {
					r, err := s.open(bytes.NewReader(stream.Bytes()))
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buffer); err != nil || n != int64(size.n) {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

func TestEveryStreamDoesTheWork(t *testing.T) {
	t.Parallel()
	plaintext := random(300_000)
	for _, s := range streamers(t) {
		var stream bytes.Buffer
		require.NoError(t, s.sealAll(&stream, plaintext), s.name)
		r, err := s.open(bytes.NewReader(stream.Bytes()))
		require.NoError(t, err, s.name)
		read, err := io.ReadAll(r)
		require.NoError(t, err, s.name)
		require.True(t, bytes.Equal(plaintext, read), s.name)
		stream.Bytes()[stream.Len()-1] ^= 1
		r, err = s.open(bytes.NewReader(stream.Bytes()))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		require.Error(t, err, s.name)
	}
}
