package envelope

import (
	"context"
	"crypto/cipher"
	"fmt"
	"sync/atomic"

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

// openingKey is an unwrapped data key and who unwrapped it.
type openingKey struct {
	refs
	purpose byte
	suite   Suite
	proven  atomic.Bool // it has opened a record, or is what one commits to
	wrapped string
	context []contextEntry

	phase kmsmigrate.Phase // the one that it was unwrapped in
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

// serves reports whether k may be used in a phase. What was unwrapped in NewOnly may have come through the Client's ledger, and
// would make a record of the old side look new in another.
func (k *openingKey) serves(p kmsmigrate.Phase) bool {
	return p.Reads(k.side) && (k.phase != kmsmigrate.NewOnly || p == kmsmigrate.NewOnly)
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
	fresh, err := e.newDataKey(ctx, p, dataKeySize, ec, true)
	if err != nil {
		return nil, err
	}
	defer fresh.wipe()
	k := &sealingKey{phase: p}
	k.retain(1)
	aead, commitment, err := e.suite.derive(fresh.raw)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.suite, err)
	}
	k.aead = aead
	k.bound = e.suite.bind(magic, commitment[:], ec)
	k.prefix, err = appendCopies(appendFixed(make([]byte, 0, 256), magic, e.suite, commitment[:]), fresh.copies)
	return k, err
}

// newLayoutKey makes values for a record of layout and has the KMS wrap them.
func (e *Envelope) newLayoutKey(ctx context.Context, p kmsmigrate.Phase, plaintext []byte, ec kmsmigrate.EncryptionContext) (*sealingKey, error) {
	kc, err := e.layout.Context(nil, ec)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.layout.Name(), err)
	}
	if e.generate {
		fresh, err := e.newDataKey(ctx, p, e.keySize, kc, holdsCopies(e.layout))
		if err != nil {
			return nil, err
		}
		clear(fresh.raw)
		k := newLayoutKey(p, [][]byte{fresh.text})
		k.layout.Wrapped = [][]Wrapped{e.wrappedBy(fresh.copies...)}
		return k, nil
	}
	values, err := e.layout.NewValues(plaintext)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", e.layout.Name(), err)
	}
	k := newLayoutKey(p, values)
	for _, value := range values {
		copies, err := e.wrap(ctx, p, value, kc, holdsCopies(e.layout))
		if err != nil {
			k.release()
			return nil, err
		}
		k.layout.Wrapped = append(k.layout.Wrapped, e.wrappedBy(copies...))
	}
	return k, nil
}

// newLayoutKey returns a sealingKey of values, which are overwritten when its last user is done.
func newLayoutKey(p kmsmigrate.Phase, values [][]byte) *sealingKey {
	k := &sealingKey{phase: p, layout: Sealing{Values: values}}
	k.retain(1)
	k.wipe = func() {
		for _, value := range values {
			clear(value)
		}
	}
	return k
}

// dataKeySizeOf returns how many bytes the data key of a layout has whose records need one value, the base64 text of a data
// key: the KMS makes such. It is 0 for other layouts. A layout that has the KMS encrypt the plaintext itself is told by its value.
func dataKeySizeOf(l Layout) int {
	values, err := l.NewValues([]byte{0})
	if err != nil || len(values) != 1 {
		return 0
	}
	defer clear(values[0])
	raw, ok := decodeBase64(values[0])
	defer clear(raw)
	if !ok || !isKeySize(len(raw)) {
		return 0
	}
	return len(raw)
}
