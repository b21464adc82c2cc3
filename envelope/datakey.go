package envelope

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// What cache entries are for. The byte stands first in their identity.
const (
	forOpening = iota
	forLayoutOpening
	forSealing
	forRenewal
	forTable
	forMoving
)

// identify appends an identity: its purpose, a number (suite or phase), the encryption context and the wrapped bytes. The
// context's encoding ends by itself, so the four cannot run into each other.
func identify(dst []byte, purpose, number byte, ec kmsmigrate.EncryptionContext, wrapped []byte) []byte {
	dst = appendContext(append(dst, purpose, number), ec)
	return append(dst, wrapped...)
}

// group hashes a wrapped data key for kmsmigrate.Copy.
func group(wrapped []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("keyhaul wrapped data key\x00"))
	h.Write(wrapped)
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// openingKey is an unwrapped data key and who unwrapped it.
type openingKey struct {
	refs
	purpose byte
	suite   Suite
	proven  atomic.Bool // it has opened a record, or is what one commits to
	wrapped string
	context []contextEntry

	side  kmsmigrate.Side
	ref   kmsmigrate.KeyRef
	count *opens

	// For the own format: no byte of the data key is kept, only what was derived from it.
	aead       cipher.AEAD
	commitment [commitmentSize]byte
	bound      []byte

	// For layouts: the unwrapped value, overwritten when the last user is done.
	value []byte
}

// is reports whether k is the data key of these wrapped bytes and this context. What can be compared without walking over
// the map is, because that is a good part of what opening a short record costs.
func (k *openingKey) is(purpose byte, s Suite, wrapped []byte, ec kmsmigrate.EncryptionContext) bool {
	return k.purpose == purpose && k.suite == s && k.wrapped == string(wrapped) && sameContext(k.context, ec)
}

// prove marks k as right.
func (k *openingKey) prove() {
	if !k.proven.Load() { // many read it at once
		k.proven.Store(true)
	}
}

// sealingKey is a fresh data key and its wrapped copies.
type sealingKey struct {
	refs
	id       identity
	context  []contextEntry
	phase    kmsmigrate.Phase // the one it was wrapped in
	messages atomic.Int64
	bytes    atomic.Int64

	aead   cipher.AEAD
	prefix []byte // the header, up to the nonce
	bound  []byte

	layout Sealing
}

// is reports whether k was made for this phase and this context.
func (k *sealingKey) is(p kmsmigrate.Phase, ec kmsmigrate.EncryptionContext) bool {
	return k.phase == p && sameContext(k.context, ec)
}

// take counts a message of n bytes and reports whether the data key may still seal it. The first message of a key is
// always sealed, however long it is.
func (k *sealingKey) take(n int, maxMessages, maxBytes int64) bool {
	m := k.messages.Add(1)
	b := k.bytes.Add(int64(n))
	return m == 1 || m <= maxMessages && b <= maxBytes
}

// newSealingKey makes a data key for the own format and has the KMS wrap it.
func (e *Envelope) newSealingKey(ctx context.Context, p kmsmigrate.Phase, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	dataKey := make([]byte, dataKeySize)
	rand.Read(dataKey)
	defer clear(dataKey)
	k := &sealingKey{phase: p}
	k.retain(1)
	aead, commitment, err := e.suite.derive(dataKey)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.suite, err)
	}
	text := encodeDataKey(dataKey)
	defer clear(text)
	wrapped, err := e.wrap(ctx, p, text, ec, true)
	if err != nil {
		return nil, err
	}
	copies := make([][]byte, len(wrapped))
	for i, w := range wrapped {
		copies[i] = w.Ciphertext
	}
	k.aead = aead
	k.bound = e.suite.bind(magic, commitment[:], ec)
	k.prefix, err = appendCopies(appendFixed(nil, magic, e.suite, commitment[:]), copies)
	return k, err
}

// newLayoutKey makes values for a record of layout and has the KMS wrap them.
func (e *Envelope) newLayoutKey(ctx context.Context, p kmsmigrate.Phase, plaintext []byte, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	values, err := e.layout.NewValues(plaintext)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.layout.Name(), err)
	}
	k := &sealingKey{phase: p}
	k.retain(1)
	k.layout.Values = values
	k.wipe = func() {
		for _, value := range values {
			clear(value)
		}
	}
	kc, err := e.layout.Context(nil, ec)
	if err != nil {
		k.release()
		return nil, fmt.Errorf("envelope: %s: %w", e.layout.Name(), err)
	}
	for _, value := range values {
		wrapped, err := e.wrap(ctx, p, value, kc, holdsCopies(e.layout))
		if err != nil {
			k.release()
			return nil, err
		}
		k.layout.Wrapped = append(k.layout.Wrapped, wrapped)
	}
	return k, nil
}

// secondTimeout is how long WrapBoth waits for the side that the phase does not write with, from when both are asked.
const secondTimeout = 500 * time.Millisecond

// wrap has the KMS encrypt one value with the key that phase p writes with and, with both, with that of the other side.
func (e *Envelope) wrap(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext, both bool) ([]Wrapped, error) {
	other, ok := e.otherSide(p)
	if !both || !ok {
		first, err := e.wrapIn(ctx, p, value, ec)
		if err != nil {
			return nil, err
		}
		return []Wrapped{first}, nil
	}
	bounded, cancel := context.WithTimeout(ctx, secondTimeout)
	defer cancel()
	answer := make(chan Wrapped, 1)
	// A Key that does not heed its context may go on after this has returned, with things of its own.
	value2, ec2 := bytes.Clone(value), ec.Clone()
	go func() {
		defer clear(value2)
		if second, err := e.wrapProven(bounded, other, value2, ec2); err == nil {
			answer <- second
		} else {
			cancel()
		}
	}()
	first, err := e.wrapIn(ctx, p, value, ec)
	if err != nil {
		return nil, err
	}
	select {
	case second := <-answer:
		return []Wrapped{first, second}, nil
	case <-bounded.Done():
	}
	select {
	case second := <-answer: // both were there
		return []Wrapped{first, second}, nil
	default:
	}
	// The second copy is there for availability, and must not cost any.
	e.counts.single.Add(1)
	return []Wrapped{first}, nil
}

// wrapProven has the side that phase p writes with encrypt a value, and decrypt it again: a record with a copy of the new side
// counts as new, so that nobody would look at this copy before it is the only one.
func (e *Envelope) wrapProven(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext) (Wrapped, error) {
	w, err := e.wrapIn(ctx, p, value, ec)
	if err != nil {
		return w, err
	}
	return w, e.proves(ctx, p, w, value, ec)
}

// otherSide returns a phase that writes with the side that p does not write with, where WrapBoth asks for it.
func (e *Envelope) otherSide(p kmsmigrate.Phase) (kmsmigrate.Phase, bool) {
	if !e.wrapBoth || p == kmsmigrate.OldOnly || p == kmsmigrate.NewOnly {
		return 0, false
	}
	if p.Writes() == kmsmigrate.SideOld {
		return kmsmigrate.WriteNew, true
	}
	return kmsmigrate.ReadBoth, true
}

func (e *Envelope) wrapIn(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext) (Wrapped, error) {
	client, err := e.keys.At(p)
	if err != nil {
		return Wrapped{}, err
	}
	ciphertext, err := client.Encrypt(ctx, value, ec)
	if err != nil {
		return Wrapped{}, err
	}
	return e.wrappedBy(ciphertext), nil
}

// wrappedBy adds what is known of the key to a wrapped copy.
func (e *Envelope) wrappedBy(ciphertext []byte) Wrapped {
	w := Wrapped{Ciphertext: ciphertext}
	if info, err := e.keys.Inspect(ciphertext); err == nil {
		w.Key = info.Copies[0].Key
	}
	return w
}
