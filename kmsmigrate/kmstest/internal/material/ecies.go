package material

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the algorithm's name says so
	"crypto/subtle"
	"encoding/binary"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// ECIES is the integrated scheme of SEC 1 version 2.0, section 5.1, with the choices that its name makes: Diffie-Hellman without cofactor, the
// KDF of ANSI X9.63 with SHA-1, XOR as the cipher, HMAC-SHA-1 with a key of 20 bytes as the tag. A ciphertext is R ‖ EM ‖ D: the ephemeral
// point, the masked message, the tag. What the name leaves open is assumed: R is uncompressed, both SharedInfo are empty.
const ECIES = "ECIES_DH_SHA_1_XOR_HMAC"

// maxECIESPlaintext is the limit of ECIES in bytes. No document names one; this is what every plaintext of KMS is held to.
const maxECIESPlaintext = 6144

const (
	pointSize = 65 // an uncompressed point of a 256 bit curve
	macSize   = sha1.Size
)

func sealECIES(private crypto.PrivateKey, plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxECIESPlaintext {
		return nil, ErrTooLong
	}
	var point, shared []byte
	switch key := private.(type) {
	case *ecdsa.PrivateKey:
		public, err := key.PublicKey.ECDH()
		if err != nil {
			return nil, err
		}
		ephemeral, err := public.Curve().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if shared, err = ephemeral.ECDH(public); err != nil {
			return nil, err
		}
		point = ephemeral.PublicKey().Bytes()
	case *secp256k1.PrivateKey:
		ephemeral, err := secp256k1.GeneratePrivateKey()
		if err != nil {
			return nil, err
		}
		shared = secp256k1.GenerateSharedSecret(ephemeral, key.PubKey())
		point = ephemeral.PubKey().SerializeUncompressed()
	}
	masked, tag := maskECIES(shared, plaintext, nil)
	return append(append(point, masked...), tag...), nil
}

func openECIES(private crypto.PrivateKey, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < pointSize+macSize {
		return nil, ErrOpen
	}
	point, masked, tag := ciphertext[:pointSize], ciphertext[pointSize:len(ciphertext)-macSize], ciphertext[len(ciphertext)-macSize:]
	var shared []byte
	switch key := private.(type) {
	case *ecdsa.PrivateKey:
		own, err := key.ECDH()
		if err != nil {
			return nil, err
		}
		ephemeral, err := ecdh.P256().NewPublicKey(point)
		if err != nil {
			return nil, ErrOpen
		}
		if shared, err = own.ECDH(ephemeral); err != nil {
			return nil, ErrOpen
		}
	case *secp256k1.PrivateKey:
		ephemeral, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return nil, ErrOpen
		}
		shared = secp256k1.GenerateSharedSecret(key, ephemeral)
	}
	plaintext, want := maskECIES(shared, masked, masked)
	if !hmac.Equal(tag, want) {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// maskECIES XORs in with the encryption key and computes the tag over masked, or over the result when masked is nil.
func maskECIES(shared, in, masked []byte) (out, tag []byte) {
	keys := kdfX963(shared, len(in)+macSize)
	out = make([]byte, len(in))
	subtle.XORBytes(out, in, keys[:len(in)])
	if masked == nil {
		masked = out
	}
	mac := hmac.New(sha1.New, keys[len(in):])
	mac.Write(masked)
	return out, mac.Sum(nil)
}

// kdfX963 is the key derivation of ANSI X9.63 and SEC 1, section 3.6.1, with SHA-1 and without SharedInfo.
func kdfX963(shared []byte, size int) []byte {
	out := make([]byte, 0, size+sha1.Size)
	for counter := uint32(1); len(out) < size; counter++ {
		block := sha1.Sum(binary.BigEndian.AppendUint32(append([]byte(nil), shared...), counter)) //nolint:gosec // as above
		out = append(out, block[:]...)
	}
	return out[:size]
}
