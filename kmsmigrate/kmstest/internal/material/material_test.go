package material_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// RFC 8998, appendix A.1.
func TestSM4GCMHasTheKnownAnswer(t *testing.T) {
	t.Parallel()
	m, err := material.FromRaw(material.SM4, unhex(t, "0123456789abcdeffedcba9876543210"))
	require.NoError(t, err)
	got, err := m.Seal(unhex(t, "00001234567800000000abcd"),
		unhex(t, strings.Repeat("aa", 8)+strings.Repeat("bb", 8)+strings.Repeat("cc", 8)+strings.Repeat("dd", 8)+
			strings.Repeat("ee", 8)+strings.Repeat("ff", 8)+strings.Repeat("ee", 8)+strings.Repeat("aa", 8)),
		unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2"))
	require.NoError(t, err)
	require.Equal(t, "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15"+
		"a56834cbcf98c397b4024a2691233b8d"+"83de3541e4c2b58177e065a9bf7b62ec", hex.EncodeToString(got))
}

// GB/T 32907, example 1.
func TestSM4BlockHasTheKnownAnswer(t *testing.T) {
	t.Parallel()
	key := unhex(t, "0123456789abcdeffedcba9876543210")
	m, err := material.FromRaw(material.SM4, key)
	require.NoError(t, err)
	got, err := m.SealBlocks(material.ECB, material.NoPadding, nil, key)
	require.NoError(t, err)
	require.Equal(t, "681edf34d206965e86b3e94f536e4246", hex.EncodeToString(got))
}

// GB/T 32905, example 1.
func TestSM3HasTheKnownAnswer(t *testing.T) {
	t.Parallel()
	got := sm3.Sum([]byte("abc"))
	require.Equal(t, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0", hex.EncodeToString(got[:]))
}

// GM/T 0003.5: key, digest over Z_A and message, and a signature that must verify.
func TestSM2HasTheKnownAnswer(t *testing.T) {
	t.Parallel()
	m, err := material.Unmarshal(material.SM2, unhex(t, "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"))
	require.NoError(t, err)
	digest, err := m.Digest([]byte("message digest"))
	require.NoError(t, err)
	require.Equal(t, "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640", hex.EncodeToString(digest))
	signature := unhex(t, "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"+
		"022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa")
	ok, err := m.Verify(material.SM2DSA, digest, signature)
	require.NoError(t, err)
	require.True(t, ok)
	signature[20] ^= 1
	ok, err = m.Verify(material.SM2DSA, digest, signature)
	require.NoError(t, err)
	require.False(t, ok)
}

// What we sign, others verify from the PEM alone.
func TestSignaturesVerifyOutside(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("message"))
	for _, spec := range []string{material.RSA2048, material.P256, material.P256K, material.SM2} {
		m, err := material.New(spec)
		require.NoError(t, err)
		text, err := m.PublicPEM()
		require.NoError(t, err)
		block, rest := pem.Decode([]byte(text))
		require.Equal(t, "PUBLIC KEY", block.Type)
		require.Empty(t, rest)
		for _, algorithm := range material.SignatureAlgorithms(spec) {
			signature, err := m.Sign(algorithm, digest[:])
			require.NoError(t, err)
			requireVerifies(t, spec, algorithm, block.Bytes, digest[:], signature)
			ok, err := m.Verify(algorithm, digest[:], signature)
			require.NoError(t, err)
			require.True(t, ok)
			other := sha256.Sum256([]byte("other"))
			ok, err = m.Verify(algorithm, other[:], signature)
			require.NoError(t, err)
			require.False(t, ok)
		}
	}
}

func requireVerifies(t *testing.T, spec, algorithm string, public, digest, signature []byte) {
	t.Helper()
	if spec == material.P256K {
		key, err := secp256k1.ParsePubKey(public[len(public)-65:]) // the point ends the structure
		require.NoError(t, err)
		s, err := k1ecdsa.ParseDERSignature(signature)
		require.NoError(t, err)
		require.True(t, s.Verify(digest, key))
		return
	}
	parsed, err := smx509.ParsePKIXPublicKey(public)
	require.NoError(t, err)
	switch algorithm {
	case material.PSS256:
		require.NoError(t, rsa.VerifyPSS(parsed.(*rsa.PublicKey), crypto.SHA256, digest, signature, &rsa.PSSOptions{SaltLength: 32}))
	case material.PKCS1:
		require.NoError(t, rsa.VerifyPKCS1v15(parsed.(*rsa.PublicKey), crypto.SHA256, digest, signature))
	case material.ECDSA256:
		require.True(t, ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), digest, signature))
	case material.SM2DSA:
		require.True(t, sm2.VerifyASN1(parsed.(*ecdsa.PublicKey), digest, signature))
	}
}

func TestAsymmetricEncryptionKeepsItsLimits(t *testing.T) {
	t.Parallel()
	for spec, limits := range map[string]map[string]int{
		material.RSA2048: {material.OAEP256: 190, material.OAEP1: 214},
		material.RSA3072: {material.OAEP256: 318, material.OAEP1: 342},
		material.SM2:     {material.SM2PKE: 6047},
	} {
		m, err := material.New(spec)
		require.NoError(t, err)
		for algorithm, limit := range limits {
			sealed, err := m.Encrypt(algorithm, make([]byte, limit))
			require.NoError(t, err)
			opened, err := m.Decrypt(algorithm, sealed)
			require.NoError(t, err)
			require.Len(t, opened, limit)
			_, err = m.Encrypt(algorithm, make([]byte, limit+1))
			require.ErrorIs(t, err, material.ErrTooLong)
			sealed[len(sealed)-1] ^= 1
			_, err = m.Decrypt(algorithm, sealed)
			require.ErrorIs(t, err, material.ErrOpen)
			_, err = m.Decrypt(algorithm, nil)
			require.ErrorIs(t, err, material.ErrOpen)
		}
	}
}

func TestMarshalKeepsTheMaterial(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("message"))
	for _, spec := range []string{material.AES256, material.AES192, material.AES128, material.SM4, material.RSA2048, material.P256, material.P256K, material.SM2} {
		m, err := material.New(spec)
		require.NoError(t, err)
		secret, err := m.Marshal()
		require.NoError(t, err)
		again, err := material.Unmarshal(spec, secret)
		require.NoError(t, err)
		if material.Symmetric(spec) {
			sealed, err := m.Seal(make([]byte, 12), []byte("x"), nil)
			require.NoError(t, err)
			opened, err := again.Open(make([]byte, 12), sealed, nil)
			require.NoError(t, err)
			require.Equal(t, "x", string(opened))
		} else {
			algorithm := material.SignatureAlgorithms(spec)[0]
			signature, err := m.Sign(algorithm, digest[:])
			require.NoError(t, err)
			ok, err := again.Verify(algorithm, digest[:], signature)
			require.NoError(t, err)
			require.True(t, ok)
			private, err := m.PrivatePKCS8()
			require.NoError(t, err)
			if spec == material.RSA2048 || spec == material.P256 {
				_, err = x509.ParsePKCS8PrivateKey(private)
				require.NoError(t, err)
			}
		}
		_, err = material.Unmarshal(spec, []byte("short"))
		require.Error(t, err)
	}
	_, err := material.New("DES")
	require.Error(t, err)
}

func TestBlockModesRefuseBadPaddingAndPartBlocks(t *testing.T) {
	t.Parallel()
	m, err := material.New(material.AES192)
	require.NoError(t, err)
	for _, mode := range []material.Mode{material.CBC, material.ECB} {
		iv := make([]byte, mode.IVSize())
		for n := range 33 {
			sealed, err := m.SealBlocks(mode, material.PKCS7, iv, make([]byte, n))
			require.NoError(t, err)
			require.Len(t, sealed, (n/16+1)*16)
			opened, err := m.OpenBlocks(mode, material.PKCS7, iv, sealed)
			require.NoError(t, err)
			require.Len(t, opened, n)
		}
		_, err = m.SealBlocks(mode, material.NoPadding, iv, make([]byte, 15))
		require.ErrorIs(t, err, material.ErrTooLong)
		_, err = m.OpenBlocks(mode, material.PKCS7, iv, make([]byte, 15))
		require.ErrorIs(t, err, material.ErrOpen)
		_, err = m.OpenBlocks(mode, material.PKCS7, iv, nil)
		require.ErrorIs(t, err, material.ErrOpen)
		zero, err := m.SealBlocks(mode, material.NoPadding, iv, make([]byte, 16))
		require.NoError(t, err)
		_, err = m.OpenBlocks(mode, material.PKCS7, iv, zero)
		require.ErrorIs(t, err, material.ErrOpen)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, spec := range []string{material.AES256, material.RSA2048, material.P256, material.P256K, material.SM2} {
		f.Add(spec, make([]byte, 32))
	}
	f.Fuzz(func(t *testing.T, spec string, secret []byte) {
		if m, err := material.Unmarshal(spec, secret); err == nil && m == nil {
			t.Fatal("no material and no error")
		}
	})
}

func FuzzOpen(f *testing.F) {
	m, err := material.New(material.SM2)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := m.Encrypt(material.SM2PKE, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, []byte{})
	f.Fuzz(func(t *testing.T, b, signature []byte) {
		if out, err := m.Decrypt(material.SM2PKE, b); err != nil && out != nil {
			t.Fatal("a plaintext beside an error")
		}
		if _, err := m.Verify(material.SM2DSA, make([]byte, 32), signature); err != nil {
			t.Fatal("a bad signature is an answer, not an error")
		}
	})
}
