package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"github.com/emmansun/gmsm/sm4"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Cipher is how layouts that leave it open seal their payload. The zero value is AES-256-GCM.
type Cipher uint8

// The ciphers.
const (
	AES Cipher = iota // AES-GCM; read with 128, 192 and 256 bits, written with 256
	SM4               // SM4-GCM
	// SM4OrTJFoc is SM4, and also opens what github.com/tjfoc/gmsm's Sm4GCM sealed, whose tags are wrong (its issues 178
	// and 198): opening that is a choice to be made knowingly, because the wrong tag is a weaker one. It writes what SM4
	// writes.
	SM4OrTJFoc
)

func (c Cipher) newBlock(key []byte) (cipher.Block, error) {
	if c == AES {
		return aes.NewCipher(key)
	}
	return sm4.NewCipher(key)
}

func (c Cipher) newGCM(key []byte) (cipher.AEAD, error) {
	block, err := c.newBlock(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// keySize is that of the data keys that are made, in bytes.
func (c Cipher) keySize() int {
	if c == AES {
		return 32
	}
	return 16
}

// newValue returns a random data key as the KMS is to wrap it: raw, or as base64 text.
func (c Cipher) newValue(raw bool) []byte {
	key := make([]byte, c.keySize())
	rand.Read(key)
	if raw {
		return key
	}
	defer clear(key)
	return encodeDataKey(key)
}

// open opens a GCM payload under any reading of an unwrapped value.
func (c Cipher) open(value, nonce, payload, bound []byte) ([]byte, bool) {
	if len(payload) < tagSize || len(nonce) != nonceSize {
		return nil, false
	}
	for _, key := range keyReadings(value) {
		plaintext, ok := c.openUnder(key, nonce, payload, bound)
		clear(key)
		if ok {
			return plaintext, true
		}
	}
	return nil, false
}

func (c Cipher) openUnder(key, nonce, payload, bound []byte) ([]byte, bool) {
	aead, err := c.newGCM(key)
	if err != nil {
		return nil, false // SM4 has no keys of 24 or 32 bytes
	}
	plaintext, err := aead.Open(make([]byte, 0, len(payload)-tagSize), nonce, payload, bound)
	if err == nil {
		return plaintext, true
	}
	if c == SM4OrTJFoc {
		return openTJFoc(key, nonce, payload, bound)
	}
	return nil, false
}

// seal seals with GCM and a random nonce, under a value that newValue made.
func (c Cipher) seal(value []byte, raw bool, plaintext, bound []byte) (nonce, payload []byte, err error) {
	key := value
	if !raw {
		decoded, ok := decodeBase64(value)
		if !ok || len(decoded) != c.keySize() {
			return nil, nil, fmt.Errorf("the data key is not the base64 text of %d bytes: %w", c.keySize(), kmsmigrate.ErrInvalid)
		}
		key = decoded
		defer clear(decoded)
	}
	aead, err := c.newGCM(key)
	if err != nil {
		return nil, nil, err
	}
	nonce = make([]byte, nonceSize)
	rand.Read(nonce)
	return nonce, aead.Seal(make([]byte, 0, len(plaintext)+tagSize), nonce, plaintext, bound), nil //nolint:gosec // the nonce is random
}
