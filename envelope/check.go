package envelope

import (
	"bytes"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Checker is a [Layout] that can tell whether an unwrapped value is the one that a record was sealed with, where its Open
// cannot: for a record of several values, or one whose payload is not at hand or of an algorithm that Open does not know.
type Checker interface {
	Layout
	// Check returns nil when value, the i-th of the record's Values, is right as far as the record tells, and an error that
	// wraps ErrTampered when it is not. It asks nobody, and neither keeps nor changes what it is given.
	Check(record []byte, i int, value []byte, ec kmsmigrate.EncryptionContext) error
}

// check tells whether an unwrapped value, by its number in the header, is its record's. A service can answer with what it
// said to somebody else. Wrapped anew, and put in the place of the right one, that would cost the record.
type check func(i int, value []byte) error

// checkOf returns how values of a record are checked, or nil where nothing in the record tells.
func checkOf(l headers, record []byte, h Header, ec kmsmigrate.EncryptionContext) (check, error) {
	switch l := l.(type) {
	case own:
		parsed, _, err := l.parse(record)
		if err != nil {
			return nil, err
		}
		return func(_ int, value []byte) error { return parsed.commitsTo(l.name, value) }, nil
	case Checker:
		return func(i int, value []byte) error { return named(l, l.Check(record, i, value, ec)) }, nil
	case Layout:
		if len(h.Values) > 1 {
			return nil, nil
		}
		return func(_ int, value []byte) error {
			plaintext, err := l.Open(record, [][]byte{value}, ec)
			clear(plaintext)
			return named(l, err)
		}, nil
	default:
		return nil, nil
	}
}

// ofKey has a check look at value i of the keys that unwrapping found.
func (c check) ofKey(i int) func(*openingKey) error {
	if c == nil {
		return nil
	}
	return func(k *openingKey) error { return c(i, k.value) }
}

// commitsTo returns nil for the unwrapped value that the header's commitment was derived from.
func (h *header) commitsTo(name string, value []byte) error {
	dataKey, ok := decodeDataKey(value)
	if !ok {
		return tampered(name, copiesAt, "the wrapped copy holds no data key of this format, 44 characters of base64")
	}
	defer clear(dataKey)
	_, commitment, err := h.suite.derive(dataKey)
	if err != nil {
		return fmt.Errorf("envelope: %s: %w", h.suite, err)
	}
	if !bytes.Equal(commitment[:], h.commitment) {
		return tampered(name, len(magic)+2, "the data key is not the one that is committed to")
	}
	return nil
}

func named(l Layout, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("envelope: %s: %w", l.Name(), err)
}
