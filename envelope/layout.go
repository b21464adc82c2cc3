package envelope

import "github.com/keyhaul/keyhaul/kmsmigrate"

// Layout is a format of records that people already have: where the wrapped data keys stand, and how the payload is sealed.
// An Envelope does the rest: it asks the KMS, caches, and renews. A Layout does no I/O, holds no state that changes, and is
// safe for concurrent use. Package envelopetest has TestLayout, which checks one.
//
// Wrapped values at this boundary are raw bytes as kmsmigrate.Key has them, whatever the record encodes them in. A Layout
// neither keeps nor changes the slices it is given. What it returns may be part of the record it was given, except
// from Open, Seal and Rewrap, whose results belong to the caller.
type Layout interface {
	// Name returns a short name for errors, counts and configuration: "three-line".
	Name() string

	// Parse finds the wrapped values of a record, and touches nothing else. It is strict: a record of another format must
	// fail, with ErrFormat, because that is how formats are told apart.
	Parse(record []byte) (Header, error)

	// Open returns the plaintext of a record, given the unwrapped plaintext of each of its Values and the caller's
	// encryption context. It fails with ErrTampered when the record does not authenticate under them. Renew tells by it,
	// where there is one value and the layout is no [Checker], that the old key gave back the right one.
	Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error)

	// Rewrap returns the record with other wrapped copies and, byte for byte, the same payload.
	Rewrap(record []byte, r Rewrap) ([]byte, error)

	// Context returns the encryption context that the values of a record are wrapped under: the caller's, none, or what the
	// record itself says, as the format has it. For a record that is yet to be sealed, record is nil.
	Context(record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error)

	// NewValues returns fresh values for a record that is to hold plaintext, in the form in which the KMS is to wrap them:
	// a random data key, as base64 text or raw. A layout without a data key returns a copy of the plaintext. A layout that
	// only reads returns ErrReadOnly. The values are overwritten when they are no longer needed.
	NewValues(plaintext []byte) ([][]byte, error)

	// Seal returns a record that holds plaintext, sealed with values that NewValues made.
	Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error)
}

// Sharer is a [Layout] that can seal many records with the same values, because each draws a random nonce of 96 bits. For a
// Layout that is none, or whose SharesValues returns false, every record gets values of its own.
type Sharer interface {
	Layout
	SharesValues() bool
}

// MultiCopier is a [Layout] whose records have room for several wrapped copies of a value.
type MultiCopier interface {
	Layout
	HoldsCopies() bool
}

// Header is what [Layout.Parse] found in front of a payload.
type Header struct {
	// Values are the wrapped values that are needed to open the record: its data key. OSS objects have two, key and IV.
	Values []Value
	// Direct says that there is no data key: the value is the plaintext. Such values are never cached.
	Direct bool
	// NeedsPlain says that Rewrap needs the unwrapped values, for a tag over the header, say.
	NeedsPlain bool
}

// Value is one wrapped value.
type Value struct {
	// Copies are ciphertexts of the value, of one key each. Any of them is enough.
	Copies [][]byte
}

// Wrapped is one wrapped copy of a value and the key that wrapped it, as far as known.
type Wrapped struct {
	Ciphertext []byte
	Key        kmsmigrate.KeyRef
}

// Rewrap is what [Layout.Rewrap] puts into a record.
type Rewrap struct {
	// Values has, for each Value of the Header and in its order, the copies that the record is to hold. Copies that stay
	// are equal to those that Parse returned. At least one; as many as before, or fewer or more where the format can.
	Values [][]Wrapped
	// Plain has the unwrapped plaintext of each value where the Header said NeedsPlain, else it is nil.
	Plain [][]byte
}

// Sealing is what [Layout.Seal] seals with.
type Sealing struct {
	Values  [][]byte    // what NewValues made
	Wrapped [][]Wrapped // the wrapped copies of each, one or more
}

// headers is the part of a Layout that renewal and inspection need.
type headers interface {
	Name() string
	Parse(record []byte) (Header, error)
	Context(record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error)
	Rewrap(record []byte, r Rewrap) ([]byte, error)
}
