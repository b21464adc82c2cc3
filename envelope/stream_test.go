package envelope_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

const sealedChunk = envelope.ChunkSize + 16

func sealStream(tb testing.TB, e *envelope.Envelope, plaintext []byte, ec kmsmigrate.EncryptionContext) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := e.NewWriter(context.Background(), &out, ec)
	require.NoError(tb, err)
	_, err = w.Write(plaintext)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	require.NoError(tb, w.Close(), "closing twice is no error")
	_, err = w.Write([]byte("x"))
	require.Error(tb, err)
	return out.Bytes()
}

func openStream(e *envelope.Envelope, stream []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	r, err := e.NewReader(context.Background(), bytes.NewReader(stream), ec)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = io.Copy(&out, r)
	return out.Bytes(), err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

var streamSizes = []int{0, 1, envelope.ChunkSize - 1, envelope.ChunkSize, envelope.ChunkSize + 1, 2 * envelope.ChunkSize, 3*envelope.ChunkSize + 5}

func TestStreamsRoundTripHoweverTheyAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	for _, suite := range []envelope.Suite{envelope.AES256GCM, envelope.SM4GCM} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, envelope.Config{Suite: suite})
		for _, n := range streamSizes {
			if suite == envelope.SM4GCM && n > envelope.ChunkSize+1 {
				continue // slow, and the same
			}
			plaintext := pattern(n)
			stream := sealStream(t, e, plaintext, customers)
			got, err := openStream(e, stream, customers)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got))

			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
			} {
				r, err := e.NewReader(t.Context(), wrap(bytes.NewReader(stream)), customers)
				require.NoError(t, err)
				got, err := io.ReadAll(wrap(r))
				require.NoError(t, err, name)
				require.True(t, bytes.Equal(plaintext, got), name)
			}
			r, err := e.NewReader(t.Context(), bytes.NewReader(stream), customers)
			require.NoError(t, err)
			require.NoError(t, iotest.TestReader(r, plaintext))

			var copied bytes.Buffer
			writer, err := e.NewWriter(t.Context(), &copied, customers)
			require.NoError(t, err)
			m, err := io.Copy(writer, iotest.HalfReader(bytes.NewReader(plaintext)))
			require.NoError(t, err)
			require.EqualValues(t, n, m)
			require.NoError(t, writer.Close())
			require.Equal(t, len(stream), copied.Len())
			got, err = openStream(e, copied.Bytes(), customers)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got))
		}
	}
}

func TestStreamsAreReadAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	for _, n := range streamSizes {
		plaintext := pattern(n)
		stream := sealStream(t, e, plaintext, nil)
		at, err := e.NewReaderAt(t.Context(), bytes.NewReader(stream), int64(len(stream)), nil)
		require.NoError(t, err)
		require.EqualValues(t, n, at.Size())
		if n <= 1 { // it reads byte by byte
			require.NoError(t, iotest.TestReader(io.NewSectionReader(at, 0, at.Size()), plaintext))
		}
		rapid.Check(t, func(t *rapid.T) {
			off := rapid.IntRange(0, n+10).Draw(t, "offset")
			p := make([]byte, rapid.IntRange(0, n+10).Draw(t, "size"))
			got, err := at.ReadAt(p, int64(off))
			want, werr := bytes.NewReader(plaintext).ReadAt(make([]byte, len(p)), int64(off))
			if len(p) == 0 {
				return
			}
			if got != want || !errors.Is(err, werr) || !bytes.Equal(p[:got], plaintext[min(off, n):min(off, n)+got]) {
				t.Fatalf("read %d bytes and %v, want %d and %v", got, err, want, werr)
			}
		})
		_, err = at.ReadAt(make([]byte, 1), -1)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

// Chunks that were dropped, doubled, moved, replaced by those of another stream, or cut off.
func TestChunksStayWhereTheyWereSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	stream := sealStream(t, e, pattern(3*envelope.ChunkSize+100), nil)
	other := sealStream(t, e, pattern(3*envelope.ChunkSize+100), nil)
	head, err := envelope.ReadHeader(bytes.NewReader(stream))
	require.NoError(t, err)
	chunks := func(s []byte) [][]byte {
		var out [][]byte
		for s = s[len(head):]; len(s) > 0; {
			n := min(sealedChunk, len(s))
			out, s = append(out, s[:n]), s[n:]
		}
		return out
	}
	c, o := chunks(stream), chunks(other)
	join := func(parts ...[]byte) []byte { return bytes.Join(append([][]byte{head}, parts...), nil) }
	_, err = openStream(e, join(c...), nil)
	require.NoError(t, err)
	for name, broken := range map[string][]byte{
		"swapped":               join(c[1], c[0], c[2], c[3]),
		"dropped first":         join(c[1], c[2], c[3]),
		"dropped in the middle": join(c[0], c[2], c[3]),
		"doubled":               join(c[0], c[0], c[1], c[2], c[3]),
		"last one cut off":      join(c[0], c[1], c[2]),
		"all cut off":           join(),
		"cut within":            join(c[0], c[1][:1000]),
		"last byte cut off":     join(c[0], c[1], c[2], c[3][:len(c[3])-1]),
		"something after":       join(c[0], c[1], c[2], c[3], []byte("x")),
		"last one doubled":      join(c[0], c[1], c[2], c[3], c[3]),
		"of another stream":     join(c[0], o[1], c[2], c[3]),
		"all of another stream": join(o...),
	} {
		got, err := openStream(e, broken, nil)
		require.ErrorIs(t, err, envelope.ErrTampered, name)
		require.True(t, bytes.HasPrefix(pattern(3*envelope.ChunkSize+100), got), "%s: what was released is genuine", name)
		at, err := e.NewReaderAt(t.Context(), bytes.NewReader(broken), int64(len(broken)), nil)
		if err == nil {
			_, err = io.ReadAll(io.NewSectionReader(at, 0, at.Size()))
		}
		require.ErrorIs(t, err, envelope.ErrTampered, name)
	}
}

func TestAnyChangedByteOfAStreamIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	plaintext := pattern(envelope.ChunkSize + 500)
	stream := sealStream(t, e, plaintext, customers)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.OneOf(rapid.IntRange(0, 250), rapid.IntRange(0, len(stream)-1)).Draw(t, "offset")
		bit := rapid.IntRange(0, 7).Draw(t, "bit")
		changed := bytes.Clone(stream)
		changed[i] ^= 1 << bit
		got, err := openStream(e, changed, customers)
		if err == nil || !bytes.HasPrefix(plaintext, got) {
			t.Fatal("not noticed")
		}
	})
	_, err := openStream(e, stream, nil)
	require.Error(t, err, "another context")
}

func TestAStreamsHeaderIsRenewedWithoutItsBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.ReadBoth)
	e := w.envelope(t, envelope.Config{})
	plaintext := pattern(envelope.ChunkSize + 7)

	var body bytes.Buffer
	header, writer, err := e.NewDetachedWriter(t.Context(), &body, customers)
	require.NoError(t, err)
	_, err = writer.Write(plaintext)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	inline := sealStream(t, e, plaintext, customers)

	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	info, err := e.Inspect(header)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideOld, info.Copies[0].Side)
	renewed, err := e.Renew(t.Context(), header, customers)
	require.NoError(t, err)
	require.Len(t, renewed.Ciphertext, len(header))
	inPlace, err := envelope.ReadHeader(bytes.NewReader(inline))
	require.NoError(t, err)
	inPlace, err = e.Rewrap(t.Context(), inPlace, customers)
	require.NoError(t, err)
	copy(inline, inPlace)

	require.NoError(t, w.phase.Jump(kmsmigrate.NewOnly))
	r, err := e.NewDetachedReader(t.Context(), renewed.Ciphertext, bytes.NewReader(body.Bytes()), customers)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideNew, r.Opened().Side)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))
	at, err := e.NewDetachedReaderAt(t.Context(), renewed.Ciphertext, bytes.NewReader(body.Bytes()), int64(body.Len()), customers)
	require.NoError(t, err)
	require.EqualValues(t, len(plaintext), at.Size())
	got, err = openStream(e, inline, customers)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))

	_, err = e.NewDetachedReader(t.Context(), header, bytes.NewReader(body.Bytes()), customers)
	require.ErrorIs(t, err, kmsmigrate.ErrRetired)
}

func TestBadStreamsAreFormatErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	stream := sealStream(t, e, []byte("x"), nil)
	for n := range len(stream) - 17 { // up to the end of the header
		_, err := openStream(e, stream[:n], nil)
		require.ErrorIs(t, err, envelope.ErrFormat, n)
	}
	huge := append(bytes.Clone(stream[:38]), 16, 0xff, 0xff)
	_, err := openStream(e, huge, nil)
	require.ErrorIs(t, err, envelope.ErrFormat)
	_, err = openStream(e, seal(t, e, "a record", nil), nil)
	require.ErrorIs(t, err, envelope.ErrFormat)
	_, err = e.Open(t.Context(), stream, nil)
	require.ErrorIs(t, err, envelope.ErrFormat)
	require.ErrorContains(t, err, "NewReader")
	_, err = e.NewDetachedReader(t.Context(), stream, bytes.NewReader(nil), nil)
	require.ErrorIs(t, err, envelope.ErrFormat, "more than a header")
}

func TestStreamsPassOnWhatTheirEndsSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	_, err := e.NewReader(t.Context(), iotest.ErrReader(errPlain), nil)
	require.ErrorIs(t, err, errPlain)
	stream := sealStream(t, e, pattern(3*envelope.ChunkSize), nil)
	r, err := e.NewReader(t.Context(), io.MultiReader(bytes.NewReader(stream[:100000]), iotest.ErrReader(errPlain)), nil)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, errPlain)

	writer, err := e.NewWriter(t.Context(), &failing{after: 1}, nil)
	require.NoError(t, err)
	_, err = writer.Write(pattern(3 * envelope.ChunkSize))
	require.ErrorIs(t, err, errPlain)
	require.ErrorIs(t, writer.Close(), errPlain)

	ctx, cancel := context.WithCancel(t.Context())
	writer, err = e.NewWriter(ctx, io.Discard, nil)
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, writer.Close(), context.Canceled)
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errPlain
	}
	return len(p), nil
}

func TestAStreamTakesOneChunkOfMemory(t *testing.T) {
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	perStream := func(chunks int) float64 {
		return testing.AllocsPerRun(5, func() {
			writer, err := e.NewWriter(context.Background(), io.Discard, nil)
			require.NoError(t, err)
			p := make([]byte, envelope.ChunkSize)
			for range chunks {
				_, err := writer.Write(p)
				require.NoError(t, err)
			}
			require.NoError(t, writer.Close())
		})
	}
	require.InDelta(t, perStream(2), perStream(200), 20)
}

// BenchmarkStream compares streams with the least that chunked AES-256-GCM can be: the same chunks, numbered nonces, one
// buffer.
func BenchmarkStream(b *testing.B) {
	const size = 1 << 20
	plaintext := pattern(size)
	e := benchEnvelope(b)
	gcm := rawGCM(b)
	b.Run("seal/raw", func(b *testing.B) {
		b.SetBytes(size)
		buffer := make([]byte, 0, sealedChunk)
		for b.Loop() {
			chunked(gcm, plaintext, envelope.ChunkSize, func(nonce, chunk []byte) { _ = gcm.Seal(buffer, nonce, chunk, nil) })
		}
	})
	b.Run("seal/keyhaul", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			w, err := e.NewWriter(context.Background(), io.Discard, nil)
			require.NoError(b, err)
			if _, err := w.Write(plaintext); err != nil {
				b.Fatal(err)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	var sealed []byte
	chunked(gcm, plaintext, envelope.ChunkSize, func(nonce, chunk []byte) { sealed = gcm.Seal(sealed, nonce, chunk, nil) })
	stream := sealStream(b, e, plaintext, nil)
	b.Run("open/raw", func(b *testing.B) {
		b.SetBytes(size)
		buffer := make([]byte, sealedChunk)
		for b.Loop() {
			chunked(gcm, sealed, sealedChunk, func(nonce, chunk []byte) {
				n := copy(buffer, chunk) // from the source, as any reader must
				if _, err := gcm.Open(buffer[:0], nonce, buffer[:n], nil); err != nil {
					b.Fatal(err)
				}
			})
		}
	})
	b.Run("open/keyhaul", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			r, err := e.NewReader(context.Background(), bytes.NewReader(stream), nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func chunked(_ cipher.AEAD, data []byte, size int, do func(nonce, chunk []byte)) {
	nonce := make([]byte, 12)
	for i := 0; len(data) > 0; i++ {
		binary.BigEndian.PutUint64(nonce[4:], uint64(i))
		n := min(size, len(data))
		do(nonce, data[:n])
		data = data[n:]
	}
}

func ExampleEnvelope_NewWriter() {
	e, stop := exampleEnvelope()
	defer stop()
	ctx, ec := context.Background(), kmsmigrate.EncryptionContext{"bucket": "scans"}
	var file bytes.Buffer
	w, err := e.NewWriter(ctx, &file, ec)
	if err != nil {
		panic(err)
	}
	if _, err := io.WriteString(w, "a very long document"); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	r, err := e.NewReader(ctx, &file, ec)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(r)
	fmt.Println(string(text), err)
	// Output: a very long document <nil>
}
