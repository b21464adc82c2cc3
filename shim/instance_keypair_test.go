package shim_test

import (
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
	"github.com/keyhaul/keyhaul/shim"
)

// TestSignaturesOfAnOldInstanceOutliveIt verifies against the retained public key, without a call, once nobody may ask the old side.
func TestSignaturesOfAnOldInstanceOutliveIt(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{Hardware: true}, kmstest.InstanceSpec{})
	id, version := w.old.signs.ID(), w.old.signs.VersionID()
	for kind, message := range map[string][]byte{"RAW": []byte("message"), "DIGEST": make([]byte, 32), "": []byte("message")} {
		algorithm, messageType := tea.String("ECDSA_SHA_256"), tea.String(kind)
		signed := gcsMust[dkms.SignResponse](t, w.old.official, "Sign", &dkms.SignRequest{KeyId: &id, Algorithm: algorithm, Message: message, MessageType: messageType})
		public := gcsMust[dkms.GetPublicKeyResponse](t, w.old.official, "GetPublicKey", &dkms.GetPublicKeyRequest{KeyId: &id})
		retained, err := verify.Retain(id, version, *public.PublicKey, time.Time{})
		require.NoError(t, err)
		store := new(verify.Memory)
		require.NoError(t, store.Add(retained))

		without := w.instance(t, kmsmigrate.NewOnly)
		_, err = without.Verify(&dkms.VerifyRequest{KeyId: &id, Algorithm: algorithm, Message: message, MessageType: messageType, Signature: signed.Signature})
		require.Contains(t, tea.StringValue(gcsError(t, err).Message), "Retained")
		_, err = without.GetPublicKey(&dkms.GetPublicKeyRequest{KeyId: &id})
		require.Equal(t, "Forbidden.KeyNotFound", tea.StringValue(gcsError(t, err).Code))

		w.config.Retained, w.config.KeyVersions = store, map[string]string{id: version}
		i := w.instance(t, kmsmigrate.NewOnly)
		w.cloud.ResetEvidence()
		request := &dkms.VerifyRequest{KeyId: &id, Algorithm: algorithm, Message: message, MessageType: messageType, Signature: signed.Signature}
		got, err := i.Verify(request)
		require.NoError(t, err)
		require.True(t, *got.Value)
		require.Equal(t, []string{id, "ECDSA_SHA_256", kind, "local"}, []string{*got.KeyId, *got.Algorithm, *got.MessageType, gcsHeader(got, "x-keyhaul-side")})
		direct := gcsMust[dkms.VerifyResponse](t, w.old.official, "Verify", request)
		require.Equal(t, gcsBlank(t, direct), gcsBlank(t, got))
		w.cloud.ResetEvidence()
		other := *request
		other.Message = make([]byte, 32)
		other.Message[0] = 1
		got, err = i.Verify(&other)
		require.NoError(t, err)
		require.False(t, *got.Value)
		other.Algorithm = tea.String("RSA_PSS_SHA_256")
		_, err = i.Verify(&other)
		require.Equal(t, "InvalidParam", tea.StringValue(gcsError(t, err).Code))
		other = *request
		other.Algorithm = nil // the key has one
		got, err = i.Verify(&other)
		require.NoError(t, err)
		require.True(t, *got.Value)
		kept, err := i.GetPublicKey(&dkms.GetPublicKeyRequest{KeyId: &id})
		require.NoError(t, err)
		require.Equal(t, *public.PublicKey, *kept.PublicKey)
		require.Zero(t, w.cloud.Count(kmstest.Match{}), "nobody was called")
		w.config.Retained, w.config.KeyVersions = nil, nil
	}
}

// TestSigningOfAnInstanceMovesInAnOrderOfItsOwn has an application that goes on naming the old key.
func TestSigningOfAnInstanceMovesInAnOrderOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	id, algorithm, raw := tea.String(w.old.signs.ID()), tea.String("ECDSA_SHA_256"), tea.String("RAW")
	sign := &dkms.SignRequest{KeyId: id, Algorithm: algorithm, Message: []byte("message"), MessageType: raw}
	before := gcsMust[dkms.SignResponse](t, w.old.official, "Sign", sign)
	_, err := shim.NewMigratingInstance(shim.InstanceConfig{Old: w.config.Old, Signing: kmsmigrate.WriteNew})
	require.ErrorContains(t, err, "Published")
	published := new(verify.Memory)
	w.config.Signing, w.config.Published = kmsmigrate.WriteNew, published
	w.config.KeyVersions = map[string]string{w.new.signs.ID(): w.new.signs.VersionID()}
	i := w.instance(t, kmsmigrate.ReadBoth)
	held, err := i.Sign(sign)
	require.NoError(t, err)
	require.Equal(t, w.old.signs.ID(), *held.KeyId, "no verifier has the new key")
	require.Equal(t, int64(1), i.Stats().SigningHeld)
	w.config.Signing = kmsmigrate.NewOnly
	_, err = w.instance(t, kmsmigrate.ReadBoth).Sign(sign)
	require.Contains(t, *gcsError(t, err).Message, "Published")

	public := gcsMust[dkms.GetPublicKeyResponse](t, w.new.official, "GetPublicKey", &dkms.GetPublicKeyRequest{KeyId: tea.String(w.new.signs.ID())})
	key, err := verify.Retain(w.new.signs.ID(), w.new.signs.VersionID(), *public.PublicKey, time.Time{})
	require.NoError(t, err)
	require.NoError(t, published.Add(key))
	after, err := i.Sign(sign)
	require.NoError(t, err)
	require.Equal(t, w.new.signs.ID(), *after.KeyId)
	for signature, key := range map[string]string{string(before.Signature): w.old.signs.ID(), string(after.Signature): w.new.signs.ID()} {
		got, err := i.Verify(&dkms.VerifyRequest{KeyId: id, Algorithm: algorithm, Message: []byte("message"), MessageType: raw, Signature: []byte(signature)})
		require.NoError(t, err)
		require.True(t, *got.Value)
		require.Equal(t, key, *got.KeyId)
	}
	got, err := i.Verify(&dkms.VerifyRequest{KeyId: id, Algorithm: algorithm, Message: []byte("another"), MessageType: raw, Signature: before.Signature})
	require.NoError(t, err)
	require.False(t, *got.Value)
}
