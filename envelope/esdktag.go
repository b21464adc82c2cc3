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

// esdkForm is how releases of the SDK encode what the header's tag and the payload cover. The tag tells which it was.
type esdkForm struct {
	// version says that the header's tag covers the version of the message.
	version bool
	// count says that the number of entries stands before an encryption context of none, too.
	count bool
	// utf16 says that names of the context are in the order of Java's strings, not of their UTF-8.
	utf16 bool
}

// The releases for Java from 1.0.7 on and all for Python, then those for Java before.
var esdkForms = []esdkForm{{version: true}, {count: true, utf16: true}}

// headerTag is the tag of an empty GCM payload under the data key.
func (a esdkAlgorithm) headerTag(key []byte, h esdkHeader, form esdkForm) ([]byte, error) {
	block, err := a.cipher.newBlock(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithNonceSize(block, len(h.iv))
	if err != nil {
		return nil, err
	}
	var b []byte
	if form.version {
		b = binary.BigEndian.AppendUint32(b, uint32(h.version))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.algorithm))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.context)))
	b = append(b, h.contextBytes(form)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.keys)))
	for _, k := range slices.CompactFunc(h.sortedKeys(), func(x, y esdkPair) bool { return bytes.Equal(x.name, y.name) }) {
		b = k.appendText(b)
	}
	return aead.Seal(nil, h.iv, nil, b), nil
}

// sortedKeys returns the wrapped data keys as the SDK's TreeSet has them, ordered by ARN.
func (h esdkHeader) sortedKeys() []esdkPair {
	keys := slices.Clone(h.keys)
	slices.SortStableFunc(keys, func(x, y esdkPair) int { return bytes.Compare(x.name, y.name) })
	return keys
}

// appendText appends the ARN and the base64 text of a wrapped data key, each after its length.
func (p esdkPair) appendText(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.name)))
	dst = append(dst, p.name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(base64.StdEncoding.EncodedLen(len(p.value))))
	return base64.StdEncoding.AppendEncode(dst, p.value)
}

// contextBytes is the SDK's encoding of the context.
func (h esdkHeader) contextBytes(form esdkForm) []byte {
	if h.contextAs != nil {
		return h.contextAs
	}
	if len(h.context) == 0 && !form.count {
		return nil
	}
	pairs := slices.Clone(h.context)
	slices.SortFunc(pairs, func(x, y esdkPair) int {
		if form.utf16 {
			return slices.CompareFunc(utf16.Encode([]rune(string(x.name))), utf16.Encode([]rune(string(y.name))), cmp.Compare[uint16])
		}
		return bytes.Compare(x.name, y.name)
	})
	b := binary.BigEndian.AppendUint32(nil, uint32(len(pairs)))
	for _, p := range pairs {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.name)))
		b = append(b, p.name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.value)))
		b = append(b, p.value...)
	}
	return b
}

// open opens a payload under a data key that the header's tag has proved.
func (a esdkAlgorithm) open(key, iv, sealed, bound []byte) ([]byte, bool) {
	if a.mode == "gcm" {
		return a.cipher.openUnder(key, iv, sealed, bound)
	}
	block, err := a.cipher.newBlock(key)
	if err != nil {
		return nil, false
	}
	plaintext := make([]byte, len(sealed))
	if a.mode == "ctr" {
		cipher.NewCTR(block, iv).XORKeyStream(plaintext, sealed)
		return plaintext, true
	}
	if len(plaintext)%block.BlockSize() != 0 {
		return nil, false
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plaintext, sealed)
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
