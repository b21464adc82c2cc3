package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/emmansun/gmsm/sm2"
)

// Algorithm is how a signature was made, spelled as the KMS spells it (API reference, AsymmetricSign).
type Algorithm string

// The algorithms.
const (
	RSAPSSSHA256   Algorithm = "RSA_PSS_SHA_256"   // salt of 32 bytes, MGF1 over SHA-256
	RSAPKCS1SHA256 Algorithm = "RSA_PKCS1_SHA_256" // RSASSA-PKCS1-v1_5
	ECDSASHA256    Algorithm = "ECDSA_SHA_256"     // P-256 or P-256K; DER
	SM2DSA         Algorithm = "SM2DSA"            // SM2 over SM3; DER
)

// DigestSize is the length in bytes of what is signed, for every algorithm.
const DigestSize = 32

// Digest returns the 32 bytes that the KMS signs for a message: its SHA-256 or, for an SM2 key, SM3 over Z_A and the message,
// where Z_A binds the public key and the default user id 1234567812345678 (GM/T 0003.2).
func (k *PublicKey) Digest(message []byte) ([]byte, error) {
	if k.spec != "EC_SM2" {
		sum := sha256.Sum256(message)
		return sum[:], nil
	}
	digest, err := sm2.CalculateSM2Hash(k.key.(*ecdsa.PublicKey), message, nil)
	if err != nil {
		return nil, fmt.Errorf("verify: the SM3 digest cannot be computed: %w", ErrInvalid)
	}
	return digest, nil
}

// Verify returns nil when signature is one of this key over digest. ErrBadSignature says that it is not, however malformed;
// ErrInvalid that the question cannot be answered: the algorithm does not go with the key, or the digest has not 32 bytes.
func (k *PublicKey) Verify(algorithm Algorithm, digest, signature []byte) error {
	if !slices.Contains(k.Algorithms(), algorithm) {
		return fmt.Errorf("verify: a key of spec %s does not sign with %q, but with %v: %w", k.spec, clip(string(algorithm)), k.Algorithms(), ErrInvalid)
	}
	if len(digest) != DigestSize {
		return fmt.Errorf("verify: the digest has %d bytes, and must have %d: %w", len(digest), DigestSize, ErrInvalid)
	}
	if !k.matches(algorithm, digest, signature) {
		return fmt.Errorf("verify: %s: %w", algorithm, ErrBadSignature)
	}
	return nil
}

func (k *PublicKey) matches(algorithm Algorithm, digest, signature []byte) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if algorithm == RSAPSSSHA256 {
			// The salt's length is pinned: with PSSSaltLengthAuto a signature that the KMS cannot have made would pass.
			return rsa.VerifyPSS(key, crypto.SHA256, digest, signature, &rsa.PSSOptions{SaltLength: DigestSize}) == nil
		}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil
	case *secp256k1.PublicKey:
		parsed, err := k1ecdsa.ParseDERSignature(signature)
		return err == nil && parsed.Verify(digest, key)
	case *ecdsa.PublicKey:
		if algorithm == SM2DSA {
			return sm2.VerifyASN1(key, digest, signature)
		}
		return ecdsa.VerifyASN1(key, digest, signature)
	default:
		return false
	}
}

// clip keeps an error readable when somebody passes a whole file where a name belongs.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
