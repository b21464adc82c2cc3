package alikms

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// maxContext is the most characters of JSON that the service takes as EncryptionContext (API reference, Encrypt).
const maxContext = 8192

// contextJSON returns the EncryptionContext parameter of the OpenAPI: a JSON object of strings, or "" for none. The
// service gives {} a meaning of its own, so an empty context must not be sent.
func contextJSON(ec kmsmigrate.EncryptionContext) (string, error) {
	if err := checkContext(ec); err != nil || len(ec) == 0 {
		return "", err
	}
	text, err := json.Marshal(map[string]string(ec))
	if err != nil {
		return "", fmt.Errorf("the encryption context cannot be written as JSON: %w", kmsmigrate.ErrInvalid)
	}
	if utf8.RuneCount(text) > maxContext {
		return "", fmt.Errorf("the encryption context is longer than %d characters of JSON: %w", maxContext, kmsmigrate.ErrInvalid)
	}
	return string(text), nil
}

// contextAAD returns the additional data that the instance API takes in place of a context, nil for none: SHA-256 over
// "name=value" pairs, sorted by name and joined by &, without escaping. That is what the shared gateway makes of a context
// and what the official transfer SDKs send (transfer SDK, EncodeUserEncryptionContext).
func contextAAD(ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if err := checkContext(ec); err != nil || len(ec) == 0 {
		return nil, err
	}
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(ec)) {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + ec[name])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return sum[:], nil
}

// checkContext refuses what JSON would change on the way: then the two faces would disagree about the same context.
func checkContext(ec kmsmigrate.EncryptionContext) error {
	for name, value := range ec {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return fmt.Errorf("a name or value of the encryption context is not UTF-8: %w", kmsmigrate.ErrInvalid)
		}
	}
	return nil
}
