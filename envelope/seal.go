package envelope

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Seal encrypts plaintext, which may be empty, into a record that opens under an equal ec only. The data key is wrapped by
// the key that the phase writes with, under ec too. Errors are those of kmsmigrate's Client.Encrypt.
func (e *Envelope) Seal(ctx context.Context, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	return e.AppendSeal(ctx, nil, plaintext, ec)
}

// AppendSeal is Seal for who seals much: it appends the record to dst and returns the longer slice, so that one buffer can serve
// again and again. In the own format it allocates nothing where dst has room, which is a quarter or more of the time that sealing 4 KiB takes.
// Where plaintext stands in dst's room, as in AppendSeal(ctx, buf[:0], buf, ec), it is read before it is written over, at the cost of a buffer. With an
// error dst is as it was.
func (e *Envelope) AppendSeal(ctx context.Context, dst, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	p, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	k, err := e.sealingKey(ctx, p, plaintext, ec)
	if err != nil {
		return nil, err
	}
	defer k.release()
	e.counts.sealed.Add(1)
	if e.table != nil {
		return k.seal(dst, plaintext, e.suite.bind(magic, k.prefix[6:fixedSize], ec)), nil
	}
	if e.layout == nil {
		return k.seal(dst, plaintext, k.bound), nil
	}
	record, err := e.layout.Seal(plaintext, k.layout, ec)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.layout.Name(), err)
	}
	if dst == nil {
		return record, nil
	}
	return append(dst, record...), nil
}

// seal appends a record of the own format: the header, a nonce, the payload.
func (k *sealingKey) seal(dst, plaintext, bound []byte) []byte {
	size := len(k.prefix) + nonceSize + len(plaintext) + tagSize
	if overlap(dst, plaintext) { // the header would be written over what is to be sealed
		return append(dst, k.seal(nil, plaintext, bound)...)
	}
	if dst == nil {
		dst = make([]byte, 0, size)
	}
	record := append(slices.Grow(dst, size), k.prefix...)
	nonce := record[len(record) : len(record)+nonceSize]
	rand.Read(nonce)
	return k.aead.Seal(record[:len(record)+nonceSize], nonce, plaintext, bound)
}

// sealingKey returns a data key that may seal plaintext, retained for the caller.
func (e *Envelope) sealingKey(ctx context.Context, p kmsmigrate.Phase, plaintext []byte, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	if e.table != nil {
		ec = e.tableContext
	}
	if e.fresh || !e.shares() {
		return e.newKey(ctx, p, plaintext, ec)
	}
	if k, ok := e.sealing.latest(); ok && k.is(p, ec) && k.tryRetain() {
		if k.take(len(plaintext), e.maxMessages, e.maxBytes) {
			return k, nil
		}
		k.release()
	}
	var stack [256]byte
	id := identify(stack[:0], forSealing, byte(p), ec, nil)
	hash := maphash.Bytes(e.seed, id)
	if k, ok := e.sealing.get(hash); ok && string(k.id) == string(id) && k.tryRetain() {
		if k.take(len(plaintext), e.maxMessages, e.maxBytes) {
			return k, nil
		}
		k.release()
		e.sealing.drop(hash, k)
	}
	return e.awaitSealingKey(ctx, p, identity(id), hash, len(plaintext), ec.Clone())
}

// awaitSealingKey is sealingKey for a data key that is not in memory, or is used up. What its function values hold lives on
// the heap, which is why it is a function of its own.
func (e *Envelope) awaitSealingKey(ctx context.Context, p kmsmigrate.Phase, kept identity, hash uint64, n int, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	for {
		is := func(k *sealingKey) bool { return k.id == kept }
		k, err := e.sealing.acquire(ctx, hash, kept, p, is, func(ctx context.Context) (*sealingKey, error) {
			k, err := e.newKey(ctx, p, nil, ec)
			if err == nil {
				k.id, k.context = kept, contextEntries(ec)
			}
			return k, err
		})
		if err != nil {
			return nil, err
		}
		if k.take(n, e.maxMessages, e.maxBytes) {
			return k, nil
		}
		// Others who waited for the same key have used it up. There is progress: each key seals at least one record.
		k.release()
		e.sealing.drop(hash, k)
	}
}

// newKey makes a data key for what Seal writes.
func (e *Envelope) newKey(ctx context.Context, p kmsmigrate.Phase, plaintext []byte, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	e.counts.dataKeys.Add(1)
	if e.table != nil {
		return e.newTableKey(ctx, p)
	}
	if e.layout == nil {
		return e.newSealingKey(ctx, p, ec)
	}
	return e.newLayoutKey(ctx, p, plaintext, ec)
}

// shares tells whether data keys of what Seal writes may seal more than one record.
func (e *Envelope) shares() bool {
	if e.layout == nil {
		return true
	}
	s, ok := e.layout.(Sharer)
	return ok && s.SharesValues()
}

// begin reads the phase, once for the operation, and forgets what a new phase does not allow.
func (e *Envelope) begin(ctx context.Context) (kmsmigrate.Phase, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("envelope: %w", err)
	}
	p := e.keys.Phase()
	if !p.Valid() {
		return 0, fmt.Errorf("envelope: %s is none of the five phases: %w", p, kmsmigrate.ErrPhase)
	}
	if e.phase.Load() != uint32(p) && e.phase.Swap(uint32(p)) != uint32(p) {
		e.opening.dropIf(func(k *openingKey) bool { return !k.serves(p) })
		e.sealing.dropIf(func(k *sealingKey) bool { return k.phase != p })
	}
	return p, nil
}
