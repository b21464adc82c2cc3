package kmstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// A killed process never closes its cloud. Only the file is left, so the second cloud starts from a copy taken at that moment.
func TestStateFileLetsAKilledProcessGoOn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	first, err := kmstest.Start(kmstest.Config{StateFile: file})
	require.NoError(t, err)
	region := openRegion(t, first, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	client := regionClient(t, region)
	made, err := client.CreateKey(kms.CreateCreateKeyRequest()) // through the API: nobody tells the cloud to save
	require.NoError(t, err)
	inside := newKey(t, instance.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	signer := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256"})
	ck := newClientKey(t, instance)
	_, err = instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: inside})
	require.NoError(t, err)
	require.NoError(t, inside.Rotate())
	sts := first.AssumeRole()
	first.Advance(3 * day)
	blob := encryptWith(t, client, made.KeyMetadata.KeyId, "text", `{"a":"b"}`).CiphertextBlob
	native, err := instance.SDKClient(ck)
	require.NoError(t, err)
	wide, err := native.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/app"), Plaintext: []byte("wide")})
	require.NoError(t, err)
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, first.Close()) // frees the ports, as a kill would
	copied := filepath.Join(t.TempDir(), "copy.json")
	require.NoError(t, os.WriteFile(copied, kept, 0o600))

	second := start(t, kmstest.Config{StateFile: copied})
	again := openRegion(t, second, "cn-shanghai")
	require.Equal(t, region.HTTP, again.HTTP)
	require.Equal(t, region.HTTPS, again.HTTPS)
	require.Equal(t, region.CA(), again.CA())
	require.WithinDuration(t, first.Now(), second.Now(), day)
	// The clients of the first life go on: same addresses, same certificates, same credentials.
	back, err := decryptWith(client, blob, `{"a":"b"}`)
	require.NoError(t, err)
	require.Equal(t, "text", back.Plaintext)
	opened, err := native.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: wide.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, "wide", string(opened.Plaintext))
	loaded, err := again.Instance(instance.ID)
	require.NoError(t, err)
	require.Equal(t, instance.Addr, loaded.Addr)
	require.Len(t, again.Instances(), 1)
	key, err := loaded.Key("alias/app")
	require.NoError(t, err)
	require.Equal(t, inside.VersionIDs(), key.VersionIDs())
	restored, err := loaded.Key(signer.ID())
	require.NoError(t, err)
	rpc, err := loaded.RPCClient()
	require.NoError(t, err)
	requireSigns(t, rpc, restored, "ECDSA_SHA_256")
	value, err := secretValue(rpc, "app", "", "")
	require.NoError(t, err)
	require.Equal(t, "hello", value.SecretData)
	temporary, err := kms.NewClientWithStsToken("cn-shanghai", sts.AccessKeyID, sts.AccessKeySecret, sts.SecurityToken)
	require.NoError(t, err)
	temporary.Domain = again.HTTP
	_, err = temporary.ListKeys(kms.CreateListKeysRequest())
	require.NoError(t, err)
}

func TestStateFileThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"no json": "x", "other version": `{"Version":99}`, "empty": "",
		"bad key": `{"Version":1,"Model":{"Regions":[{"ID":"cn-hangzhou","Keys":[{"ID":"k","Spec":"RSA_2048","Versions":[{"ID":"v","Material":"AAAA"}]}]}]}}`} {
		file := filepath.Join(t.TempDir(), "state.json")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := kmstest.Start(kmstest.Config{StateFile: file})
		require.ErrorContains(t, err, "state.json", name)
	}
	file := filepath.Join(t.TempDir(), "state.json")
	cloud, err := kmstest.Start(kmstest.Config{StateFile: file})
	require.NoError(t, err)
	require.NoError(t, cloud.Close())
	_, err = kmstest.Start(kmstest.Config{StateFile: file, AccessKeyID: "other"})
	require.ErrorContains(t, err, "AccessKeyID of the Config differs")
	_, err = kmstest.Start(kmstest.Config{Host: "example.com"})
	require.ErrorContains(t, err, "Config.Host")
}

func TestClosedCloudOpensNothing(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	require.NoError(t, cloud.Close())
	require.NoError(t, cloud.Close())
	_, err = cloud.Region("cn-hangzhou")
	require.ErrorContains(t, err, "closed")
	for _, bad := range []string{"", "x", "CN-hangzhou", "cn_hangzhou", "cn-" + string(make([]byte, 50))} {
		_, err = cloud.Region(bad)
		require.ErrorContains(t, err, "not a region id")
	}
}
