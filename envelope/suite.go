package envelope

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Suite is the algorithm that seals payloads of the own format.
type Suite uint8

// The suites. The numbers stand in records.
const (
	AES256GCM Suite = 1 // AES-256-GCM; what a zero Config.Suite means
	SM4GCM    Suite = 2 // SM4-GCM (GB/T 32907), where Chinese rules ask for it
)

// String returns "AES-256-GCM" or "SM4-GCM".
func (s Suite) String() string {
	switch s {
	case AES256GCM:
		return "AES-256-GCM"
	case SM4GCM:
		return "SM4-GCM"
	default:
		return fmt.Sprintf("suite(%d)", uint8(s))
	}
}

func (s Suite) valid() bool { return s == AES256GCM || s == SM4GCM }

// Sizes that all suites share, in bytes.
const (
	dataKeySize    = 32
	commitmentSize = 32
	nonceSize      = 12
	tagSize        = 16
)

// derive makes of a data key what seals a payload, and the commitment that tells this data key from any other. GCM alone
// does not: one ciphertext can be made that opens under two keys. Both come from HKDF, so that neither tells of the other.
func (s Suite) derive(dataKey []byte) (aead cipher.AEAD, commitment [commitmentSize]byte, err error) {
	pseudorandom := extract(dataKey)
	defer clear(pseudorandom[:])
	key := expand(&pseudorandom, "payload", byte(s))
	defer clear(key[:])
	aead, err = s.cipher().newGCM(key[:s.keySize()])
	return aead, expand(&pseudorandom, "commitment", byte(s)), err
}

// deriveStream is derive for one stream, whose key depends on its salt, header and context. Its chunks need no additional
// data, therefore.
func (s Suite) deriveStream(dataKey, salt, bound []byte) (aead cipher.AEAD, commitment [commitmentSize]byte, err error) {
	pseudorandom := extract(dataKey)
	defer clear(pseudorandom[:])
	key, err := hkdf.Expand(sha256.New, pseudorandom[:], "stream"+string(rune(s))+string(salt)+string(bound), s.keySize())
	if err != nil {
		return nil, commitment, err
	}
	defer clear(key)
	aead, err = s.cipher().newGCM(key)
	return aead, expand(&pseudorandom, "commitment", byte(s)), err
}

// extractSalt is HKDF's salt for everything of format version 1.
const extractSalt = "keyhaul envelope v1"

// extract is HKDF-Extract. It and expand are crypto/hkdf for short inputs, and allocate nothing: with a fresh data key for each
// record the 27 allocations of crypto/hkdf took longer than everything else together. A test compares the two.
func extract(dataKey []byte) [sha256.Size]byte {
	return hmacShort([]byte(extractSalt), dataKey)
}

// expand is HKDF-Expand of one block.
func expand(pseudorandom *[sha256.Size]byte, purpose string, suite byte) [sha256.Size]byte {
	var info [sha256.BlockSize]byte
	n := copy(info[:], purpose)
	info[n], info[n+1] = suite, 1
	return hmacShort(pseudorandom[:], info[:n+2])
}

// hmacShort is HMAC-SHA-256 (RFC 2104) with a key and of a message of one block each at most, 64 bytes.
func hmacShort(key, message []byte) [sha256.Size]byte {
	var inner, outer [2 * sha256.BlockSize]byte
	defer clear(inner[:])
	defer clear(outer[:])
	n := sha256.BlockSize + copy(inner[sha256.BlockSize:], message)
	copy(inner[:], key)
	copy(outer[:], key)
	subtle.XORBytes(inner[:sha256.BlockSize], inner[:sha256.BlockSize], innerPad[:])
	subtle.XORBytes(outer[:sha256.BlockSize], outer[:sha256.BlockSize], outerPad[:])
	digest := sha256.Sum256(inner[:n])
	n = sha256.BlockSize + copy(outer[sha256.BlockSize:], digest[:])
	return sha256.Sum256(outer[:n])
}

var (
	innerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x36}, sha256.BlockSize))
	outerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x5c}, sha256.BlockSize))
)

func (s Suite) cipher() Cipher {
	if s == SM4GCM {
		return SM4
	}
	return AES
}

func (s Suite) keySize() int { return s.cipher().keySize() }

// bind returns what a payload is bound to besides its key: the header up to the wrapped copies, which must stay
// replaceable, and the encryption context.
func (s Suite) bind(magic string, commitment []byte, ec kmsmigrate.EncryptionContext) []byte {
	return appendContext(appendFixed(make([]byte, 0, fixedSize+64), magic, s, commitment), ec)
}

// encodeDataKey returns what the KMS is given to wrap: the base64 text of the data key, 44 characters. The gateway sends
// plaintext as a string and refuses what is not UTF-8, and the KMS's own data keys are wrapped so.
func encodeDataKey(dataKey []byte) []byte {
	text := make([]byte, base64.StdEncoding.EncodedLen(len(dataKey)))
	base64.StdEncoding.Encode(text, dataKey)
	return text
}

// decodeDataKey is the reverse. It takes nothing else, so that a wrapped value of another purpose is never used as a key.
func decodeDataKey(text []byte) ([]byte, bool) {
	if len(text) != base64.StdEncoding.EncodedLen(dataKeySize) {
		return nil, false
	}
	dataKey := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(dataKey, text)
	if err != nil || n != dataKeySize {
		clear(dataKey)
		return nil, false
	}
	return dataKey[:n], true
}
