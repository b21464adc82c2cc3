package kmsmigrate

import (
	"fmt"
	"log/slog"
	"maps"
)

// EncryptionContext is the set of names and values that a ciphertext is bound to: it must be the same at Decrypt as at
// Encrypt. Nil and empty both mean that there is none. The KMS takes up to 8,192 characters of it as JSON and keeps none
// of it in the ciphertext (API reference, Encrypt).
//
// Its values can be personal data, so printing one, or giving one to slog, shows only how many entries it has. Its JSON has
// them all, because that is how contexts are stored: do not log a structure as JSON that has one inside.
type EncryptionContext map[string]string

// Clone returns a copy that shares nothing with ec; nil for an empty one.
func (ec EncryptionContext) Clone() EncryptionContext {
	if len(ec) == 0 {
		return nil
	}
	return maps.Clone(ec)
}

// String returns how many entries ec has, and neither names nor values.
func (ec EncryptionContext) String() string {
	return fmt.Sprintf("EncryptionContext(%d)", len(ec))
}

// GoString returns what String returns, so that %#v does not leak either.
func (ec EncryptionContext) GoString() string { return ec.String() }

// LogValue returns what String returns.
func (ec EncryptionContext) LogValue() slog.Value { return slog.StringValue(ec.String()) }
