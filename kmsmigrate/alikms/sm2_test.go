package alikms_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/pem"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// An SM2 key of either face gives its public half away, with which signatures are verified, and texts encrypted, without the KMS.
func TestSM2KeysWorkWithTheirPublicHalfAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	hardware, err := w.region.CreateInstance(kmstest.InstanceSpec{Hardware: true}) // software instances have no SM2
	require.NoError(t, err)
	clientKey, err := hardware.CreateClientKey()
	require.NoError(t, err)
	g := newGateway(t, w.gatewayConfig())
	i := newInstance(t, alikms.InstanceConfig{Endpoint: hardware.Addr, CAPEM: hardware.CA(), ClientKey: clientKey.JSON, Password: clientKey.Password})
	message := []byte("what is signed")
	for name, c := range map[string]struct {
		create func(kmstest.KeySpec) (*kmstest.Key, error)
		public func(key, version string) (alikms.PublicKey, error)
		sign   func(key, version string, digest []byte) (alikms.Signature, error)
		verify func(key, version string, digest, signature []byte) (bool, error)
	}{
		"gateway": {
			w.region.CreateKey,
			func(key, version string) (alikms.PublicKey, error) { return g.GetPublicKey(t.Context(), key, version) },
			func(key, version string, digest []byte) (alikms.Signature, error) {
				return g.AsymmetricSign(t.Context(), key, version, alikms.SM2DSA, digest)
			},
			func(key, version string, digest, signature []byte) (bool, error) {
				return g.AsymmetricVerify(t.Context(), key, version, alikms.SM2DSA, digest, signature)
			},
		},
		"instance": {
			hardware.CreateKey,
			func(key, _ string) (alikms.PublicKey, error) { return i.GetPublicKey(t.Context(), key) },
			func(key, _ string, digest []byte) (alikms.Signature, error) {
				return i.Sign(t.Context(), key, alikms.SM2DSA, digest)
			},
			func(key, _ string, digest, signature []byte) (bool, error) {
				return i.Verify(t.Context(), key, alikms.SM2DSA, digest, signature)
			},
		},
	} {
		key := makeKey(t, c.create, kmstest.KeySpec{Spec: "EC_SM2", Usage: "SIGN/VERIFY"})
		exported, err := c.public(key.ID(), key.VersionID())
		require.NoError(t, err, name)
		require.Equal(t, key.ID(), exported.KeyID)
		public, err := verify.ParsePublicKey(string(exported.PEM))
		require.NoError(t, err)
		digest, err := public.Digest(message)
		require.NoError(t, err)

		signature, err := c.sign(key.ID(), key.VersionID(), digest)
		require.NoError(t, err, name)
		require.NoError(t, public.Verify(verify.SM2DSA, digest, signature.Value), "%s: without the KMS", name)
		ok, err := c.verify(key.ID(), key.VersionID(), digest, signature.Value)
		require.NoError(t, err)
		require.True(t, ok, name)
		other, err := public.Digest([]byte("another message"))
		require.NoError(t, err)
		ok, err = c.verify(key.ID(), key.VersionID(), other, signature.Value)
		require.NoError(t, err)
		require.False(t, ok, "a signature that is not valid is no error")
		require.Error(t, public.Verify(verify.SM2DSA, other, signature.Value))
	}

	opener := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Spec: "EC_SM2", Usage: "ENCRYPT/DECRYPT"})
	exported, err := g.GetPublicKey(t.Context(), opener.ID(), opener.VersionID())
	require.NoError(t, err)
	block, _ := pem.Decode(exported.PEM)
	require.NotNil(t, block)
	parsed, err := smx509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	public, ok := parsed.(*ecdsa.PublicKey)
	require.True(t, ok)
	sealed, err := sm2.EncryptASN1(rand.Reader, public, message)
	require.NoError(t, err)
	opened, err := g.AsymmetricDecrypt(t.Context(), opener.ID(), opener.VersionID(), alikms.SM2PKE, sealed)
	require.NoError(t, err)
	require.Equal(t, message, opened.Plaintext)
	crypted, err := g.AsymmetricEncrypt(t.Context(), opener.ID(), opener.VersionID(), alikms.SM2PKE, message)
	require.NoError(t, err)
	opened, err = g.AsymmetricDecrypt(t.Context(), opener.ID(), opener.VersionID(), alikms.SM2PKE, crypted.Ciphertext)
	require.NoError(t, err)
	require.Equal(t, message, opened.Plaintext)
}
