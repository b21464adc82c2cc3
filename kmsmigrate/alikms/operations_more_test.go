package alikms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// rsaWrapping is a public key to export to, and its private half.
func rsaWrapping(tb testing.TB) (alikms.Wrapping, *rsa.PrivateKey) {
	tb.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(tb, err)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(tb, err)
	return alikms.Wrapping{PublicKey: public, Spec: "RSA_2048", Algorithm: alikms.RSAOAEPSHA256}, private
}

func TestDataKeysAreExportedToAPublicKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g := newGateway(t, w.gatewayConfig())
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	require.NoError(t, key.Rotate())
	to, private := rsaWrapping(t)
	b := alikms.Binding{Context: plantedContext()}

	made, err := g.GenerateAndExportDataKey(t.Context(), key.ID(), 32, b, to)
	require.NoError(t, err)
	require.Equal(t, key.ID(), made.KeyID)
	require.Equal(t, key.VersionID(), made.VersionID)
	opened, err := rsa.DecryptOAEP(sha256.New(), nil, private, made.Exported, nil)
	require.NoError(t, err)
	require.Len(t, opened, 32)
	text, err := g.Decrypt(t.Context(), made.Ciphertext, b)
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString(opened), string(text.Plaintext))

	again, err := g.ExportDataKey(t.Context(), made.Ciphertext, b, to)
	require.NoError(t, err)
	require.Equal(t, made.VersionID, again.VersionID)
	require.Nil(t, again.Ciphertext)
	same, err := rsa.DecryptOAEP(sha256.New(), nil, private, again.Exported, nil)
	require.NoError(t, err)
	require.Equal(t, opened, same)

	w.cloud.ResetEvidence()
	for _, bad := range []alikms.Wrapping{{}, {PublicKey: []byte("no DER"), Spec: "RSA_2048", Algorithm: alikms.RSAOAEPSHA256}} {
		_, err = g.ExportDataKey(t.Context(), made.Ciphertext, b, bad)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		_, err = g.GenerateAndExportDataKey(t.Context(), key.ID(), 32, b, bad)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	_, err = g.ExportDataKey(t.Context(), nil, b, to)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.Zero(t, w.cloud.Count(kmstest.Match{}), "no call for what cannot be right")
	_, err = g.ExportDataKey(t.Context(), made.Ciphertext, alikms.Binding{}, to)
	require.ErrorIs(t, err, kmsmigrate.ErrForeign, "a wrong context shares its code with another's ciphertext")
}

func TestTheOpenAPIsAdvanceEncryptTakesAnyBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g, i := newGateway(t, w.rpcConfig()), newInstance(t, w.instanceConfig())
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	require.NoError(t, key.Rotate())
	for _, b := range []alikms.Binding{{}, {Context: plantedContext()}, {Raw: "aad as it is"}} {
		sealed, err := g.AdvanceEncrypt(t.Context(), key.ID(), []byte{0xff, 0}, b)
		require.NoError(t, err)
		require.Equal(t, key.VersionID(), sealed.VersionID)
		version, _ := kmsmigrate.BlobVersion(sealed.Ciphertext)
		require.Equal(t, key.VersionID(), version)
		opened, err := i.AdvanceDecrypt(t.Context(), sealed.Ciphertext, b)
		require.NoError(t, err)
		require.Equal(t, []byte{0xff, 0}, opened.Plaintext)
	}
	sealed, err := g.AdvanceEncrypt(t.Context(), key.ID(), []byte("text"), alikms.Binding{Context: plantedContext()})
	require.NoError(t, err)
	opened, err := g.Decrypt(t.Context(), sealed.Ciphertext, alikms.Binding{Context: plantedContext()})
	require.NoError(t, err, "a context binds as it does in Encrypt")
	require.Equal(t, "text", string(opened.Plaintext))
	_, err = newGateway(t, w.gatewayConfig()).AdvanceEncrypt(t.Context(), makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID(), []byte("text"), alikms.Binding{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "not with a key outside of an instance")
	for _, bad := range [][]byte{nil, make([]byte, 6<<10+1)} {
		_, err := g.AdvanceEncrypt(t.Context(), key.ID(), bad, alikms.Binding{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

func TestDataKeyPairsInPiecesIgnoreRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	i := newInstance(t, w.instanceConfig())
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	require.NoError(t, key.Rotate())
	b := alikms.Binding{Context: plantedContext()}
	pair, wrapped, err := i.GenerateDataKeyPair(t.Context(), key.ID(), "EC_P256", "PEM", b)
	require.NoError(t, err)
	require.Equal(t, "EC_P256", pair.Spec)
	require.NotEmpty(t, pair.PublicKey)
	require.Nil(t, pair.Ciphertext)
	require.Equal(t, key.VersionIDs()[0], wrapped.VersionID)
	opened, err := i.Decrypt(t.Context(), wrapped, b)
	require.NoError(t, err)
	require.Equal(t, pair.PrivateKey, opened.Plaintext)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", pair, pair, pair), "PRIVATE")
	pair, wrapped, err = i.GenerateDataKeyPairWithoutPlaintext(t.Context(), key.ID(), "EC_P256", "DER", b)
	require.NoError(t, err)
	require.Nil(t, pair.PrivateKey)
	opened, err = i.Decrypt(t.Context(), wrapped, b)
	require.NoError(t, err)
	private, err := x509.ParsePKCS8PrivateKey(opened.Plaintext)
	require.NoError(t, err)
	require.NotNil(t, private)
	_, err = i.Decrypt(t.Context(), wrapped, alikms.Binding{})
	require.Error(t, err)
}
