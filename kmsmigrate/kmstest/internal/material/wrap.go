package material

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// Wrap encrypts key under somebody else's public key, a SubjectPublicKeyInfo. It names the parameter of ExportDataKey that is wrong, if
// one is.
func Wrap(public []byte, spec, algorithm string, key []byte) (wrapped []byte, problem string) {
	switch {
	case spec == RSA2048 && (algorithm == OAEP1 || algorithm == OAEP256):
		parsed, err := x509.ParsePKIXPublicKey(public)
		rsaKey, ok := parsed.(*rsa.PublicKey)
		if err != nil || !ok || rsaKey.N.BitLen() != 2048 {
			return nil, "PublicKeyBlob"
		}
		wrapped, err = rsa.EncryptOAEP(oaepHash(algorithm), rand.Reader, rsaKey, key, nil)
		if err != nil {
			return nil, "NumberOfBytes"
		}
		return wrapped, ""
	case spec == SM2 && algorithm == SM2PKE:
		parsed, err := smx509.ParsePKIXPublicKey(public)
		ecKey, ok := parsed.(*ecdsa.PublicKey)
		if err != nil || !ok || ecKey.Curve != sm2.P256() {
			return nil, "PublicKeyBlob"
		}
		wrapped, err = sm2.EncryptASN1(rand.Reader, ecKey, key)
		if err != nil {
			return nil, "PublicKeyBlob"
		}
		return wrapped, ""
	case spec != RSA2048 && spec != SM2:
		return nil, "WrappingKeySpec"
	}
	return nil, "WrappingAlgorithm"
}
