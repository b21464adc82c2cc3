package model

import (
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// VersionIDSize is the length in bytes of every key version id, and so of a blob's prefix.
const VersionIDSize = 36

// minBlob is the shortest blob that can hold anything: version id, IV, tag.
const minBlob = VersionIDSize + material.NonceSize + material.TagSize

// advanceHeader begins what Advance* of an instance returns: '$', cipher version 0 and padding 0, algorithm 2 (AES_GCM).
// What follows is laid out exactly as an OpenAPI blob.
const advanceHeader = "$\x00\x02"

// Sealed is one symmetric ciphertext and what is needed to open it.
type Sealed struct {
	KeyID     string
	VersionID string
	IV        []byte // 12 bytes under GCM
	Data      []byte // ct‖tag under GCM
}

// Blob is the OpenAPI form: version id ‖ IV ‖ ct ‖ tag.
func (s Sealed) Blob() []byte {
	out := make([]byte, 0, VersionIDSize+len(s.IV)+len(s.Data))
	out = append(out, s.VersionID...)
	out = append(out, s.IV...)
	return append(out, s.Data...)
}

// Advance is the self-contained form of AdvanceEncrypt and AdvanceGenerateDataKey: three bytes, then Blob.
func (s Sealed) Advance() []byte { return append([]byte(advanceHeader), s.Blob()...) }

// ParseBlob takes the OpenAPI form apart without copying. It reports false when the blob is too short to be one.
func ParseBlob(blob []byte) (Sealed, bool) {
	if len(blob) < minBlob {
		return Sealed{}, false
	}
	const iv = VersionIDSize + material.NonceSize
	return Sealed{VersionID: string(blob[:VersionIDSize]), IV: blob[VersionIDSize:iv], Data: blob[iv:]}, true
}

// ParseAdvance takes the self-contained form apart. It reports false for anything else.
func ParseAdvance(blob []byte) (Sealed, bool) {
	if len(blob) < len(advanceHeader) || string(blob[:len(advanceHeader)]) != advanceHeader {
		return Sealed{}, false
	}
	return ParseBlob(blob[len(advanceHeader):])
}
