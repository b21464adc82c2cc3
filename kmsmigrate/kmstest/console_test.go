package kmstest_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestMigrationToolKeepsKeyIDsAndChangesVersionIDs(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	key := newKey(t, region.CreateKey, kmstest.KeySpec{UUID: true, Alias: "alias/app", Tags: map[string]string{"a": "b"}})
	_, err := region.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello"})
	require.NoError(t, err)
	shared := regionClient(t, region)
	before := encryptWith(t, shared, "alias/app", "old", `{"a":"1"}`)
	require.NoError(t, instance.Migrate(kmstest.MigrateSpec{Secrets: []string{"app"}}, key))

	plain, err := instance.RPCClient()
	require.NoError(t, err)
	for _, client := range []*kms.Client{shared, plain} {
		back, err := decryptWith(client, before.CiphertextBlob, `{"a":"1"}`)
		require.NoError(t, err)
		require.Equal(t, "old", back.Plaintext)
		require.Equal(t, key.ID(), back.KeyId)
		after := encryptWith(t, client, "alias/app", "new", "")
		require.Equal(t, key.ID(), after.KeyId)
		require.NotEqual(t, before.KeyVersionId, after.KeyVersionId)
		require.Regexp(t, `^key-.{32}$`, after.KeyVersionId)
	}
	meta := describe(t, shared, key.ID())
	require.Equal(t, instance.ID, meta.DKMSInstanceId)
	out, err := secretValue(plain, "app", "", "")
	require.NoError(t, err)
	require.Equal(t, "hello", out.SecretData)

	// The transfer client sends the old version id in the header.
	moved, err := instance.TransferClient(newClientKey(t, instance))
	require.NoError(t, err)
	q := kms.CreateDecryptRequest()
	q.CiphertextBlob, q.EncryptionContext = before.CiphertextBlob, `{"a":"1"}`
	back, err := moved.Decrypt(q)
	require.NoError(t, err)
	require.Equal(t, "old", back.Plaintext)
}

func TestMigrationToolRefuses(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	disabled, rotating := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	require.NoError(t, disabled.Disable())
	require.NoError(t, call(client, region.HTTPS, "UpdateRotationPolicy", map[string]string{"KeyId": rotating.ID(), "EnableAutomaticRotation": "true"}))
	service, err := region.CreateServiceKey("ecs")
	require.NoError(t, err)
	for reason, key := range map[string]*kmstest.Key{
		"not Enabled":            disabled,
		"rotation is on":         rotating,
		"owned by":               service,
		"already in":             newKey(t, instance.CreateKey, kmstest.KeySpec{}),
		"does not exist":         newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "Aliyun_SM4"}),
		"state is PendingImport": keyIn(t, region, client, "PendingImport"),
	} {
		good := newKey(t, region.CreateKey, kmstest.KeySpec{})
		err := instance.Migrate(kmstest.MigrateSpec{}, good, key)
		require.ErrorContains(t, err, reason)
		require.ErrorContains(t, err, key.ID())
		require.Empty(t, describe(t, client, good.ID()).DKMSInstanceId, "one refused key refuses all")
	}
	many := make([]*kmstest.Key, 51)
	for i := range many {
		many[i] = newKey(t, region.CreateKey, kmstest.KeySpec{})
	}
	require.ErrorContains(t, instance.Migrate(kmstest.MigrateSpec{}, many...), "50")
	require.NoError(t, instance.Migrate(kmstest.MigrateSpec{NotShared: true}, many[:50]...))
	requireServerError(t, call(client, region.HTTPS, "Encrypt", map[string]string{"KeyId": many[0].ID(), "Plaintext": "x"}), http.StatusBadRequest, "UnsupportedOperation")
}

// The guide of 2023 refused keys that were ever rotated, and the newer text does not.
func TestMigrationToolRefusesRotatedKeysIfSetSo(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	fresh, rotated := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	first := encryptWith(t, client, rotated.ID(), "first", "").CiphertextBlob
	require.NoError(t, rotated.Rotate())
	strict := kmstest.MigrateSpec{SingleVersionOnly: true}
	err := instance.Migrate(strict, fresh, rotated)
	require.ErrorContains(t, err, rotated.ID()+": it has 2 versions")
	require.NotContains(t, err.Error(), fresh.ID())
	require.Empty(t, describe(t, client, fresh.ID()).DKMSInstanceId)
	require.NoError(t, instance.Migrate(strict, fresh))
	require.NoError(t, instance.Migrate(kmstest.MigrateSpec{}, rotated))
	require.Len(t, rotated.VersionIDs(), 2)
	back, err := decryptWith(client, first, "")
	require.NoError(t, err)
	require.Equal(t, "first", back.Plaintext)
}

func TestRestoredCloneOpensInBothRegions(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	here, there := openRegion(t, cloud, "cn-hangzhou"), openRegion(t, cloud, "cn-beijing")
	source, target := newInstance(t, here, kmstest.InstanceSpec{}), newInstance(t, there, kmstest.InstanceSpec{})
	key := newKey(t, source.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	_, err := source.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: key})
	require.NoError(t, err)
	backup, err := source.Backup()
	require.NoError(t, err)
	require.NoError(t, target.Restore(backup))
	require.ErrorContains(t, target.Restore(backup), "exists")

	clone, err := target.Key("alias/app")
	require.NoError(t, err)
	require.Equal(t, key.ID(), clone.ID())
	require.Equal(t, key.VersionIDs(), clone.VersionIDs())
	require.NotEqual(t, key.ARN(), clone.ARN())
	a, err := source.RPCClient()
	require.NoError(t, err)
	b, err := target.RPCClient()
	require.NoError(t, err)
	blob := encryptWith(t, a, key.ID(), "x", "").CiphertextBlob
	for _, client := range []*kms.Client{a, b} {
		_, err := decryptWith(client, blob, "")
		require.NoError(t, err)
	}
	out, err := secretValue(b, "app", "", "")
	require.NoError(t, err)
	require.Equal(t, "hello", out.SecretData)
	require.NoError(t, key.Rotate())
	_, err = decryptWith(b, encryptWith(t, a, key.ID(), "x", "").CiphertextBlob, "")
	requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
}

func TestInternetAccessOpensTheSharedGateway(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	instance.SetInternetAccess(true)
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	q := kms.CreateAdvanceEncryptRequest()
	q.KeyId, q.Plaintext, q.Aad = key.ID(), base64.StdEncoding.EncodeToString([]byte("text")), base64.StdEncoding.EncodeToString([]byte("aad"))
	wide, err := client.AdvanceEncrypt(q)
	require.NoError(t, err)
	raw, err := base64.StdEncoding.DecodeString(wide.CiphertextBlob)
	require.NoError(t, err)
	opened, err := instanceClient(t, instance).AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: raw, Aad: []byte("aad")})
	require.NoError(t, err)
	require.Equal(t, "text", string(opened.Plaintext))
	require.NoError(t, call(client, region.HTTPS, "AdvanceDecrypt", map[string]string{"CiphertextBlob": wide.CiphertextBlob, "Aad": q.Aad}))
	require.NoError(t, call(client, region.HTTPS, "AdvanceGenerateDataKey", map[string]string{"KeyId": key.ID()}))
	instance.SetInternetAccess(false)
	_, err = decryptWith(client, blob, "")
	requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
}

func TestUnavailableKeysNeedAnOperator(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	require.NoError(t, key.SetUnavailable(true))
	_, err := decryptWith(client, blob, "")
	requireServerError(t, err, http.StatusConflict, "Rejected.Unavailable")
	require.ErrorContains(t, err, "The request was rejected because the key state is Unavailable.")
	require.NoError(t, key.SetUnavailable(false))
	_, err = decryptWith(client, blob, "")
	require.NoError(t, err)
}

// What older transfer SDKs left behind (facts of their change logs): raw data keys, raw contexts.
func TestMintMakesOldData(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := instanceClient(t, instance)
	dek := make([]byte, 32)
	blob, err := key.Mint(dek, []byte(`{"a": "1"}`))
	require.NoError(t, err)
	raw, err := base64.StdEncoding.DecodeString(blob)
	require.NoError(t, err)
	require.Len(t, raw, 96)
	out, err := client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: append([]byte("$\x00\x02"), raw...), Aad: []byte(`{"a": "1"}`)})
	require.NoError(t, err)
	require.Equal(t, dek, out.Plaintext)
	rpc, err := instance.RPCClient()
	require.NoError(t, err)
	_, err = decryptWith(rpc, blob, `{"a": "1"}`)
	requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
	_, err = newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"}).Mint(dek, nil)
	require.Error(t, err)
}
