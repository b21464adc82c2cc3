package verify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// What a caller can branch on, with errors.Is.
var (
	// ErrBadSignature says that the signature is not one of this key over this digest.
	ErrBadSignature = errors.New("the signature does not match")
	// ErrUnknownKey says that the store has no public key for the key id and version.
	ErrUnknownKey = errors.New("no public key is retained")
	// ErrInvalid says that the input cannot be used: a malformed public key, an algorithm that does not go with it, a digest of
	// the wrong length. It says nothing of the signature.
	ErrInvalid = errors.New("invalid input")
	// ErrPinned says that another public key is retained under the same key id and version, or that a public key is not the
	// one that its fingerprint names.
	ErrPinned = errors.New("the public key is pinned")
	// ErrKept says that a key must be kept for longer.
	ErrKept = errors.New("the public key must be kept")
)

// PublicKey is a parsed public key of a KMS key. Make it with ParsePublicKey. It is safe for concurrent use.
type PublicKey struct {
	spec        string
	fingerprint string
	key         any // *rsa.PublicKey, *ecdsa.PublicKey (P-256 or SM2), *secp256k1.PublicKey
}

// mostPEM bounds what is parsed: an RSA key of 4,096 bits has 800 characters.
const mostPEM = 16 << 10

// ParsePublicKey reads a public key in PEM, as GetPublicKey returns it: one block "PUBLIC KEY", a SubjectPublicKeyInfo. It
// takes RSA of 2,048, 3,072 and 4,096 bits, P-256, P-256K and SM2, and fails with ErrInvalid for everything else.
func ParsePublicKey(text string) (*PublicKey, error) {
	if len(text) > mostPEM {
		return nil, fmt.Errorf("verify: a public key in PEM has fewer than %d characters, and this has %d: %w", mostPEM, len(text), ErrInvalid)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("verify: it is not a PEM block PUBLIC KEY, which GetPublicKey returns: %w", ErrInvalid)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fmt.Errorf("verify: it holds more than one PEM block: %w", ErrInvalid)
	}
	spec, key, err := parseInfo(block.Bytes)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(block.Bytes)
	return &PublicKey{spec: spec, fingerprint: hex.EncodeToString(sum[:]), key: key}, nil
}

var (
	oidEC        = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	oidSM2       = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
)

// parseInfo reads a SubjectPublicKeyInfo. The standard library knows neither P-256K nor SM2, so the curve decides who parses.
func parseInfo(der []byte) (spec string, key any, err error) {
	malformed := fmt.Errorf("verify: the public key is malformed, or of a kind that the KMS does not sign with: %w", ErrInvalid)
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return "", nil, malformed
	}
	var curve asn1.ObjectIdentifier
	if info.Algorithm.Algorithm.Equal(oidEC) {
		if rest, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 {
			return "", nil, malformed
		}
	}
	switch {
	case curve.Equal(oidSecp256k1):
		key, err := secp256k1.ParsePubKey(info.Key.RightAlign())
		if err != nil || info.Key.BitLength%8 != 0 {
			return "", nil, malformed
		}
		return "EC_P256K", key, nil
	case curve.Equal(oidSM2):
		parsed, err := smx509.ParsePKIXPublicKey(der)
		key, ok := parsed.(*ecdsa.PublicKey)
		if err != nil || !ok || !sm2.IsSM2PublicKey(key) {
			return "", nil, malformed
		}
		return "EC_SM2", key, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return "", nil, malformed
	}
	switch key := parsed.(type) {
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); bits {
		case 2048, 3072, 4096:
			return fmt.Sprintf("RSA_%d", bits), key, nil
		default:
			return "", nil, fmt.Errorf("verify: an RSA key of %d bits: KMS keys have 2,048, 3,072 or 4,096: %w", bits, ErrInvalid)
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return "EC_P256", key, nil
		}
	}
	return "", nil, malformed
}

// Spec returns the KeySpec that the KMS calls such a key by: RSA_2048, RSA_3072, RSA_4096, EC_P256, EC_P256K or EC_SM2.
func (k *PublicKey) Spec() string { return k.spec }

// Fingerprint returns the SHA-256 of the key's SubjectPublicKeyInfo, in 64 lower-case hexadecimal digits.
func (k *PublicKey) Fingerprint() string { return k.fingerprint }

// Algorithms returns the algorithms that the key can have signed with.
func (k *PublicKey) Algorithms() []Algorithm {
	switch k.spec {
	case "EC_P256", "EC_P256K":
		return []Algorithm{ECDSASHA256}
	case "EC_SM2":
		return []Algorithm{SM2DSA}
	default:
		return []Algorithm{RSAPSSSHA256, RSAPKCS1SHA256}
	}
}
