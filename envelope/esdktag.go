package envelope

import (
	"bytes"
	"cmp"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// esdkAlgorithm is one of the SDK's CryptoAlgorithms.
type esdkAlgorithm struct {
	cipher                   Cipher
	keySize, ivSize, tagSize int
	mode                     string
}

var esdkAlgorithms = map[int]esdkAlgorithm{
	1: {AES, 16, 12, 16, "gcm"}, 2: {AES, 32, 12, 16, "gcm"},
	3: {AES, 16, 16, 0, "cbc"}, 4: {AES, 32, 16, 0, "cbc"},
	5: {AES, 16, 16, 0, "cbc-pkcs5"}, 6: {AES, 32, 16, 0, "cbc-pkcs5"},
	7: {AES, 16, 16, 0, "ctr"}, 8: {AES, 32, 16, 0, "ctr"},
	9: {SM4, 16, 12, 16, "gcm"}, 10: {SM4, 16, 16, 0, "cbc"},
	11: {SM4, 16, 16, 0, "cbc-pkcs5"}, 12: {SM4, 16, 16, 0, "ctr"},
}

// esdkForm is how a release of the SDK encoded what the header's tag covers: with the message's version or without, and the
// context with its number of entries once more or without. The tag tells which it was.
type esdkForm struct{ version, count bool }

var esdkForms = []esdkForm{{true, true}, {true, false}, {false, true}, {false, false}}

// headerTag is the tag of an empty GCM payload under the data key.
func (a esdkAlgorithm) headerTag(key []byte, h esdkHeader, form esdkForm) ([]byte, error) {
	aead, err := a.cipher.newGCM(key)
	if err != nil {
		return nil, err
	}
	var b []byte
	if form.version {
		b = binary.BigEndian.AppendUint32(b, uint32(h.Version))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.Algorithm))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.Context)))
	b = append(b, h.contextBytes(form.count)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.Keys)))
	// A TreeSet ordered by ARN: of several keys with one ARN it holds the first.
	keys := slices.Clone(h.Keys)
	slices.SortStableFunc(keys, func(x, y esdkPair) int { return bytes.Compare(x.Name, y.Name) })
	keys = slices.CompactFunc(keys, func(x, y esdkPair) bool { return bytes.Equal(x.Name, y.Name) })
	for _, k := range keys {
		text := base64.StdEncoding.AppendEncode(nil, k.Value)
		b = binary.BigEndian.AppendUint32(b, uint32(len(k.Name)))
		b = append(b, k.Name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return aead.Seal(nil, h.IV, nil, b), nil
}

// contextBytes is the SDK's encoding of the context: names in the order of Java's strings, which is that of UTF-16.
func (h esdkHeader) contextBytes(count bool) []byte {
	pairs := slices.Clone(h.Context)
	slices.SortFunc(pairs, func(x, y esdkPair) int {
		return slices.CompareFunc(utf16.Encode([]rune(string(x.Name))), utf16.Encode([]rune(string(y.Name))), cmp.Compare[uint16])
	})
	var b []byte
	if count {
		b = binary.BigEndian.AppendUint32(b, uint32(len(pairs)))
	}
	for _, p := range pairs {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Name)))
		b = append(b, p.Name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Value)))
		b = append(b, p.Value...)
	}
	return b
}

// boundContexts returns what a payload may be bound to, the header's form first.
func (h esdkHeader) boundContexts(form esdkForm) [][]byte {
	return [][]byte{h.contextBytes(form.count), h.contextBytes(!form.count)}
}

// open opens a body under a data key that the header's tag has proved.
func (a esdkAlgorithm) open(key []byte, body esdkBody, bounds [][]byte) ([]byte, bool) {
	if a.mode == "gcm" {
		for _, bound := range bounds {
			if plaintext, ok := a.cipher.openUnder(key, body.IV, slices.Concat(body.Ciphertext, body.Tag), bound); ok {
				return plaintext, true
			}
		}
		return nil, false
	}
	block, err := a.cipher.newBlock(key)
	if err != nil {
		return nil, false
	}
	plaintext := make([]byte, len(body.Ciphertext))
	if a.mode == "ctr" {
		cipher.NewCTR(block, body.IV).XORKeyStream(plaintext, body.Ciphertext)
		return plaintext, true
	}
	if len(plaintext)%block.BlockSize() != 0 {
		return nil, false
	}
	cipher.NewCBCDecrypter(block, body.IV).CryptBlocks(plaintext, body.Ciphertext)
	if a.mode == "cbc" {
		return plaintext, true
	}
	return unpad(plaintext, block.BlockSize())
}

// unpad removes PKCS#5 padding.
func unpad(plaintext []byte, size int) ([]byte, bool) {
	if len(plaintext) == 0 {
		return nil, false
	}
	n := int(plaintext[len(plaintext)-1])
	if n == 0 || n > size {
		return nil, false
	}
	cut := len(plaintext) - n
	for _, c := range plaintext[cut:] {
		if int(c) != n {
			return nil, false
		}
	}
	return plaintext[:cut:cut], true
}
