package material

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// PublicPEM is the public key as GetPublicKey returns it: PEM of a SubjectPublicKeyInfo.
func (m *Material) PublicPEM() (string, error) {
	private, err := m.privateKey(true)
	if err != nil {
		return "", err
	}
	var der []byte
	switch key := private.(type) {
	case *rsa.PrivateKey:
		der, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	case *ecdsa.PrivateKey:
		der, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	case *secp256k1.PrivateKey:
		der, err = marshalK1(key.PubKey())
	case *sm2.PrivateKey:
		der, err = smx509.MarshalPKIXPublicKey(&key.PublicKey)
	}
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// marshalK1 writes what crypto/x509 cannot: it does not know the curve.
func marshalK1(key *secp256k1.PublicKey) ([]byte, error) {
	curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10})
	if err != nil {
		return nil, err
	}
	point := key.SerializeUncompressed()
	return asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Point     asn1.BitString
	}{
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: curve}},
		asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
	})
}

// Marshal returns the secret bytes of the material, from which Unmarshal makes it again: the raw key, PKCS#1 of an RSA key, or the scalar
// of an elliptic one.
func (m *Material) Marshal() ([]byte, error) {
	if m.raw != nil {
		return m.raw, nil
	}
	private, err := m.privateKey(true)
	if err != nil {
		return nil, err
	}
	switch key := private.(type) {
	case *rsa.PrivateKey:
		return x509.MarshalPKCS1PrivateKey(key), nil
	case *ecdsa.PrivateKey:
		return key.Bytes()
	case *secp256k1.PrivateKey:
		return key.Serialize(), nil
	case *sm2.PrivateKey:
		return key.D.FillBytes(make([]byte, 32)), nil
	}
	return nil, fmt.Errorf("material: %s cannot be written", m.spec)
}

// Unmarshal reverses Marshal.
func Unmarshal(spec string, secret []byte) (*Material, error) {
	if Symmetric(spec) {
		return FromRaw(spec, secret)
	}
	var private crypto.PrivateKey
	var err error
	switch spec {
	case RSA2048, RSA3072, RSA4096:
		private, err = x509.ParsePKCS1PrivateKey(secret)
	case P256:
		private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	case P256K:
		if len(secret) != 32 {
			return nil, fmt.Errorf("material: %s takes 32 bytes, got %d", spec, len(secret))
		}
		private = secp256k1.PrivKeyFromBytes(secret)
	case SM2:
		private, err = sm2.NewPrivateKey(secret)
	default:
		err = fmt.Errorf("material: no such key spec %q", spec)
	}
	if err != nil {
		return nil, err
	}
	return &Material{spec: spec, private: func() (crypto.PrivateKey, error) { return private, nil }}, nil
}

// PrivatePKCS8 is the private key in PKCS#8 DER, as GenerateDataKeyPair hands it out.
func (m *Material) PrivatePKCS8() ([]byte, error) {
	private, err := m.privateKey(true)
	if err != nil {
		return nil, err
	}
	switch key := private.(type) {
	case *secp256k1.PrivateKey:
		return marshalK1Private(key)
	case *sm2.PrivateKey:
		return smx509.MarshalPKCS8PrivateKey(key)
	}
	return x509.MarshalPKCS8PrivateKey(private)
}

// marshalK1Private is RFC 5915 within RFC 5208, which crypto/x509 does not write for this curve.
func marshalK1Private(key *secp256k1.PrivateKey) ([]byte, error) {
	curve, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10})
	if err != nil {
		return nil, err
	}
	point := key.PubKey().SerializeUncompressed()
	inner, err := asn1.Marshal(struct {
		Version int
		Private []byte
		Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
	}{1, key.Serialize(), asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Private   []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: curve}}, inner})
}
