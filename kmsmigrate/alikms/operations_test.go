package alikms_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// dataKeyMaker is the Key that this package returns.
func dataKeyMaker(tb testing.TB, at keyMaker, id string) *alikms.Key {
	tb.Helper()
	key, ok := keyAt(tb, at, id).(*alikms.Key)
	require.True(tb, ok)
	return key
}

func TestDataKeysTakeOneCallAndWrapText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	require.NoError(t, key.Rotate())
	official, err := w.instance.TransferClient(w.clientKey)
	require.NoError(t, err)
	require.NotNil(t, official)
	gateway, instance := newGateway(t, w.rpcConfig()), newInstance(t, w.instanceConfig())
	for name, at := range map[string]keyMaker{"rpc": gateway, "instance": instance} {
		k := dataKeyMaker(t, at, key.ID())
		w.cloud.ResetEvidence()
		plaintext, ciphertext, err := k.GenerateDataKey(t.Context(), 32, plantedContext())
		require.NoError(t, err, name)
		require.Equal(t, 1, w.cloud.Count(kmstest.Match{}), name)
		raw, err := base64.StdEncoding.DecodeString(string(plaintext))
		require.NoError(t, err)
		require.Len(t, raw, 32)
		require.Len(t, ciphertext, 108, "44 characters and 64 bytes around them")
		version, _ := kmsmigrate.BlobVersion(ciphertext)
		require.Equal(t, key.VersionID(), version, "the primary version wraps")
		ref, owned := k.Owns(ciphertext)
		require.Equal(t, kmsmigrate.Mine, owned)
		require.Equal(t, version, ref.VersionID)
		for where, other := range map[string]keyMaker{"rpc": gateway, "instance": instance} {
			text, err := keyAt(t, other, key.ID()).Decrypt(t.Context(), ciphertext, plantedContext())
			require.NoError(t, err, where)
			require.Equal(t, plaintext, text, where)
		}
		for _, size := range []int{0, -1, 1025} {
			plaintext, ciphertext, err = k.GenerateDataKey(t.Context(), size, nil)
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			require.Nil(t, plaintext)
			require.Nil(t, ciphertext)
		}
		for _, body := range []kmstest.Body{kmstest.BodyEmpty, kmstest.BodyObject, kmstest.BodyNull, kmstest.BodyTruncated} {
			remove := w.cloud.Inject(kmstest.Fault{Body: body})
			plaintext, ciphertext, err = k.GenerateDataKey(t.Context(), 32, nil)
			remove()
			require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, "%s: %s", name, body)
			require.Nil(t, plaintext)
			require.Nil(t, ciphertext)
		}
	}
}

func TestGatewayOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g := newGateway(t, w.gatewayConfig())
	ctx := within(t, time.Minute)
	old, fresh := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.region.CreateKey, kmstest.KeySpec{})

	sealed, err := g.Encrypt(ctx, old.ID(), []byte("text"), alikms.Binding{Context: plantedContext()})
	require.NoError(t, err)
	require.Equal(t, old.VersionID(), sealed.VersionID)
	raw := fmt.Sprintf(`{"tenant": %q}`, plantedValue)
	opened, err := g.Decrypt(ctx, sealed.Ciphertext, alikms.Binding{Raw: raw})
	require.NoError(t, err, "a raw context of the same meaning")
	require.Equal(t, "text", string(opened.Plaintext))
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", opened, opened, opened), "text\"")
	_, err = g.Decrypt(ctx, sealed.Ciphertext, alikms.Binding{Raw: raw, Context: plantedContext()})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	requireSilent(t, err)

	moved, err := g.ReEncrypt(ctx, sealed.Ciphertext, alikms.Binding{Context: plantedContext()}, fresh.ID(), alikms.Binding{})
	require.NoError(t, err)
	version, _ := kmsmigrate.BlobVersion(moved.Ciphertext)
	require.Equal(t, fresh.VersionID(), version)
	opened, err = g.Decrypt(ctx, moved.Ciphertext, alikms.Binding{})
	require.NoError(t, err)
	require.Equal(t, "text", string(opened.Plaintext))
	require.Equal(t, fresh.ID(), opened.KeyID)

	key, err := g.GenerateDataKey(ctx, fresh.ID(), 16, alikms.Binding{})
	require.NoError(t, err)
	require.Len(t, key.Plaintext, 16)
	wrapped, err := g.GenerateDataKeyWithoutPlaintext(ctx, fresh.ID(), 32, alikms.Binding{})
	require.NoError(t, err)
	require.Nil(t, wrapped.Plaintext)
	require.Len(t, wrapped.Ciphertext, 108)
	password, err := g.GetRandomPassword(ctx, 20)
	require.NoError(t, err)
	require.Len(t, password, 20)
}

func TestAsymmetricOperationsOfBothFaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g, i := newGateway(t, w.rpcConfig()), newInstance(t, w.instanceConfig())
	ctx := within(t, time.Minute)
	signer := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"})
	rsaKey := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"})
	digest := sha256.Sum256([]byte("message"))
	other := sha256.Sum256([]byte("another"))

	signature, err := g.AsymmetricSign(ctx, signer.ID(), signer.VersionIDs()[0], alikms.ECDSASHA256, digest[:])
	require.NoError(t, err)
	for want, d := range map[bool][]byte{true: digest[:], false: other[:]} {
		valid, err := g.AsymmetricVerify(ctx, signer.ID(), signer.VersionIDs()[0], alikms.ECDSASHA256, d, signature.Value)
		require.NoError(t, err)
		require.Equal(t, want, valid)
		valid, err = i.Verify(ctx, signer.ID(), alikms.ECDSASHA256, d, signature.Value)
		require.NoError(t, err)
		require.Equal(t, want, valid)
	}
	signature, err = i.Sign(ctx, signer.ID(), alikms.ECDSASHA256, digest[:])
	require.NoError(t, err)
	valid, err := i.Verify(ctx, signer.ID(), alikms.ECDSASHA256, digest[:], signature.Value)
	require.NoError(t, err)
	require.True(t, valid)

	public, err := g.GetPublicKey(ctx, signer.ID(), signer.VersionIDs()[0])
	require.NoError(t, err)
	same, err := i.GetPublicKey(ctx, signer.ID())
	require.NoError(t, err)
	require.Equal(t, string(public.PEM), string(same.PEM))

	sealed, err := g.AsymmetricEncrypt(ctx, rsaKey.ID(), rsaKey.VersionIDs()[0], alikms.RSAOAEPSHA256, []byte{0xff, 0})
	require.NoError(t, err)
	opened, err := g.AsymmetricDecrypt(ctx, rsaKey.ID(), rsaKey.VersionIDs()[0], alikms.RSAOAEPSHA256, sealed.Ciphertext)
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0}, opened.Plaintext)
	parts, err := i.AsymmetricEncrypt(ctx, rsaKey.ID(), alikms.RSAOAEPSHA256, []byte{0xff, 0})
	require.NoError(t, err)
	parts.VersionID = ""
	opened, err = i.Decrypt(ctx, parts, alikms.Binding{})
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0}, opened.Plaintext)
}

func TestInstanceOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	i := newInstance(t, w.instanceConfig())
	ctx := within(t, time.Minute)
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	b := alikms.Binding{Raw: "aad as it is"}

	sealed, err := i.AdvanceEncrypt(ctx, key.ID(), []byte{0xff}, b)
	require.NoError(t, err)
	for _, blob := range [][]byte{sealed.Ciphertext, append([]byte{0x24, 0, 2}, sealed.Ciphertext...)} {
		opened, err := i.AdvanceDecrypt(ctx, blob, b)
		require.NoError(t, err)
		require.Equal(t, []byte{0xff}, opened.Plaintext)
	}
	parts, err := i.Encrypt(ctx, key.ID(), []byte{0xff}, b)
	require.NoError(t, err)
	opened, err := i.Decrypt(ctx, parts, b)
	require.NoError(t, err)
	require.Equal(t, []byte{0xff}, opened.Plaintext)
	plaintext, wrapped, err := i.GenerateDataKey(ctx, key.ID(), 32, b)
	require.NoError(t, err)
	opened, err = i.Decrypt(ctx, wrapped, b)
	require.NoError(t, err)
	require.Equal(t, plaintext, opened.Plaintext)
	made, err := i.AdvanceGenerateDataKey(ctx, key.ID(), 32, b)
	require.NoError(t, err)
	require.Len(t, made.Ciphertext, 96)
	require.False(t, made.Text)
	opened, err = i.AdvanceDecrypt(ctx, made.Ciphertext, b)
	require.NoError(t, err)
	require.Equal(t, made.Plaintext, opened.Plaintext, "raw bytes are wrapped")
	random, err := i.GenerateRandom(ctx, 24)
	require.NoError(t, err)
	require.Len(t, random, 24)
}

func TestTheControlPlane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g := newGateway(t, w.gatewayConfig())
	plane := g.ControlPlane()
	ctx := within(t, 30*time.Second)

	made, err := plane.CreateKey(ctx, resource.KeySpec{Instance: w.instance.ID, Description: "new", RotationInterval: 90 * 24 * time.Hour})
	require.NoError(t, err)
	key, err := plane.DescribeKey(ctx, made.ID)
	require.NoError(t, err)
	require.Equal(t, made, key)
	require.Equal(t, resource.Enabled, key.State)
	require.Equal(t, w.instance.ID, key.Instance)
	require.True(t, key.Symmetric())
	require.Equal(t, resource.RotationEnabled, key.Rotation.Mode)
	require.Equal(t, 90*24*time.Hour, key.Rotation.Interval)
	require.WithinDuration(t, w.cloud.Now(), key.Created, time.Minute)

	require.NoError(t, plane.RotateEvery(ctx, key.ID, 0))
	require.NoError(t, plane.TagKey(ctx, key.ID, map[string]string{"team": "a b", "env": "p"}))
	tags, err := plane.KeyTags(ctx, key.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "a b", "env": "p"}, tags)
	require.NoError(t, plane.CreateAlias(ctx, "alias/one", key.ID))
	second, err := plane.CreateKey(ctx, resource.KeySpec{})
	require.NoError(t, err)
	require.NoError(t, plane.UpdateAlias(ctx, "alias/one", second.ID))
	for alias, err := range plane.AliasesOf(ctx, second.ID) {
		require.NoError(t, err)
		require.Equal(t, "alias/one", alias.Name)
	}
	require.NoError(t, plane.DeleteAlias(ctx, "alias/one"))
	for alias, err := range plane.Aliases(ctx) {
		require.NoError(t, err)
		require.NotEqual(t, "alias/one", alias.Name)
	}
	require.NoError(t, plane.DisableKey(ctx, key.ID))
	key, err = plane.DescribeKey(ctx, key.ID)
	require.NoError(t, err)
	require.Equal(t, resource.Disabled, key.State)
	require.NoError(t, plane.EnableKey(ctx, key.ID))
	require.NoError(t, plane.ProtectKey(ctx, key.ARN, true, "in use"))
	key, err = plane.DescribeKey(ctx, key.ID)
	require.NoError(t, err)
	require.True(t, key.DeletionProtected)
	require.NoError(t, plane.ProtectKey(ctx, key.ARN, false, ""))
	require.ErrorIs(t, plane.ScheduleKeyDeletion(ctx, key.ID, 6), kmsmigrate.ErrInvalid)
	require.NoError(t, plane.ScheduleKeyDeletion(ctx, key.ID, 7))
	key, err = plane.DescribeKey(ctx, key.ID)
	require.NoError(t, err)
	require.Equal(t, resource.PendingDeletion, key.State)
	require.False(t, key.DeleteAt.IsZero())
	require.NoError(t, plane.CancelKeyDeletion(ctx, key.ID))
	_, err = plane.DescribeKey(ctx, "key-none")
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)

	var ids []string
	for id, err := range plane.Instances(ctx) {
		require.NoError(t, err)
		ids = append(ids, id)
	}
	require.Equal(t, []string{w.instance.ID}, ids)
	instance, err := plane.DescribeInstance(ctx, w.instance.ID)
	require.NoError(t, err)
	require.Equal(t, w.instance.ID, instance.ID)
	require.Equal(t, resource.StatusConnected, instance.Status)
	require.Equal(t, string(w.instance.CA()), instance.CAPEM)
	require.Positive(t, instance.QPS)

	_, err = newGateway(t, w.rpcConfig()).ControlPlane().DescribeKey(ctx, key.ID)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "an instance's face has no control plane")
}

func TestListsArePagedAndCanBeLeftEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	want := map[string]bool{}
	for range 103 {
		want[makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()] = true
	}
	disabled := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	require.NoError(t, disabled.Disable())
	plane := newGateway(t, w.gatewayConfig()).ControlPlane()
	got := map[string]bool{}
	filter := resource.KeyFilter{States: []resource.KeyState{resource.Enabled}, Creators: []string{resource.CreatorUser}}
	for id, err := range plane.Keys(t.Context(), filter) {
		require.NoError(t, err)
		got[id] = true
	}
	require.Equal(t, want, got)
	w.cloud.ResetEvidence()
	for _, err := range plane.Keys(t.Context(), resource.KeyFilter{}) {
		require.NoError(t, err)
		break
	}
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{}), "no page is fetched that nobody asks for")
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "ListKeys"}, Status: 403, Code: "Forbidden.NoPermission"})
	for id, err := range plane.Keys(t.Context(), resource.KeyFilter{}) {
		require.Empty(t, id)
		require.ErrorIs(t, err, kmsmigrate.ErrDenied)
	}
}

func TestSecretsAreCopiedExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	g := newGateway(t, w.gatewayConfig())
	plane := g.ControlPlane()
	ctx := within(t, time.Minute)
	text := "planted: 密码 & more"
	spec := resource.SecretSpec{Name: "db", Tags: map[string]string{"a": "b"}, Value: resource.SecretValue{VersionID: "v1", Data: []byte(text)}}
	require.NoError(t, plane.CreateSecret(ctx, spec))
	require.NoError(t, plane.PutSecretValue(ctx, "db", resource.SecretValue{VersionID: "v2", Data: []byte("AAEC"), Binary: true}))
	require.NoError(t, plane.PutSecretValue(ctx, "db", resource.SecretValue{VersionID: "v2", Data: []byte("AAEC"), Binary: true}), "again is fine")
	value, err := plane.SecretValue(ctx, "db", "")
	require.NoError(t, err)
	require.Equal(t, "AAEC", string(value.Data))
	require.True(t, value.Binary)
	require.Equal(t, []string{resource.StageCurrent}, value.Stages)
	value, err = g.GetSecretValue(ctx, "db", "", resource.StagePrevious)
	require.NoError(t, err)
	require.Equal(t, text, string(value.Data))
	require.NoError(t, plane.MoveSecretStage(ctx, "db", resource.StageCurrent, "v2", "v1"))
	stages := map[string][]string{}
	for version, err := range plane.SecretVersions(ctx, "db") {
		require.NoError(t, err)
		stages[version.ID] = version.Stages
	}
	require.Contains(t, stages["v1"], resource.StageCurrent)
	secret, err := plane.DescribeSecret(ctx, "db")
	require.NoError(t, err)
	require.Equal(t, "Generic", secret.Type)
	require.Equal(t, map[string]string{"a": "b"}, secret.Tags)
	for name, err := range plane.Secrets(ctx) {
		require.NoError(t, err)
		require.Equal(t, "db", name)
	}
	err = plane.CreateSecret(ctx, spec)
	require.Error(t, err)
	requireSilent(t, err)
	for _, bad := range []resource.SecretValue{{VersionID: "v"}, {Data: []byte("x")}, {VersionID: "v", Data: make([]byte, 30721)}, {VersionID: "v", Data: []byte{0xff}}} {
		require.ErrorIs(t, plane.PutSecretValue(ctx, "db", bad), kmsmigrate.ErrInvalid)
	}
}

// What creates something is not repeated when nobody knows whether it was carried out.
func TestACreationIsNotCarriedOutTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	plane := newGateway(t, w.gatewayConfig()).ControlPlane()
	for _, fault := range []kmstest.Fault{{Reset: kmstest.ResetAfter}, {Status: 500}} {
		w.cloud.ResetEvidence()
		fault.Match, fault.Times = kmstest.Match{Action: "CreateKey"}, 1
		w.cloud.Inject(fault)
		_, err := plane.CreateKey(t.Context(), resource.KeySpec{})
		require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		require.Equal(t, 1, w.cloud.Count(kmstest.Match{Action: "CreateKey"}))
	}
	w.cloud.ResetEvidence()
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "CreateKey"}, Times: 1, Status: 429})
	_, err := plane.CreateKey(t.Context(), resource.KeySpec{})
	require.NoError(t, err, "what was refused for its rate was not carried out")
	require.Equal(t, 2, w.cloud.Count(kmstest.Match{Action: "CreateKey"}))
}

func TestDataKeyPairsAreWrapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	i := newInstance(t, w.instanceConfig())
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	b := alikms.Binding{Context: plantedContext()}
	pair, err := i.AdvanceGenerateDataKeyPair(t.Context(), key.ID(), "EC_P256", "PEM", b)
	require.NoError(t, err)
	require.NotEmpty(t, pair.PublicKey)
	opened, err := i.AdvanceDecrypt(t.Context(), pair.Ciphertext, b)
	require.NoError(t, err)
	require.Equal(t, pair.PrivateKey, opened.Plaintext)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", pair, pair, pair), "PRIVATE")
	pair, err = i.AdvanceGenerateDataKeyPairWithoutPlaintext(t.Context(), key.ID(), "EC_P256", "PEM", b)
	require.NoError(t, err)
	require.Nil(t, pair.PrivateKey)
	opened, err = i.AdvanceDecrypt(t.Context(), pair.Ciphertext, b)
	require.NoError(t, err)
	require.NotEmpty(t, opened.Plaintext)
}
