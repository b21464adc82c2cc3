package material

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSAES_OAEP_SHA_1 is one of the algorithms
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/emmansun/gmsm/sm2"
)

// The algorithms of asymmetric keys, as requests spell them.
const (
	OAEP256  = "RSAES_OAEP_SHA_256"
	OAEP1    = "RSAES_OAEP_SHA_1"
	SM2PKE   = "SM2PKE"
	PSS256   = "RSA_PSS_SHA_256"
	PKCS1    = "RSA_PKCS1_SHA_256"
	ECDSA256 = "ECDSA_SHA_256"
	SM2DSA   = "SM2DSA"
)

// DigestSize is the length in bytes of every digest that can be signed: SHA-256 or SM3.
const DigestSize = 32

// maxSM2Plaintext is the limit of SM2PKE in bytes [KMS document AsymmetricEncrypt].
const maxSM2Plaintext = 6047

// ErrTooLong is what Encrypt answers for a plaintext that the algorithm cannot take.
var ErrTooLong = errors.New("material: the plaintext is too long for the algorithm")

// EncryptionAlgorithms lists what keys of a spec can encrypt with; nil for those that cannot.
func EncryptionAlgorithms(spec string) []string {
	switch spec {
	case RSA2048, RSA3072, RSA4096:
		return []string{OAEP256, OAEP1}
	case P256, P256K:
		return []string{ECIES}
	case SM2:
		return []string{SM2PKE}
	}
	return nil
}

// SignatureAlgorithms lists what keys of a spec can sign with; nil for those that cannot.
func SignatureAlgorithms(spec string) []string {
	switch spec {
	case RSA2048, RSA3072, RSA4096:
		return []string{PSS256, PKCS1}
	case P256, P256K:
		return []string{ECDSA256}
	case SM2:
		return []string{SM2DSA}
	}
	return nil
}

// CanEncrypt reports whether the algorithm encrypts with material of this spec.
func (m *Material) CanEncrypt(algorithm string) bool {
	return slices.Contains(EncryptionAlgorithms(m.spec), algorithm)
}

// CanSign reports whether the algorithm signs with material of this spec.
func (m *Material) CanSign(algorithm string) bool {
	return slices.Contains(SignatureAlgorithms(m.spec), algorithm)
}

func generate(spec string) (crypto.PrivateKey, error) {
	switch spec {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P256K:
		return secp256k1.GeneratePrivateKey()
	case SM2:
		return sm2.GenerateKey(rand.Reader)
	}
	return nil, fmt.Errorf("material: no such key spec %q", spec)
}

// Encrypt encrypts under the public key. The result is the bare output of the algorithm: nothing in it names the key. SM2 gives the ASN.1
// form of GM/T 0009.
func (m *Material) Encrypt(algorithm string, plaintext []byte) ([]byte, error) {
	private, err := m.privateKey(m.CanEncrypt(algorithm))
	if err != nil {
		return nil, err
	}
	switch key := private.(type) {
	case *rsa.PrivateKey:
		h := oaepHash(algorithm)
		if len(plaintext) > key.Size()-2*h.Size()-2 {
			return nil, ErrTooLong
		}
		return rsa.EncryptOAEP(h, rand.Reader, &key.PublicKey, plaintext, nil)
	case *sm2.PrivateKey:
		if len(plaintext) > maxSM2Plaintext {
			return nil, ErrTooLong
		}
		return sm2.EncryptASN1(rand.Reader, &key.PublicKey, plaintext)
	}
	return sealECIES(private, plaintext)
}

// PlainSM2 turns an SM2PKE ciphertext of Encrypt or Wrap into the other form in use: 04 ‖ x ‖ y ‖ C3 ‖ C2. Decrypt takes both.
func PlainSM2(ciphertext []byte) ([]byte, error) {
	return sm2.ASN1Ciphertext2Plain(ciphertext, sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C3C2))
}

func oaepHash(algorithm string) hash.Hash {
	if algorithm == OAEP1 {
		return sha1.New() //nolint:gosec // as above
	}
	return sha256.New()
}

// Decrypt reverses Encrypt.
func (m *Material) Decrypt(algorithm string, ciphertext []byte) ([]byte, error) {
	private, err := m.privateKey(m.CanEncrypt(algorithm))
	if err != nil {
		return nil, err
	}
	var plaintext []byte
	switch key := private.(type) {
	case *rsa.PrivateKey:
		plaintext, err = rsa.DecryptOAEP(oaepHash(algorithm), nil, key, ciphertext, nil)
	case *sm2.PrivateKey:
		plaintext, err = sm2.Decrypt(key, ciphertext)
	default:
		plaintext, err = openECIES(private, ciphertext)
	}
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Sign signs a digest of DigestSize bytes. ECDSA and SM2 signatures are DER; RSA-PSS has MGF1 over SHA-256 and a salt of 32 bytes.
func (m *Material) Sign(algorithm string, digest []byte) ([]byte, error) {
	private, err := m.privateKey(m.CanSign(algorithm) && len(digest) == DigestSize)
	if err != nil {
		return nil, err
	}
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if algorithm == PSS256 {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: DigestSize})
		}
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
	case *ecdsa.PrivateKey:
		return ecdsa.SignASN1(rand.Reader, key, digest)
	case *secp256k1.PrivateKey:
		return k1ecdsa.Sign(key, digest).Serialize(), nil
	case *sm2.PrivateKey:
		return sm2.SignASN1(rand.Reader, key, digest, nil)
	}
	return nil, ErrOpen
}

// Verify reports whether signature is one that Sign could have made.
func (m *Material) Verify(algorithm string, digest, signature []byte) (bool, error) {
	private, err := m.privateKey(m.CanSign(algorithm) && len(digest) == DigestSize)
	if err != nil {
		return false, err
	}
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if algorithm == PSS256 {
			return rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, digest, signature, &rsa.PSSOptions{SaltLength: DigestSize}) == nil, nil
		}
		return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest, signature) == nil, nil
	case *ecdsa.PrivateKey:
		return ecdsa.VerifyASN1(&key.PublicKey, digest, signature), nil
	case *secp256k1.PrivateKey:
		s, err := k1ecdsa.ParseDERSignature(signature)
		return err == nil && s.Verify(digest, key.PubKey()), nil
	case *sm2.PrivateKey:
		return sm2.VerifyASN1(&key.PublicKey, digest, signature), nil
	}
	return false, ErrOpen
}

// Digest computes what Sign signs for a whole message: SHA-256, or SM3 over Z_A and the message with the default user id.
func (m *Material) Digest(message []byte) ([]byte, error) {
	if m.spec != SM2 {
		d := sha256.Sum256(message)
		return d[:], nil
	}
	private, err := m.privateKey(true)
	if err != nil {
		return nil, err
	}
	return sm2.CalculateSM2Hash(&private.(*sm2.PrivateKey).PublicKey, message, nil)
}

func (m *Material) privateKey(allowed bool) (crypto.PrivateKey, error) {
	if !allowed || m.private == nil {
		return nil, fmt.Errorf("material: %s cannot do that", m.spec)
	}
	return m.private()
}
