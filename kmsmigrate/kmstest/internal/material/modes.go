package material

import (
	"bytes"
	"crypto/cipher"
	"strings"
)

// Padding modes of the block modes.
const (
	PKCS7     = "PKCS7_PADDING"
	NoPadding = "NO_PADDING"
)

// Mode is how a hardware instance can be asked to encrypt. A software instance knows GCM only.
type Mode string

// The modes.
const (
	GCM Mode = "GCM"
	CBC Mode = "CBC"
	ECB Mode = "ECB"
)

// ParseMode reads an algorithm name such as AES_CBC or SM4_GCM; empty is GCM. It reports false for what does not fit the material.
func (m *Material) ParseMode(algorithm string) (Mode, bool) {
	family := "AES"
	if m.spec == SM4 {
		family = "SM4"
	}
	if algorithm == "" {
		return GCM, m.aead != nil
	}
	name, found := strings.CutPrefix(algorithm, family+"_")
	mode := Mode(name)
	return mode, found && m.aead != nil && (mode == GCM || mode == CBC || mode == ECB)
}

// Algorithm is the name of a mode under this material, as answers carry it.
func (m *Material) Algorithm(mode Mode) string {
	if m.spec == SM4 {
		return "SM4_" + string(mode)
	}
	return "AES_" + string(mode)
}

// IVSize is the length in bytes of a mode's IV.
func (mode Mode) IVSize() int {
	switch mode {
	case GCM:
		return NonceSize
	case CBC:
		return 16
	}
	return 0
}

// SealBlocks encrypts under CBC or ECB. Without padding, plaintext must fill whole blocks, or it is ErrTooLong.
func (m *Material) SealBlocks(mode Mode, padding string, iv, plaintext []byte) ([]byte, error) {
	size := m.block.BlockSize()
	in := bytes.Clone(plaintext)
	if padding != NoPadding {
		n := size - len(in)%size
		in = append(in, bytes.Repeat([]byte{byte(n)}, n)...)
	}
	if len(in)%size != 0 || len(iv) != mode.IVSize() {
		return nil, ErrTooLong
	}
	if mode == CBC {
		cipher.NewCBCEncrypter(m.block, iv).CryptBlocks(in, in)
		return in, nil
	}
	for i := 0; i < len(in); i += size {
		m.block.Encrypt(in[i:], in[i:])
	}
	return in, nil
}

// OpenBlocks reverses SealBlocks. There is no tag: only bad padding shows that something is wrong.
func (m *Material) OpenBlocks(mode Mode, padding string, iv, ciphertext []byte) ([]byte, error) {
	size := m.block.BlockSize()
	if len(ciphertext)%size != 0 || len(iv) != mode.IVSize() {
		return nil, ErrOpen
	}
	out := bytes.Clone(ciphertext)
	if mode == CBC {
		cipher.NewCBCDecrypter(m.block, iv).CryptBlocks(out, out)
	} else {
		for i := 0; i < len(out); i += size {
			m.block.Decrypt(out[i:], out[i:])
		}
	}
	if padding == NoPadding {
		return out, nil
	}
	if len(out) == 0 {
		return nil, ErrOpen
	}
	n := int(out[len(out)-1])
	if n == 0 || n > size || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrOpen
	}
	return out[:len(out)-n], nil
}
