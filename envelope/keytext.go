package envelope

import (
	"bytes"
	"encoding/base64"
	"errors"
)

// decodeBase64 decodes standard base64 with padding, and nothing else: no line breaks, which Go's decoder skips, and no
// stray bits at the end, so that a text stands for its bytes in one way only.
func decodeBase64(text []byte) ([]byte, bool) {
	if len(text)%4 != 0 || bytes.ContainsAny(text, "\r\n") {
		return nil, false
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(out, text)
	if err != nil {
		return nil, false
	}
	return out[:n], true
}

// notBase64 returns the offset at which text stops being what decodeBase64 takes.
func notBase64(text []byte) int {
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return i
	}
	var corrupt base64.CorruptInputError
	if _, err := base64.StdEncoding.Strict().Decode(make([]byte, base64.StdEncoding.DecodedLen(len(text))), text); errors.As(err, &corrupt) {
		return min(int(corrupt), len(text))
	}
	return len(text)
}

// keyReadings returns the AES keys that an unwrapped value can mean. The KMS's own data keys are wrapped as base64 text, the
// instance SDK's as raw bytes, and 32 bytes can be a raw AES-256 key or the text of an AES-192 one. The payload's tag
// tells which it is. The readings are copies.
func keyReadings(value []byte) [][]byte {
	var readings [][]byte
	if isKeySize(len(value)) {
		readings = append(readings, bytes.Clone(value))
	}
	if decoded, ok := decodeBase64(value); ok && isKeySize(len(decoded)) {
		readings = append(readings, decoded)
	}
	return readings
}

func isKeySize(n int) bool { return n == 16 || n == 24 || n == 32 }
