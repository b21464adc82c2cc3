package material

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/emmansun/gmsm/sm4"
)

// NonceSize and TagSize are the GCM sizes, in bytes, of every KMS ciphertext.
const (
	NonceSize = 12
	TagSize   = 16
)

// ErrOpen is what opening answers for anything that does not authenticate. It says no more on purpose.
var ErrOpen = errors.New("material: the ciphertext does not open")

// Material is the material of one key version. It is immutable and safe for concurrent use.
type Material struct {
	spec  string
	raw   []byte // symmetric only
	block cipher.Block
	aead  cipher.AEAD

	private func() (crypto.PrivateKey, error) // asymmetric only; made at first use, because an RSA key takes long to find
}

// New makes fresh material. Symmetric material is random at once; asymmetric material is generated when it is first used.
func New(spec string) (*Material, error) {
	if n := Size(spec); n > 0 {
		raw := make([]byte, n)
		rand.Read(raw)
		return FromRaw(spec, raw)
	}
	if !Known(spec) {
		return nil, fmt.Errorf("material: no such key spec %q", spec)
	}
	return &Material{spec: spec, private: sync.OnceValues(func() (crypto.PrivateKey, error) { return generate(spec) })}, nil
}

// FromRaw wraps raw symmetric key bytes, which it copies.
func FromRaw(spec string, raw []byte) (*Material, error) {
	if len(raw) != Size(spec) || len(raw) == 0 {
		return nil, fmt.Errorf("material: %s takes %d bytes, got %d", spec, Size(spec), len(raw))
	}
	block, err := newBlock(spec, raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Material{spec: spec, raw: bytes.Clone(raw), block: block, aead: aead}, nil
}

func newBlock(spec string, raw []byte) (cipher.Block, error) {
	if spec == SM4 {
		return sm4.NewCipher(raw)
	}
	return aes.NewCipher(raw)
}

// Spec returns the KMS name of the key specification.
func (m *Material) Spec() string { return m.spec }

// Same reports whether both hold the same symmetric key. KMS refuses the re-import of other material than the first.
func (m *Material) Same(raw []byte) bool { return bytes.Equal(m.raw, raw) }

// Seal encrypts under GCM and returns ct‖tag. iv must be NonceSize bytes.
func (m *Material) Seal(iv, plaintext, aad []byte) ([]byte, error) {
	if m.aead == nil || len(iv) != NonceSize {
		return nil, fmt.Errorf("material: GCM needs a symmetric key and an IV of %d bytes", NonceSize)
	}
	return m.aead.Seal(nil, iv, plaintext, aad), nil
}

// Open reverses Seal.
func (m *Material) Open(iv, ciphertext, aad []byte) ([]byte, error) {
	if m.aead == nil || len(iv) != NonceSize {
		return nil, ErrOpen
	}
	plaintext, err := m.aead.Open([]byte{}, iv, ciphertext, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}
