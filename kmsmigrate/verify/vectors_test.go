package verify_test

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	raw, err := hex.DecodeString(s)
	require.NoError(tb, err)
	return raw
}

// ecPEM makes a SubjectPublicKeyInfo from a point.
func ecPEM(tb testing.TB, curve asn1.ObjectIdentifier, x, y string) string {
	tb.Helper()
	parameters, err := asn1.Marshal(curve)
	require.NoError(tb, err)
	point := append([]byte{4}, append(unhex(tb, x), unhex(tb, y)...)...)
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: asn1.RawValue{FullBytes: parameters}},
		asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
	})
	require.NoError(tb, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func derSignature(tb testing.TB, r, s string) []byte {
	tb.Helper()
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(unhex(tb, r)), new(big.Int).SetBytes(unhex(tb, s))})
	require.NoError(tb, err)
	return sig
}

func TestPublishedSignaturesVerify(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, spec, x, y, message, digest, r, s string
		curve                                   asn1.ObjectIdentifier
		algorithm                               verify.Algorithm
	}{
		{
			name: "P-256 (RFC 6979, A.2.5)", spec: "EC_P256", algorithm: verify.ECDSASHA256,
			curve:   asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7},
			x:       "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
			y:       "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
			message: "sample", digest: "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
			r: "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
			s: "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
		},
		{
			name: "P-256K, private key 1", spec: "EC_P256K", algorithm: verify.ECDSASHA256,
			curve:   asn1.ObjectIdentifier{1, 3, 132, 0, 10},
			x:       "79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798",
			y:       "483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8",
			message: "Satoshi Nakamoto", digest: "a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e",
			r: "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8",
			s: "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
		},
		{
			name: "SM2 (GM/T 0003.5, A.2)", spec: "EC_SM2", algorithm: verify.SM2DSA,
			curve:   asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301},
			x:       "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020",
			y:       "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13",
			message: "message digest", digest: "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640",
			r: "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
			s: "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			key, err := verify.ParsePublicKey(ecPEM(t, v.curve, v.x, v.y))
			require.NoError(t, err)
			require.Equal(t, v.spec, key.Spec())
			digest, err := key.Digest([]byte(v.message))
			require.NoError(t, err)
			require.Equal(t, v.digest, hex.EncodeToString(digest))
			signature := derSignature(t, v.r, v.s)
			require.NoError(t, key.Verify(v.algorithm, digest, signature))

			require.ErrorIs(t, key.Verify(v.algorithm, digest, append(signature, 0)), verify.ErrBadSignature, "trailing bytes")
			require.ErrorIs(t, key.Verify(v.algorithm, digest, derSignature(t, v.s, v.r)), verify.ErrBadSignature, "r and s exchanged")
			require.ErrorIs(t, key.Verify(v.algorithm, digest, append(unhex(t, v.r), unhex(t, v.s)...)), verify.ErrBadSignature, "r and s without DER")
			digest[0] ^= 1
			require.ErrorIs(t, key.Verify(v.algorithm, digest, signature), verify.ErrBadSignature, "another digest")
		})
	}
}

type vector struct {
	Name      string           `json:"name"`
	PublicKey string           `json:"public_key"`
	Algorithm verify.Algorithm `json:"algorithm"`
	Message   string           `json:"message"`
	Signature string           `json:"signature"`
	Valid     bool             `json:"valid"`
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/openssl.json")
	require.NoError(tb, err)
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	require.NoError(tb, json.Unmarshal(text, &file))
	require.Len(tb, file.Vectors, 12)
	return file.Vectors
}

func (v vector) parts(tb testing.TB) (key *verify.PublicKey, digest, signature []byte) {
	tb.Helper()
	key, err := verify.ParsePublicKey(v.PublicKey)
	require.NoError(tb, err)
	digest, err = key.Digest([]byte(v.Message))
	require.NoError(tb, err)
	signature, err = base64.StdEncoding.DecodeString(v.Signature)
	require.NoError(tb, err)
	return key, digest, signature
}

func TestSignaturesOfOpenSSLVerify(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			key, digest, signature := v.parts(t)
			require.True(t, strings.HasPrefix(v.Name, key.Spec()), key.Spec())
			err := key.Verify(v.Algorithm, digest, signature)
			if !v.Valid {
				require.ErrorIs(t, err, verify.ErrBadSignature)
				return
			}
			require.NoError(t, err)
			for i := range signature { // whatever byte is changed, it is another signature
				bad := append([]byte(nil), signature...)
				bad[i] ^= 0x10
				require.ErrorIs(t, key.Verify(v.Algorithm, digest, bad), verify.ErrBadSignature)
			}
			for _, bad := range [][]byte{nil, {0}, signature[:len(signature)-1], append([]byte{0}, signature...)} {
				require.ErrorIs(t, key.Verify(v.Algorithm, digest, bad), verify.ErrBadSignature)
			}
		})
	}
}

func TestAQuestionThatCannotBeAnsweredIsInvalid(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		key, digest, signature := v.parts(t)
		require.ErrorIs(t, key.Verify(v.Algorithm, digest[:31], signature), verify.ErrInvalid)
		require.ErrorIs(t, key.Verify(v.Algorithm, append(digest, 0), signature), verify.ErrInvalid)
		require.ErrorIs(t, key.Verify(v.Algorithm, nil, signature), verify.ErrInvalid)
		for _, other := range []verify.Algorithm{"", "none", "RSA_PKCS1_SHA_1", verify.RSAPSSSHA256, verify.RSAPKCS1SHA256, verify.ECDSASHA256, verify.SM2DSA} {
			err := key.Verify(other, digest, signature)
			if !contains(key.Algorithms(), other) {
				require.ErrorIs(t, err, verify.ErrInvalid, "%s with %s", key.Spec(), other)
			} else if other != v.Algorithm && v.Valid {
				require.ErrorIs(t, err, verify.ErrBadSignature)
			}
		}
	}
}

func contains(all []verify.Algorithm, one verify.Algorithm) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func TestParseRefusesWhatIsNoKMSKey(t *testing.T) {
	t.Parallel()
	good := vectors(t)[0].PublicKey
	block, _ := pem.Decode([]byte(good))
	p256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	one := strings.Repeat("0", 63) + "1"
	for name, text := range map[string]string{
		"empty":               "",
		"no PEM":              "ssh-rsa AAAA",
		"another block":       string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: block.Bytes})),
		"two blocks":          good + good,
		"too long":            strings.Repeat("x", 20<<10),
		"cut off":             string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes[:40]})),
		"trailing bytes":      string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: append(block.Bytes[:len(block.Bytes):len(block.Bytes)], 0)})),
		"a point off P-256":   ecPEM(t, p256, one, one),
		"a point off P-256K":  ecPEM(t, asn1.ObjectIdentifier{1, 3, 132, 0, 10}, one, one),
		"a point off SM2":     ecPEM(t, asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}, one, one),
		"a curve of no KMS":   ecPEM(t, asn1.ObjectIdentifier{1, 3, 132, 0, 35}, one, one),
		"P-384, cut to P-256": ecPEM(t, asn1.ObjectIdentifier{1, 3, 132, 0, 34}, one, one),
	} {
		_, err := verify.ParsePublicKey(text)
		require.ErrorIs(t, err, verify.ErrInvalid, name)
	}
}

func TestDigestOfASHA256KeyIsSHA256(t *testing.T) {
	t.Parallel()
	key, digest, _ := vectors(t)[0].parts(t)
	sum := sha256.Sum256([]byte("keyhaul"))
	require.Equal(t, sum[:], digest)
	require.Len(t, key.Fingerprint(), 64)
}
