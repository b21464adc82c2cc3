package envelope

import "fmt"

// What a caller can branch on, with errors.Is. Errors of the KMS come through as package kmsmigrate made them. No error of
// this package holds a plaintext, a data key, a value of an encryption context, or any byte of a record. These have a
// method Reason() string, found with errors.As, by which package rekey counts what it could not renew.
var (
	// ErrFormat says that the bytes are not a record of any configured format: they were not written by it, or were cut
	// short or changed where lengths and versions stand. Its reason is "unknown format".
	ErrFormat error = &reasonError{"not a record of a known format", "unknown format"}
	// ErrTampered says that the record has its format and fails authentication: its payload, nonce, header or data key is
	// not what was sealed, or it was sealed under another encryption context. Its reason is "tampered".
	ErrTampered error = &reasonError{"the record fails authentication", "tampered"}
	// ErrReadOnly says that a Layout reads records and, for the reason in the message, does not write them.
	ErrReadOnly error = &reasonError{"the layout is not written", "the layout is not written"}
)

// reasonError is an error and the few words that it is counted under.
type reasonError struct{ text, reason string }

func (e *reasonError) Error() string  { return e.text }
func (e *reasonError) Reason() string { return e.reason }

// badFormat names an offset and what belongs there. It never shows what is there.
func badFormat(layout string, offset int, format string, args ...any) error {
	return fmt.Errorf("envelope: %s: offset %d: %s: %w", layout, offset, fmt.Sprintf(format, args...), ErrFormat)
}

// tampered names where the authenticated part begins.
func tampered(layout string, offset int, format string, args ...any) error {
	return fmt.Errorf("envelope: %s: offset %d: %s: %w", layout, offset, fmt.Sprintf(format, args...), ErrTampered)
}
