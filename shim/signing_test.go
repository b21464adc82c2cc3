package shim_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
	"github.com/keyhaul/keyhaul/shim"
)

// publish retains the public key of a key as a verifier does.
func publish(t *testing.T, at *kmstest.Region, key *kmstest.Key, asID string) *verify.Memory {
	t.Helper()
	public, err := plain(t, sdkClient(t, at), "GetPublicKey", "JSON", map[string]string{"KeyId": key.ID(), "KeyVersionId": key.VersionIDs()[0]})
	require.NoError(t, err)
	kept, err := verify.Retain(asID, key.VersionIDs()[0], text(t, public, "PublicKey"), time.Time{})
	require.NoError(t, err)
	store := new(verify.Memory)
	require.NoError(t, store.Add(kept))
	return store
}

// broken is a store that cannot be read.
type broken struct{}

func (broken) Find(context.Context, string, string) (verify.Retained, error) {
	return verify.Retained{}, errors.New("the store is away")
}

func TestSigningMovesOnceTheNewKeyIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, w, "EC_P256", "ECDSA_SHA_256")
	other, err := w.newAt.CreateKey(kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"})
	require.NoError(t, err)
	published := publish(t, w.newAt, s.new, s.new.ID())
	// Under the new key's name stands the public key of another: every verifier would refuse what the new one signs.
	public, err := plain(t, sdkClient(t, w.newAt), "GetPublicKey", "JSON", map[string]string{"KeyId": other.ID(), "KeyVersionId": other.VersionIDs()[0]})
	require.NoError(t, err)
	mixedUp, err := verify.Retain(s.new.ID(), s.new.VersionIDs()[0], text(t, public, "PublicKey"), time.Time{})
	require.NoError(t, err)
	wrong := new(verify.Memory)
	require.NoError(t, wrong.Add(mixedUp))

	sum := sha256.Sum256([]byte("message"))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		published verify.Store
		moves     bool
	}{
		"published": {published, true}, "not published": {new(verify.Memory), false}, "another's key": {wrong, false}, "a store that fails": {broken{}, false},
	} {
		for _, signing := range phases {
			config := w.config
			config.Phase, config.Signing, config.Published = kmsmigrate.Rewrite, signing, c.published
			transport, err := shim.NewTransport(config)
			require.NoError(t, err)
			client := w.client(t, transport)
			signed, err := plain(t, client, "AsymmetricSign", "JSON", plus(s.oldFields, "Digest", digest))
			held := signing.Writes() == kmsmigrate.SideNew && !c.moves
			require.EqualValues(t, map[bool]int{false: 0, true: 1}[held], transport.Stats().SigningHeld, "%s, %s", name, signing)
			if held && signing == kmsmigrate.NewOnly {
				require.Equal(t, "Forbidden.KeyVersionNotFound", serverError(t, err).ErrorCode(), name)
				require.Contains(t, serverError(t, err).Message(), "Published")
				require.NoError(t, transport.Close())
				continue
			}
			require.NoError(t, err, "%s, %s", name, signing)
			key, at := s.old, w.oldAt
			if signing.Writes() == kmsmigrate.SideNew && c.moves {
				key, at = s.new, w.newAt
			}
			require.Equal(t, key.ID(), text(t, signed, "KeyId"), "%s, %s", name, signing)
			require.Equal(t, key.VersionIDs()[0], text(t, signed, "KeyVersionId"))
			signatureHolds(t, w, s, client, key, at, digest, text(t, signed, "Value"))
			require.NoError(t, transport.Close())
		}
	}
}

// signatureHolds has the official client of the side verify a signature, and the shim, asked under the old name and the key's own.
func signatureHolds(t *testing.T, w *world, s signer, client *kms.Client, key *kmstest.Key, at *kmstest.Region, digest, value string) {
	t.Helper()
	named := map[string]string{"KeyId": key.ID(), "KeyVersionId": key.VersionIDs()[0], "Algorithm": s.algorithm}
	got, err := plain(t, sdkClient(t, at), "AsymmetricVerify", "JSON", plus(named, "Digest", digest, "Value", value))
	require.NoError(t, err)
	require.True(t, got.(*kms.AsymmetricVerifyResponse).Value)
	for _, under := range []map[string]string{s.oldFields, named} {
		got, err = plain(t, client, "AsymmetricVerify", "JSON", plus(under, "Digest", digest, "Value", value))
		require.NoError(t, err)
		require.True(t, got.(*kms.AsymmetricVerifyResponse).Value)
	}
}

func TestUnpublishedKeysAreNotAskedToSign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, w, "RSA_2048", "RSA_PSS_SHA_256")
	w.config.Signing, w.config.Published = kmsmigrate.WriteNew, new(verify.Memory)
	client := w.client(t, w.transport(t, kmsmigrate.Rewrite))
	digest := base64.StdEncoding.EncodeToString(make([]byte, 32))
	toOldSide, toNewSide := w.calls(func() {
		_, err := plain(t, client, "AsymmetricSign", "JSON", plus(s.oldFields, "Digest", digest))
		require.NoError(t, err)
	})
	require.Equal(t, [2]int{1, 0}, [2]int{toOldSide, toNewSide})
	signed, err := plain(t, client, "AsymmetricSign", "JSON", plus(s.newFields, "Digest", digest))
	require.NoError(t, err, "who names the new key means it")
	require.Equal(t, s.new.ID(), text(t, signed, "KeyId"))
}

func TestSigningThatMovesNeedsToKnowWhatIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	moving := new(kmsmigrate.PhaseSwitch)
	for _, c := range []struct {
		signing kmsmigrate.PhaseSource
		store   verify.Store
		good    bool
	}{
		{nil, nil, true}, {kmsmigrate.ReadBoth, nil, true}, {kmsmigrate.WriteNew, nil, false}, {kmsmigrate.Rewrite, nil, false}, {moving, nil, false},
		{kmsmigrate.NewOnly, nil, true}, {moving, new(verify.Memory), true},
	} {
		config := w.config
		config.Signing, config.Retained = c.signing, c.store
		transport, err := shim.NewTransport(config)
		if c.good {
			require.NoError(t, err)
			require.NoError(t, transport.Close())
		} else {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			require.ErrorContains(t, err, "Published")
		}
	}
}

// TestASignatureThatNobodyCanJudgeIsNotCalledInvalid has the old key gone without its public key being retained.
func TestASignatureThatNobodyCanJudgeIsNotCalledInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, w, "EC_P256", "ECDSA_SHA_256")
	digest := base64.StdEncoding.EncodeToString(make([]byte, 32))
	signed, err := plain(t, sdkClient(t, w.oldAt), "AsymmetricSign", "JSON", plus(s.oldFields, "Digest", digest))
	require.NoError(t, err)
	w.config.Signing = kmsmigrate.NewOnly
	client := w.client(t, w.transport(t, kmsmigrate.NewOnly))
	_, err = plain(t, client, "AsymmetricVerify", "JSON", plus(s.oldFields, "Digest", digest, "Value", text(t, signed, "Value")))
	require.Equal(t, "Forbidden.KeyNotFound", serverError(t, err).ErrorCode())
	require.Contains(t, serverError(t, err).Message(), "Retained")
}
