package kmsmigrate

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Sizes of a ciphertext as the KMS OpenAPI returns it, in bytes (facts seen in the official transfer SDK's constants:
// EktIdLength 36, GcmIvLength 12).
const (
	VersionIDSize = 36                                  // id of the key version, ASCII
	BlobOverhead  = VersionIDSize + blobNonce + blobTag // what a blob has over its plaintext: 64
	blobNonce     = 12
	blobTag       = 16
)

// DecodeBlob turns the CiphertextBlob string of an SDK's answer, which is what applications store, into the raw
// ciphertext that a Key takes. White space around it is ignored. It fails with [ErrInvalid] when the string is not standard
// base64.
func DecodeBlob(blob string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(blob))
	if err != nil {
		// The decoder's own error names an offset and no content; it says no more than this does.
		return nil, fmt.Errorf("kmsmigrate: a CiphertextBlob of %d characters is not standard base64: %w", len(blob), ErrInvalid)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("kmsmigrate: an empty CiphertextBlob: %w", ErrInvalid)
	}
	return raw, nil
}

// EncodeBlob turns raw ciphertext into the CiphertextBlob string that the SDKs take and return.
func EncodeBlob(ciphertext []byte) string { return base64.StdEncoding.EncodeToString(ciphertext) }

// BlobVersion returns the id of the key version that a raw ciphertext starts with, and whether it has the shape of one: a
// UUID for keys of KMS 1.0, "key-" and 32 more characters for keys of KMS 3.0. The id is not authenticated: it is good
// for choosing whom to ask, and proves nothing.
func BlobVersion(ciphertext []byte) (string, bool) {
	if len(ciphertext) < BlobOverhead {
		return "", false
	}
	id := ciphertext[:VersionIDSize]
	if !isVersionID(id) {
		return "", false
	}
	return string(id), true
}

// KeyOfVersion returns the key id that a KMS 3.0 version id begins with: "key-hzz…-17kedv…" is the key's id, a dash and
// ten characters. For any other id, UUIDs included, there is none to be had, and ok is false.
func KeyOfVersion(versionID string) (keyID string, ok bool) {
	const tail = 11
	if len(versionID) != VersionIDSize || !strings.HasPrefix(versionID, "key-") || versionID[VersionIDSize-tail] != '-' {
		return "", false
	}
	return versionID[:VersionIDSize-tail], true
}

// isVersionID tells the two shapes of version ids. Both are 36 bytes, so the length says nothing.
func isVersionID(id []byte) bool {
	if string(id[:4]) == "key-" {
		for _, c := range id[4:] {
			if !isAlnum(c) && c != '-' {
				return false
			}
		}
		return true
	}
	for i, c := range id {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isHex(c) {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// looksEncoded tells a CiphertextBlob string that was handed over without decoding it: 48 characters of base64 that hold
// a version id.
func looksEncoded(ciphertext []byte) bool {
	const chars = VersionIDSize / 3 * 4
	if len(ciphertext) < chars {
		return false
	}
	var id [VersionIDSize]byte
	n, err := base64.StdEncoding.Decode(id[:], ciphertext[:chars])
	return err == nil && n == VersionIDSize && isVersionID(id[:])
}
