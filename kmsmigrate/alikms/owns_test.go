package alikms_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

const uuidID = "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf"

// blobOf is ciphertext of no key, with a version id in front.
func blobOf(version string) []byte {
	return append([]byte(version), bytes.Repeat([]byte{7}, 40)...)
}

func requireOwned(tb testing.TB, want kmsmigrate.Ownership, k kmsmigrate.Key, blob []byte, why string) kmsmigrate.KeyRef {
	tb.Helper()
	ref, owned := k.Owns(blob)
	require.Equal(tb, want, owned, why)
	return ref
}

func TestOwnsReadsTheVersionID(t *testing.T) {
	t.Parallel()
	const mine, version = "key-hzz62f1cb66fa42qo1234", "key-hzz62f1cb66fa42qo1234-17kedv0001"
	const others = "key-hzz62f1cb66fa42qo9999-17kedv0001"
	listed := "aaaaaaaa-3d16-4894-bd4f-1fc43f3f2abf"
	config := alikms.GatewayConfig{
		Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "secret", Account: "1", Instance: "kst-1",
		Versions: map[string][]string{uuidID: {listed}, "alias/app": {listed}},
	}
	g := newGateway(t, config)
	born, moved, alias := keyAt(t, g, mine), keyAt(t, g, uuidID), keyAt(t, g, "alias/app")

	ref := requireOwned(t, kmsmigrate.Mine, born, blobOf(version), "the id begins with the key's")
	require.Equal(t, kmsmigrate.KeyRef{Endpoint: "kms.cn-hangzhou.aliyuncs.com", Account: "1", Region: "cn-hangzhou", Instance: "kst-1", KeyID: mine, VersionID: version}, ref)
	ref = requireOwned(t, kmsmigrate.Foreign, born, blobOf(others), "the id begins with another key's")
	require.Equal(t, others, ref.VersionID)
	require.Empty(t, ref.Endpoint)
	requireOwned(t, kmsmigrate.Unknown, born, blobOf(uuidID), "a UUID tells nothing")

	requireOwned(t, kmsmigrate.Mine, moved, blobOf(listed), "listed in the config")
	requireOwned(t, kmsmigrate.Unknown, moved, blobOf(version), "a key moved by the console's tool has 3.0 version ids that do not begin with its own id")
	requireOwned(t, kmsmigrate.Mine, alias, blobOf(listed), "listed for the alias")
	requireOwned(t, kmsmigrate.Unknown, alias, blobOf(version), "an alias tells nothing before it is resolved")

	for _, k := range []kmsmigrate.Key{born, moved, alias} {
		for _, n := range []int{0, 1, 35, 36, 47, 63} {
			requireOwned(t, kmsmigrate.Foreign, k, blobOf(version)[:n], "no ciphertext of the KMS is that short")
		}
		requireOwned(t, kmsmigrate.Foreign, k, bytes.Repeat([]byte{0xff}, 100), "no version id")
	}
}

// A clone that was restored from a backup has the ids of its origin.
func TestARestoredCloneIsMineOnBothSides(t *testing.T) {
	t.Parallel()
	const id = "key-hzz62f1cb66fa42qo1234"
	for _, region := range []string{"cn-hangzhou", "cn-beijing"} {
		g := newGateway(t, alikms.GatewayConfig{Region: region, AccessKeyID: "id", AccessKeySecret: "secret"})
		ref := requireOwned(t, kmsmigrate.Mine, keyAt(t, g, id), blobOf(id+"-17kedv0001"), region)
		require.Equal(t, region, ref.Region)
	}
}

func TestOwnsLearnsFromSuccessAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	mine, other := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true})
	writer := newGateway(t, w.gatewayConfig())
	ours, err := keyAt(t, writer, mine.ID()).Encrypt(t.Context(), []byte("x"), plantedContext())
	require.NoError(t, err)
	theirs, err := keyAt(t, writer, other.ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)

	cfg := w.gatewayConfig()
	cfg.Instance = "kst-x" // so that nobody lists versions
	k := keyAt(t, newGateway(t, cfg), mine.ID())
	requireOwned(t, kmsmigrate.Unknown, k, ours, "nothing is known yet")
	_, err = k.Decrypt(t.Context(), ours, nil) // the context is missing
	require.Error(t, err)
	requireOwned(t, kmsmigrate.Unknown, k, ours, "a failure teaches nothing")
	_, err = k.Decrypt(t.Context(), ours, plantedContext())
	require.NoError(t, err)
	ref := requireOwned(t, kmsmigrate.Mine, k, ours, "a success teaches")
	require.Equal(t, mine.ID(), ref.KeyID)
	require.Equal(t, mine.VersionID(), ref.VersionID)

	_, err = k.Decrypt(t.Context(), theirs, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrForeign, "the gateway opens it all the same, with the other key")
	requireOwned(t, kmsmigrate.Foreign, k, theirs, "that it opened with another key is knowledge too")
	w.cloud.ResetEvidence()
	_, err = k.Decrypt(t.Context(), theirs, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrForeign)
	require.Zero(t, w.cloud.Count(kmstest.Match{}), "what is known to be foreign costs no call")
}

func TestForeignCiphertextIsRecognisedByAListOfVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	old, fresh := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	gateway := newGateway(t, w.gatewayConfig())
	cfg := w.instanceConfig()
	cfg.Directory = gateway
	k := keyAt(t, newInstance(t, cfg), fresh.ID())
	blob, err := keyAt(t, gateway, old.ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	w.cloud.ResetEvidence()
	for range 3 {
		_, err = k.Decrypt(t.Context(), blob, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrForeign)
	}
	requireOwned(t, kmsmigrate.Foreign, k, blob, "the list of the key's versions lacks it")
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{Action: "ListKeyVersions"}))
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{}), "no decryption was tried")
}

func TestNoPermissionToListDegradesToTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	old, fresh := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	gateway := newGateway(t, w.gatewayConfig())
	cfg := w.instanceConfig()
	cfg.Directory = gateway
	k := keyAt(t, newInstance(t, cfg), fresh.ID())
	blob, err := keyAt(t, gateway, old.ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "ListKeyVersions"}, Status: 403, Code: "Forbidden.NoPermission"})
	w.cloud.ResetEvidence()
	for range 3 {
		_, err = k.Decrypt(t.Context(), blob, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrForeign)
	}
	requireOwned(t, kmsmigrate.Unknown, k, blob, "nothing was learned")
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{Action: "ListKeyVersions"}), "asked once an interval")
	require.Equal(t, 3, w.cloud.Count(kmstest.Match{Action: "AdvanceDecrypt"}))
	require.ErrorIs(t, k.(*alikms.Key).Refresh(t.Context()), kmsmigrate.ErrDenied, "asked for in so many words, it is an error")
}

func TestRefreshTellsEveryVersionBeforeACensus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true, Alias: "alias/app"})
	for range 3 {
		require.NoError(t, key.Rotate())
	}
	g := newGateway(t, w.gatewayConfig())
	for _, name := range []string{key.ID(), "alias/app", key.ARN()} {
		k := keyAt(t, g, name).(*alikms.Key)
		require.NoError(t, k.Refresh(t.Context()))
		require.Len(t, key.VersionIDs(), 4)
		for _, version := range key.VersionIDs() {
			ref := requireOwned(t, kmsmigrate.Mine, k, blobOf(version), name)
			require.Equal(t, key.ID(), ref.KeyID)
		}
	}
	none := keyAt(t, newInstance(t, w.instanceConfig()), key.ID()).(*alikms.Key)
	require.ErrorIs(t, none.Refresh(t.Context()), kmsmigrate.ErrInvalid)
}

func TestBothSidesOfAClientFindTheirCiphertext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	old, fresh := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	gateway, instance := newGateway(t, w.gatewayConfig()), newInstance(t, w.instanceConfig())
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keyAt(t, gateway, old.ID()), New: keyAt(t, instance, fresh.ID())})
	require.NoError(t, err)
	ctx := within(t, 20*time.Second)
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	before, err := keyAt(t, gateway, old.ID()).Encrypt(ctx, []byte("text"), ec)
	require.NoError(t, err)
	renewed, err := client.Renew(ctx, before, ec)
	require.NoError(t, err)
	require.Equal(t, fresh.ID(), renewed.To.KeyID)
	require.NoError(t, old.Disable())
	opened, err := client.Open(ctx, renewed.Ciphertext, ec)
	require.NoError(t, err)
	require.Equal(t, "text", string(opened.Plaintext))
	_, err = client.Open(ctx, before, ec)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState, "a disabled key is final")
	require.True(t, strings.HasPrefix(string(renewed.Ciphertext), fresh.ID()))
}
