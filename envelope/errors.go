package envelope

import (
	"errors"
	"fmt"
)

// What a caller can branch on, with errors.Is. Errors of the KMS come through as package kmsmigrate made them. No error of
// this package holds a plaintext, a data key, a value of an encryption context, or any byte of a record.
var (
	// ErrFormat says that the bytes are not a record of any configured format: they were not written by it, or were cut
	// short or changed where lengths and versions stand.
	ErrFormat = errors.New("not a record of a known format")
	// ErrTampered says that the record has its format and fails authentication: its payload, nonce, header or data key is
	// not what was sealed, or it was sealed under another encryption context.
	ErrTampered = errors.New("the record fails authentication")
	// ErrReadOnly says that a Layout reads records and, for the reason in the message, does not write them.
	ErrReadOnly = errors.New("the layout is not written")
)

// badFormat names an offset and what belongs there. It never shows what is there.
func badFormat(layout string, offset int, format string, args ...any) error {
	return fmt.Errorf("envelope: %s: offset %d: %s: %w", layout, offset, fmt.Sprintf(format, args...), ErrFormat)
}

// tampered names where the authenticated part begins.
func tampered(layout string, offset int, format string, args ...any) error {
	return fmt.Errorf("envelope: %s: offset %d: %s: %w", layout, offset, fmt.Sprintf(format, args...), ErrTampered)
}
