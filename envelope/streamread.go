package envelope

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func isStream(b []byte) bool {
	return len(b) >= len(streamMagic) && string(b[:len(streamMagic)]) == streamMagic
}

// newStream makes a data key for one stream. It is never shared: a stream is long, and one call for it is little.
func (e *Envelope) newStream(ctx context.Context, ec kmsmigrate.EncryptionContext) ([]byte, cipher.AEAD, error) {
	p, err := e.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	fresh, err := e.newDataKey(ctx, p, dataKeySize, ec, true)
	if err != nil {
		return nil, nil, err
	}
	defer fresh.wipe()
	e.counts.dataKeys.Add(1)
	salt := make([]byte, streamSaltSize)
	rand.Read(salt)
	// The key depends on the header, and the header on the commitment, which does not depend on salt and header.
	_, commitment, err := e.suite.derive(fresh.raw)
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: %s: %w", e.suite, err)
	}
	aead, _, err := e.suite.deriveStream(fresh.raw, salt, e.suite.bind(streamMagic, commitment[:], ec))
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: %s: %w", e.suite, err)
	}
	header, err := appendCopies(appendFixed(nil, streamMagic, e.suite, commitment[:]), fresh.copies)
	if err != nil {
		return nil, nil, err
	}
	e.counts.sealed.Add(1)
	return append(header, salt...), aead, nil
}

// openStream unwraps the data key of a stream.
func (e *Envelope) openStream(ctx context.Context, h streamHeader, ec kmsmigrate.EncryptionContext) (cipher.AEAD, kmsmigrate.Opened, error) {
	p, err := e.begin(ctx)
	if err != nil {
		return nil, kmsmigrate.Opened{}, err
	}
	k, fresh, err := e.unwrapAny(ctx, p, forLayoutOpening, 0, h.each(), ec, func(k *openingKey) error { return h.commitsTo(streamName, k.value) })
	if err != nil {
		return nil, kmsmigrate.Opened{}, err
	}
	defer k.release()
	dataKey, ok := decodeDataKey(k.value)
	if !ok {
		return nil, kmsmigrate.Opened{}, tampered(streamName, copiesAt, "the wrapped copy holds no data key of this format, 44 characters of base64")
	}
	defer clear(dataKey)
	aead, commitment, err := h.suite.deriveStream(dataKey, h.salt, h.suite.bind(streamMagic, h.commitment, ec))
	if err != nil {
		return nil, kmsmigrate.Opened{}, fmt.Errorf("envelope: %s: %w", h.suite, err)
	}
	if !bytes.Equal(commitment[:], h.commitment) {
		return nil, kmsmigrate.Opened{}, tampered(streamName, 6, "the data key is not the one that the stream commits to")
	}
	k.count.records.Add(1)
	return aead, kmsmigrate.Opened{Side: k.side, Stale: stale(p, k.side, fresh), Key: k.ref}, nil
}

// ReadHeader reads the header of a stream, and not a byte more: what Inspect, Renew and Rewrap need of a stream. What they
// return has, as a rule, as many bytes, and can be written over it.
func ReadHeader(r io.Reader) ([]byte, error) {
	_, header, err := readHeader(r)
	return header, err
}

// NewReader opens a stream that NewWriter wrote. Every chunk is checked before a byte of it is returned; one that was changed,
// moved, dropped or doubled, and an end that is missing, are ErrTampered. Plaintext that was read before such an error
// is genuine, and not all there is. The reader holds one chunk in memory.
func (e *Envelope) NewReader(ctx context.Context, r io.Reader, ec kmsmigrate.EncryptionContext) (*Reader, error) {
	h, _, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	return e.reader(ctx, h, r, ec)
}

// NewDetachedReader opens a stream whose header was kept apart from it.
func (e *Envelope) NewDetachedReader(ctx context.Context, header []byte, r io.Reader, ec kmsmigrate.EncryptionContext) (*Reader, error) {
	h, err := parseWholeHeader(header)
	if err != nil {
		return nil, err
	}
	h.size = 0
	return e.reader(ctx, h, r, ec)
}

func parseWholeHeader(header []byte) (streamHeader, error) {
	h, err := parseStream(header)
	if err == nil && h.size != len(header) {
		return h, badFormat(streamName, h.size, "want the end of the header")
	}
	return h, err
}

func (e *Envelope) reader(ctx context.Context, h streamHeader, r io.Reader, ec kmsmigrate.EncryptionContext) (*Reader, error) {
	aead, opened, err := e.openStream(ctx, h, ec)
	if err != nil {
		return nil, err
	}
	return &Reader{ctx: ctx, r: r, aead: aead, at: int64(h.size), opened: opened, from: e, borrowed: e.borrow()}, nil
}

// Reader opens a stream. It is for one goroutine.
type Reader struct {
	ctx    context.Context //nolint:containedctx // a Reader is one operation
	r      io.Reader
	aead   cipher.AEAD
	nonce  [nonceSize]byte
	number uint64
	at     int64 // where the next chunk begins, for errors
	opened kmsmigrate.Opened

	from     *Envelope
	borrowed *[]byte // a sealed chunk and one byte more, which tells whether it is the last
	ahead    int     // bytes of the next chunk that have been read: 0 or 1
	next     byte    // that byte
	waiting  []byte  // plaintext not yet returned, in borrowed
	err      error
}

// Opened returns who unwrapped the data key, and whether Renew would move the stream; Plaintext is nil.
func (r *Reader) Opened() kmsmigrate.Opened { return r.opened }

// fill reads the next sealed chunk and returns it, with whether it is the last.
func (r *Reader) fill() (sealed []byte, last bool, err error) {
	if err := r.ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("envelope: %w", err)
	}
	buffer := *r.borrowed
	buffer[0] = r.next
	n, err := io.ReadFull(r.r, buffer[r.ahead:])
	n += r.ahead
	switch {
	case err == nil:
		r.next, r.ahead = buffer[sealedChunk], 1
		return buffer[:sealedChunk], false, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return buffer[:n], true, nil
	default:
		return nil, false, fmt.Errorf("envelope: reading a stream: %w", err)
	}
}

// chunk opens the next chunk into dst, which has room, or in place where it is nil.
func (r *Reader) chunk(dst []byte) ([]byte, error) {
	sealed, last, err := r.fill()
	if err != nil {
		return nil, err
	}
	if dst == nil {
		dst = sealed
	}
	if len(sealed) < tagSize || r.number >= maxChunks {
		return nil, tampered(streamName, int(r.at), "chunk %d is cut off", r.number)
	}
	plaintext, err := r.aead.Open(dst[:0], chunkNonce(&r.nonce, r.number, last), sealed, nil)
	if err != nil {
		return nil, tampered(streamName, int(r.at), "chunk %d is not what was sealed there, or the stream is cut off after it", r.number)
	}
	r.number++
	r.at += int64(len(sealed))
	if last {
		r.err = io.EOF
	}
	return plaintext, nil
}

// Read returns plaintext that has been checked.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.waiting) == 0 {
		if r.err != nil {
			return 0, r.end()
		}
		// With room for a whole chunk no copy is needed.
		if len(p) >= ChunkSize {
			plaintext, err := r.chunk(p)
			if err != nil {
				r.err = err
				continue
			}
			if len(plaintext) > 0 {
				return len(plaintext), nil
			}
			continue
		}
		plaintext, err := r.chunk(nil)
		if err != nil {
			r.err = err
		}
		r.waiting = plaintext
	}
	n := copy(p, r.waiting)
	r.waiting = r.waiting[n:]
	return n, nil
}

// end gives the buffer back and returns why there is no more.
func (r *Reader) end() error {
	if r.borrowed != nil {
		r.from.giveBack(r.borrowed)
		r.borrowed = nil
	}
	return r.err
}

// WriteTo writes all plaintext to w, chunk by chunk, with no copy between.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(r.waiting) > 0 {
			m, err := w.Write(r.waiting)
			n += int64(m)
			r.waiting = r.waiting[m:]
			if err != nil {
				return n, err
			}
		}
		if r.err != nil {
			return n, endOfFile(r.end())
		}
		if r.waiting, err = r.chunk(nil); err != nil {
			r.err = err
		}
	}
}

// ReadFrom seals all that r has.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	for w.err == nil {
		if len(w.chunk) == ChunkSize {
			// Another byte tells whether this chunk is the last.
			var one [1]byte
			m, err := io.ReadFull(r, one[:])
			if m == 0 {
				return n, endOfFile(err)
			}
			n++
			if w.flush(false); w.err != nil {
				return n, w.err
			}
			w.chunk = append(w.chunk, one[0])
		}
		m, err := r.Read(w.chunk[len(w.chunk):ChunkSize])
		w.chunk = w.chunk[:len(w.chunk)+m]
		n += int64(m)
		if err != nil {
			return n, endOfFile(err)
		}
	}
	return n, w.err
}

func endOfFile(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ReaderAt reads anywhere in a stream. It is safe for concurrent use.
type ReaderAt struct {
	r      io.ReaderAt
	aead   cipher.AEAD
	base   int64 // where the chunks begin
	sealed int64 // how many bytes they take
	size   int64 // of the plaintext
	opened kmsmigrate.Opened
	// Each buffer remembers the chunk that it holds: small reads one after the other open a chunk once.
	buffers sync.Pool
}

type chunkBuffer struct {
	bytes     []byte
	number    int64 // -1 for none
	plaintext []byte
}

// NewReaderAt opens a stream of so many bytes for reads anywhere in it. It checks the last chunk, and thereby that none is
// missing. io.NewSectionReader makes an io.ReadSeeker of it.
func (e *Envelope) NewReaderAt(ctx context.Context, r io.ReaderAt, size int64, ec kmsmigrate.EncryptionContext) (*ReaderAt, error) {
	h, _, err := readHeader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, err
	}
	return e.readerAt(ctx, h, r, size, ec)
}

// NewDetachedReaderAt is NewReaderAt for a stream whose header was kept apart from it; size is that of the rest.
func (e *Envelope) NewDetachedReaderAt(ctx context.Context, header []byte, r io.ReaderAt, size int64, ec kmsmigrate.EncryptionContext) (*ReaderAt, error) {
	h, err := parseWholeHeader(header)
	if err != nil {
		return nil, err
	}
	h.size = 0
	return e.readerAt(ctx, h, r, size, ec)
}

func (e *Envelope) readerAt(ctx context.Context, h streamHeader, r io.ReaderAt, size int64, ec kmsmigrate.EncryptionContext) (*ReaderAt, error) {
	sealed := size - int64(h.size)
	chunks := (sealed + sealedChunk - 1) / sealedChunk
	if sealed < tagSize || chunks > maxChunks || sealed-(chunks-1)*sealedChunk < tagSize {
		return nil, tampered(streamName, h.size, "the last chunk is cut off")
	}
	aead, opened, err := e.openStream(ctx, h, ec)
	if err != nil {
		return nil, err
	}
	at := &ReaderAt{r: r, aead: aead, base: int64(h.size), sealed: sealed, size: sealed - chunks*tagSize, opened: opened}
	at.buffers.New = func() any { return &chunkBuffer{bytes: make([]byte, sealedChunk), number: -1} }
	buffer := make([]byte, sealedChunk)
	if _, err := at.chunk(uint64(chunks-1), buffer); err != nil {
		return nil, err
	}
	return at, nil
}

// Opened returns who unwrapped the data key, and whether Renew would move the stream; Plaintext is nil.
func (r *ReaderAt) Opened() kmsmigrate.Opened { return r.opened }

// Size returns how many bytes of plaintext the stream has.
func (r *ReaderAt) Size() int64 { return r.size }

// chunk reads and opens one chunk in buffer.
func (r *ReaderAt) chunk(number uint64, buffer []byte) ([]byte, error) {
	from := int64(number) * sealedChunk
	sealed := buffer[:min(sealedChunk, r.sealed-from)]
	if _, err := io.ReadFull(io.NewSectionReader(r.r, r.base+from, int64(len(sealed))), sealed); err != nil {
		return nil, fmt.Errorf("envelope: reading a stream at offset %d: %w", r.base+from, err)
	}
	var nonce [nonceSize]byte
	last := from+sealedChunk >= r.sealed
	plaintext, err := r.aead.Open(sealed[:0], chunkNonce(&nonce, number, last), sealed, nil)
	if err != nil {
		return nil, tampered(streamName, int(r.base+from), "chunk %d is not what was sealed there", number)
	}
	return plaintext, nil
}

// ReadAt implements io.ReaderAt. It opens the chunks that it needs, and returns bytes of checked chunks only.
func (r *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("envelope: a negative offset: %w", kmsmigrate.ErrInvalid)
	}
	b := r.buffers.Get().(*chunkBuffer) //nolint:forcetypeassert // New makes nothing else
	defer r.buffers.Put(b)
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		if number := off / ChunkSize; b.number != number {
			b.number = -1
			if b.plaintext, err = r.chunk(uint64(number), b.bytes); err != nil {
				return n, err
			}
			b.number = number
		}
		m := copy(p[n:], b.plaintext[off%ChunkSize:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}
