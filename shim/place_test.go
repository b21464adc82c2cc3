package shim_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
	"github.com/keyhaul/keyhaul/shim"
)

func sealWith(t *testing.T, client any, keyID string) string {
	t.Helper()
	made, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": keyID, "Plaintext": "hello"})
	require.NoError(t, err)
	return text(t, made, "CiphertextBlob")
}

// TestTwoAccountsOfOneRegionAreTwoPlaces has a key of the new account that Keys does not name, too.
func TestTwoAccountsOfOneRegionAreTwoPlaces(t *testing.T) {
	t.Parallel()
	for _, said := range []bool{true, false} {
		a, err := kmstest.Start(kmstest.Config{Account: "1111111111111111"})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, a.Close()) })
		b, err := kmstest.Start(kmstest.Config{Account: "2222222222222222", Seed: 2})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		oldAt, oldKey := place(t, a, "cn-hangzhou", kmstest.KeySpec{})
		newAt, newKey := place(t, b, "cn-hangzhou", kmstest.KeySpec{})
		other, err := newAt.CreateKey(kmstest.KeySpec{})
		require.NoError(t, err)
		w := &world{oldAt: oldAt, config: shim.Config{
			Old: oldAt.GatewayConfig(), New: newAt.GatewayConfig(), Keys: kmsmigrate.KeyMap{Keys: map[string]string{oldKey.ID(): newKey.ID()}},
		}}
		if !said { // the access keys differ, so nobody knows
			w.config.Old.Account, w.config.New.Account = "", ""
			_, secret := b.Credentials()
			w.config.New.AccessKeyID, w.config.New.AccessKeySecret = b.CreateAccessKey()
			require.NotEqual(t, secret, w.config.New.AccessKeySecret)
		}
		blobs := []string{sealWith(t, sdkClient(t, oldAt), oldKey.ID()), sealWith(t, sdkClient(t, newAt), newKey.ID()), sealWith(t, sdkClient(t, newAt), other.ID())}
		for _, phase := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
			client := w.client(t, w.transport(t, phase))
			for range 3 {
				for _, blob := range blobs {
					got, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": blob})
					require.NoError(t, err, phase)
					require.Equal(t, "hello", text(t, got, "Plaintext"))
				}
			}
			moved, err := plain(t, client, "ReEncrypt", "JSON", map[string]string{"CiphertextBlob": blobs[0], "DestinationKeyId": oldKey.ID()})
			require.NoError(t, err, phase)
			back, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, moved, "CiphertextBlob")})
			require.NoError(t, err, phase)
			require.Equal(t, "hello", text(t, back, "Plaintext"))
		}
	}
}

// TestANewKeysAliasIsFoundWithoutDescribeKey has both sides in one place, where only the key id tells them apart.
func TestANewKeysAliasIsFoundWithoutDescribeKey(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	at, _ := place(t, cloud, "cn-hangzhou", kmstest.KeySpec{Alias: "alias/app"})
	_, newKey := place(t, cloud, "cn-hangzhou", kmstest.KeySpec{Alias: "alias/app-new"})
	w := &world{oldAt: at, config: shim.Config{
		Old: at.GatewayConfig(), New: at.GatewayConfig(), Keys: kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": "alias/app-new"}},
	}}
	cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "DescribeKey"}, Status: 403, Code: "Forbidden.NoPermission"})
	ofNew, ofOld := sealWith(t, sdkClient(t, at), newKey.ID()), sealWith(t, sdkClient(t, at), "alias/app")
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly} {
		for _, writes := range []bool{true, false} {
			client := w.client(t, w.transport(t, phase))
			blob := ofNew
			if writes {
				blob = sealWith(t, client, "alias/app")
			}
			got, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": blob})
			require.NoError(t, err, phase)
			require.Equal(t, "hello", text(t, got, "Plaintext"))
			require.Empty(t, got.GetHttpHeaders()["X-Keyhaul-Stale"], phase)
			got, err = plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": ofOld})
			if phase == kmsmigrate.NewOnly {
				require.ErrorContains(t, err, "is not the new side's")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, phase == kmsmigrate.Rewrite, len(got.GetHttpHeaders()["X-Keyhaul-Stale"]) == 1, phase)
		}
	}

	// Nothing can be found out: the reason is the answer, and not that it were the old side's.
	cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "Encrypt"}, Status: 403, Code: "Forbidden.NoPermission"})
	_, err = plain(t, w.client(t, w.transport(t, kmsmigrate.NewOnly)), "Decrypt", "JSON", map[string]string{"CiphertextBlob": ofNew})
	require.Equal(t, "Forbidden.NoPermission", serverError(t, err).ErrorCode())
}

func TestASecretIsNotSwitchedBeforeTheNewSideIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Secrets = new(shim.Secrets)
	for _, at := range []*kmstest.Region{w.oldAt, w.newAt} {
		for _, name := range []string{"db", "mail"} {
			_, err := at.CreateSecret(kmstest.SecretSpec{Name: name, Value: "one", VersionID: "v1"})
			require.NoError(t, err)
		}
	}
	phase, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.OldOnly)
	require.NoError(t, err)
	transport := w.transport(t, phase)
	client := w.client(t, transport)
	require.ErrorIs(t, transport.SwitchSecret(t.Context(), "db"), kmsmigrate.ErrPhase)
	require.Empty(t, w.config.Secrets.Switched())

	require.NoError(t, phase.Jump(kmsmigrate.ReadBoth))
	require.NoError(t, transport.SwitchSecret(t.Context(), "db"))
	w.config.Secrets.SwitchAll()
	require.NoError(t, phase.Jump(kmsmigrate.OldOnly))
	for _, name := range []string{"db", "mail"} {
		_, err = plain(t, client, "DescribeSecret", "JSON", map[string]string{"SecretName": name})
		require.NoError(t, err)
	}
	_, err = plain(t, client, "PutSecretValue", "JSON", map[string]string{"SecretName": "db", "SecretData": "two", "VersionId": "v2"})
	require.NoError(t, err)
	require.NoError(t, phase.Jump(kmsmigrate.ReadBoth))
	for name, want := range map[string][2]string{"db": {"two", "old"}, "mail": {"one", "new"}} {
		got, err := plain(t, client, "GetSecretValue", "JSON", map[string]string{"SecretName": name})
		require.NoError(t, err)
		require.Equal(t, want[0], text(t, got, "SecretData"))
		require.Equal(t, []string{want[1]}, got.GetHttpHeaders()["X-Keyhaul-Side"])
	}
}

// hanging is a store that does not answer.
type hanging struct{}

func (hanging) Find(ctx context.Context, _, _ string) (verify.Retained, error) {
	<-ctx.Done()
	return verify.Retained{}, ctx.Err()
}

func TestAStoreThatHangsDoesNotStopSigning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, w, "EC_P256", "ECDSA_SHA_256")
	w.config.Signing, w.config.Published = kmsmigrate.WriteNew, hanging{}
	transport := w.transport(t, kmsmigrate.Rewrite)
	client := w.client(t, transport)
	client.SetReadTimeout(3 * time.Second)
	signed, err := plain(t, client, "AsymmetricSign", "JSON", plus(s.oldFields, "Digest", base64.StdEncoding.EncodeToString(make([]byte, 32))))
	require.NoError(t, err)
	require.Equal(t, s.old.ID(), text(t, signed, "KeyId"))
	require.EqualValues(t, 1, transport.Stats().SigningHeld)
}

func TestAPanicInOnStaleIsAFailedRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.OnStale = func(string, string) { panic("the application's") }
	blob := encryptOld(t, w, "hello", "")
	transport := w.transport(t, kmsmigrate.Rewrite)
	_, err := plain(t, w.client(t, transport), "Decrypt", "JSON", map[string]string{"CiphertextBlob": blob})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return transport.Stats().RenewFailed == 1 }, patience, time.Millisecond)
	require.Zero(t, transport.Stats().Renewed)
}
