package envelope

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// A stream of the own format: FORMAT.md has it byte by byte.
const (
	streamMagic = "\x8aKHS"
	// ChunkSize is how many bytes of plaintext a chunk of a stream holds; the last may hold fewer.
	ChunkSize = 64 << 10

	sealedChunk    = ChunkSize + tagSize
	streamSaltSize = 32
	maxChunks      = 1 << 32
	streamName     = "keyhaul stream"
)

// MaxHeader is the most bytes that a stream's header can have.
const MaxHeader = copiesAt + MaxCopies*(2+MaxWrapped) + streamSaltSize

// streamHeader is what stands before the chunks.
type streamHeader struct {
	header
	salt []byte
	size int // of the header
}

// parseStream reads the header of a stream from its first bytes, which may be more.
func parseStream(b []byte) (h streamHeader, err error) {
	if len(b) < len(streamMagic) || string(b[:len(streamMagic)]) != streamMagic {
		return h, badFormat(streamName, 0, "want the 4 bytes 8A 4B 48 53")
	}
	if h.size, err = h.readHead(streamName, b); err != nil {
		return h, err
	}
	if len(b)-h.size < streamSaltSize {
		return h, badFormat(streamName, h.size, "want a salt of 32 bytes, the header ends")
	}
	h.salt = b[h.size : h.size+streamSaltSize]
	h.size += streamSaltSize
	return h, nil
}

// readHeader reads a header from r and not a byte more.
func readHeader(r io.Reader) (streamHeader, []byte, error) {
	b := make([]byte, copiesAt, 256)
	if n, err := io.ReadFull(r, b); err != nil {
		_, ferr := parseStream(b[:n])
		return streamHeader{}, nil, readError(err, ferr)
	}
	if string(b[:len(streamMagic)]) != streamMagic || b[countAt] > MaxCopies {
		h, err := parseStream(b)
		return h, nil, err
	}
	more := func(n int) error {
		at := len(b)
		b = append(b, make([]byte, n)...)
		if got, err := io.ReadFull(r, b[at:]); err != nil {
			_, ferr := parseStream(b[:at+got])
			return readError(err, ferr)
		}
		return nil
	}
	for range int(b[countAt]) {
		if err := more(2); err != nil {
			return streamHeader{}, nil, err
		}
		size := int(binary.BigEndian.Uint16(b[len(b)-2:]))
		if size == 0 || size > MaxWrapped {
			break // parseStream says so
		}
		if err := more(size); err != nil {
			return streamHeader{}, nil, err
		}
	}
	if err := more(streamSaltSize); err != nil {
		return streamHeader{}, nil, err
	}
	h, err := parseStream(b)
	return h, b, err
}

// readError tells a stream that ended from a reader that failed.
func readError(err, format error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return format
	}
	return fmt.Errorf("envelope: reading a stream: %w", err)
}

// chunkNonce is the number of a chunk and whether it is the last. Chunks that were dropped, doubled, moved or cut off at the
// end thus have a nonce that does not fit. The key is the stream's own, so that numbers can begin at 0.
func chunkNonce(nonce *[nonceSize]byte, number uint64, last bool) []byte {
	binary.BigEndian.PutUint64(nonce[3:], number)
	nonce[11] = 0
	if last {
		nonce[11] = 1
	}
	return nonce[:]
}

// NewWriter starts a stream: it writes the header to w, and returns a writer that seals what is written to it in chunks of
// [ChunkSize]. Nothing is complete before Close, which writes the last chunk and does not close w; a stream without it does
// not open. The writer holds one chunk in memory. A context that ends makes the next write fail. The suite, the data
// keys and WrapBoth are those of Seal.
func (e *Envelope) NewWriter(ctx context.Context, w io.Writer, ec kmsmigrate.EncryptionContext) (*Writer, error) {
	header, aead, err := e.newStream(ctx, ec)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, fmt.Errorf("envelope: writing a stream's header: %w", err)
	}
	return e.newWriter(ctx, w, aead), nil
}

// NewDetachedWriter is NewWriter with the header kept apart from the chunks: in a database column or an object's metadata, where
// it is re-wrapped without the body at hand. NewDetachedReader reads the two.
func (e *Envelope) NewDetachedWriter(ctx context.Context, w io.Writer, ec kmsmigrate.EncryptionContext) (header []byte, _ *Writer, err error) {
	header, aead, err := e.newStream(ctx, ec)
	if err != nil {
		return nil, nil, err
	}
	return header, e.newWriter(ctx, w, aead), nil
}

// Writer seals a stream. It must be closed. It is for one goroutine.
type Writer struct {
	ctx    context.Context //nolint:containedctx // a Writer is one operation
	w      io.Writer
	aead   cipher.AEAD
	nonce  [nonceSize]byte
	number uint64
	from   *Envelope
	buffer *[]byte
	chunk  []byte // plaintext that waits, in buffer, with room for the tag
	err    error
}

func (e *Envelope) newWriter(ctx context.Context, w io.Writer, aead cipher.AEAD) *Writer {
	buffer := e.borrow()
	return &Writer{ctx: ctx, w: w, aead: aead, from: e, buffer: buffer, chunk: (*buffer)[:0:sealedChunk]}
}

// borrow returns a buffer for a chunk. Streams of a few chunks would otherwise spend their time on making one.
func (e *Envelope) borrow() *[]byte {
	if b, ok := e.chunks.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, sealedChunk+1)
	return &b
}

// giveBack takes a buffer that nobody uses any more.
func (e *Envelope) giveBack(buffer *[]byte) {
	clear(*buffer)
	e.chunks.Put(buffer)
}

var errWriterClosed = errors.New("envelope: the stream is closed")

// Write seals p.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.err != nil {
			return n, w.err
		}
		// A full chunk waits until there is more, because the last one is sealed differently.
		if len(w.chunk) == ChunkSize {
			if w.flush(false); w.err != nil {
				return n, w.err
			}
		}
		// A chunk that lies in p as a whole, with more after it, is sealed from there.
		if len(w.chunk) == 0 && len(p) > ChunkSize {
			if w.seal(p[:ChunkSize], false); w.err != nil {
				return n, w.err
			}
			p, n = p[ChunkSize:], n+ChunkSize
			continue
		}
		m := min(len(p), ChunkSize-len(w.chunk))
		w.chunk = append(w.chunk, p[:m]...)
		p, n = p[m:], n+m
	}
	return n, w.err
}

// flush seals the chunk that waits, in place, and writes it.
func (w *Writer) flush(last bool) {
	w.seal(w.chunk, last)
	w.chunk = w.chunk[:0]
}

func (w *Writer) seal(plaintext []byte, last bool) {
	if err := w.ctx.Err(); err != nil {
		w.err = fmt.Errorf("envelope: %w", err)
		return
	}
	if w.number >= maxChunks {
		w.err = fmt.Errorf("envelope: a stream has room for %d chunks: %w", uint64(maxChunks), kmsmigrate.ErrInvalid)
		return
	}
	sealed := w.aead.Seal(w.chunk[:0], chunkNonce(&w.nonce, w.number, last), plaintext, nil)
	if _, err := w.w.Write(sealed); err != nil {
		w.err = fmt.Errorf("envelope: writing a stream: %w", err)
	}
	w.number++
}

// Close writes the last chunk. After a failed write it returns that write's error.
func (w *Writer) Close() error {
	if w.err != nil {
		if errors.Is(w.err, errWriterClosed) {
			return nil
		}
		return w.err
	}
	w.flush(true)
	w.chunk = nil
	w.from.giveBack(w.buffer)
	if w.err != nil {
		return w.err
	}
	w.err = errWriterClosed
	return nil
}
