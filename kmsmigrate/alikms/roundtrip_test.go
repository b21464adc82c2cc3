package alikms_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestEveryFacePassesTheKeySuite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	gateway, rpc, instance := newGateway(t, w.gatewayConfig()), newGateway(t, w.rpcConfig()), newInstance(t, w.instanceConfig())
	header := w.instanceConfig()
	header.Form = alikms.FormMigrationHeader
	older := newInstance(t, header)
	inRegion, inInstance := w.region.CreateKey, w.instance.CreateKey
	for name, c := range map[string]struct {
		at     keyMaker
		create func(kmstest.KeySpec) (*kmstest.Key, error)
		uuid   bool
	}{
		"gateway, 1.0 key":           {gateway, inRegion, true},
		"gateway, 3.0 key":           {gateway, inRegion, false},
		"RPC face":                   {rpc, inInstance, false},
		"instance, Advance":          {instance, inInstance, false},
		"instance, UUID":             {instance, inInstance, true},
		"instance, migration header": {older, inInstance, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := makeKey(t, c.create, kmstest.KeySpec{UUID: c.uuid})
			other := makeKey(t, c.create, kmstest.KeySpec{UUID: c.uuid})
			require.NoError(t, keytest.TestKey(within(t, time.Minute), keyAt(t, c.at, key.ID()), keyAt(t, c.at, other.ID())))
		})
	}
}

func TestAliasesAndARNsNameTheSameKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true, Alias: "alias/app"})
	other := makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true, Alias: "alias/other"})
	gateway := newGateway(t, w.gatewayConfig())
	ctx := within(t, time.Minute)
	blob, err := keyAt(t, gateway, key.ID()).Encrypt(ctx, []byte("text"), nil)
	require.NoError(t, err)
	for _, name := range []string{"alias/app", key.ARN()} {
		named := keyAt(t, newGateway(t, w.gatewayConfig()), name)
		plaintext, err := named.Decrypt(ctx, blob, nil)
		require.NoError(t, err, name)
		require.Equal(t, "text", string(plaintext))
		ref, owned := named.Owns(blob)
		require.Equal(t, kmsmigrate.Mine, owned, name)
		require.Equal(t, key.ID(), ref.KeyID)
		require.NoError(t, keytest.TestKey(ctx, keyAt(t, gateway, name), keyAt(t, gateway, "alias/other")))
	}
	_, err = keyAt(t, newGateway(t, w.gatewayConfig()), "alias/other").Decrypt(ctx, blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrForeign)
	require.NotEmpty(t, other.ID())
	again := keyAt(t, gateway, "alias/app")
	require.Same(t, keyAt(t, gateway, "alias/app"), again, "asked again, the same Key")
}

// An alias on an instance's face, which has no DescribeKey, is resolved by what an encryption answers.
func TestAnAliasWithoutDirectoryIsResolvedByEncrypting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	ctx := within(t, time.Minute)
	blob, err := keyAt(t, newInstance(t, w.instanceConfig()), key.ID()).Encrypt(ctx, []byte{0xff, 0}, nil)
	require.NoError(t, err)
	plaintext, err := keyAt(t, newInstance(t, w.instanceConfig()), "alias/app").Decrypt(ctx, blob, nil)
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0}, plaintext)
}

func TestCiphertextCrossesFacesAndTheOfficialSDKs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	header := w.instanceConfig()
	header.Form = alikms.FormMigrationHeader
	ec := kmsmigrate.EncryptionContext{"b": "2", "a": "1"}
	ctx := within(t, time.Minute)
	faces := map[string]kmsmigrate.Key{
		"advance": keyAt(t, newInstance(t, w.instanceConfig()), key.ID()),
		"header":  keyAt(t, newInstance(t, header), key.ID()),
		"rpc":     keyAt(t, newGateway(t, w.rpcConfig()), key.ID()),
	}
	official, err := w.instance.RPCClient()
	require.NoError(t, err)
	for from, writer := range faces {
		blob, err := writer.Encrypt(ctx, []byte("text"), ec)
		require.NoError(t, err, from)
		for to, reader := range faces {
			plaintext, err := reader.Decrypt(ctx, blob, ec)
			require.NoError(t, err, "%s to %s", from, to)
			require.Equal(t, "text", string(plaintext))
		}
		request := kms.CreateDecryptRequest()
		request.CiphertextBlob, request.EncryptionContext = base64.StdEncoding.EncodeToString(blob), `{"a":"1","b":"2"}`
		answer, err := official.Decrypt(request)
		require.NoError(t, err, "the official SDK opens what %s wrote", from)
		require.Equal(t, "text", answer.Plaintext)
	}
}

func TestRotationTakesEffectOnTheInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	at := keyAt(t, newInstance(t, w.instanceConfig()), key.ID())
	ctx := within(t, time.Minute)
	before, err := at.Encrypt(ctx, []byte("text"), nil)
	require.NoError(t, err)
	require.NoError(t, key.Rotate())
	after, err := at.Encrypt(ctx, []byte("text"), nil)
	require.NoError(t, err)
	old, _ := kmsmigrate.BlobVersion(before)
	primary, _ := kmsmigrate.BlobVersion(after)
	require.NotEqual(t, old, primary)
	require.Equal(t, key.VersionID(), primary)
	for _, blob := range [][]byte{before, after} {
		plaintext, err := at.Decrypt(ctx, blob, nil)
		require.NoError(t, err)
		require.Equal(t, "text", string(plaintext))
	}
}

func TestBinaryPlaintextIsExactOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	ctx := within(t, time.Minute)
	binary := []byte{0xff, 0xfe, 0x00, 0x80}
	instance := keyAt(t, newInstance(t, w.instanceConfig()), key.ID())
	blob, err := instance.Encrypt(ctx, binary, nil)
	require.NoError(t, err)
	back, err := instance.Decrypt(ctx, blob, nil)
	require.NoError(t, err)
	require.Equal(t, binary, back)

	w.cloud.ResetEvidence()
	gateway := keyAt(t, newGateway(t, w.rpcConfig()), key.ID())
	_, err = gateway.Encrypt(ctx, binary, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = gateway.Encrypt(ctx, make([]byte, 6145), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.Zero(t, w.cloud.Count(kmstest.Match{}), "refused without a call")
	_, err = gateway.Decrypt(ctx, blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, "a JSON string cannot carry these bytes: mangled is an error, never a value")
}

func TestOneConnectionPerConcurrentCallAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	for name, at := range map[string]keyMaker{"gateway": newGateway(t, w.rpcConfig()), "instance": newInstance(t, w.instanceConfig())} {
		k := keyAt(t, at, key.ID())
		before := w.cloud.Connections(w.instance.Match())
		const workers, calls = 8, 25
		done := make(chan error, workers)
		for range workers {
			go func() {
				for range calls {
					if _, err := k.Encrypt(t.Context(), []byte("text"), nil); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range workers {
			require.NoError(t, <-done)
		}
		after := w.cloud.Connections(w.instance.Match())
		require.LessOrEqual(t, after.Opened-before.Opened, workers, name)
	}
}
