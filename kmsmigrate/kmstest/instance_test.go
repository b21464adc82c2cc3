package kmstest_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func instanceClient(t *testing.T, i *kmstest.Instance) *dkms.Client {
	t.Helper()
	client, err := i.SDKClient(newClientKey(t, i))
	require.NoError(t, err)
	return client
}

// requireInstanceError checks that the instance SDK understood the answer as an error of the service.
func requireInstanceError(t *testing.T, err error, code string) {
	t.Helper()
	var sdk *tea.SDKError
	require.ErrorAs(t, err, &sdk)
	require.Equal(t, code, tea.StringValue(sdk.Code))
	require.Contains(t, tea.StringValue(sdk.Data), "requestId")
}

func withVersionHeader() *dkmsutil.RuntimeOptions {
	return &dkmsutil.RuntimeOptions{Headers: []*string{tea.String("x-kms-migrationkeyversionid")}, Autoretry: tea.Bool(false)}
}

func TestInstanceEncryptUsesTheInitialVersionAndAdvanceThePrimary(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := instanceClient(t, instance)
	require.NoError(t, key.Rotate())
	versions := key.VersionIDs()
	plaintext, aad := []byte("\xff\x00 binary"), []byte("aad")

	low, err := client.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: plaintext, Aad: aad}, withVersionHeader())
	require.NoError(t, err)
	require.Equal(t, versions[0], tea.StringValue(low.Headers["x-kms-migrationkeyversionid"]))
	require.Len(t, low.CiphertextBlob, len(plaintext)+16)
	require.Len(t, low.Iv, 12)
	require.Equal(t, "AES_GCM", tea.StringValue(low.Algorithm))
	back, err := client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: low.CiphertextBlob, Iv: low.Iv, Aad: aad})
	require.NoError(t, err)
	require.Equal(t, plaintext, back.Plaintext)

	high, err := client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key.ID()), Plaintext: plaintext, Aad: aad})
	require.NoError(t, err)
	require.Equal(t, versions[1], tea.StringValue(high.KeyVersionId))
	require.Equal(t, "$\x00\x02"+versions[1], string(high.CiphertextBlob[:39]))
	require.Equal(t, high.Iv, high.CiphertextBlob[39:51])
	require.Len(t, high.CiphertextBlob, 3+64+len(plaintext))
	wide, err := client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: high.CiphertextBlob, Aad: aad})
	require.NoError(t, err)
	require.Equal(t, plaintext, wide.Plaintext)
	require.Equal(t, versions[1], tea.StringValue(wide.KeyVersionId))

	// AdvanceDecrypt also opens what Encrypt made, given what it needs.
	wide, err = client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: low.CiphertextBlob, Iv: low.Iv, Aad: aad})
	require.NoError(t, err)
	require.Equal(t, plaintext, wide.Plaintext)
	require.Equal(t, versions[0], tea.StringValue(wide.KeyVersionId))
}

func TestInstanceDataKeysHoldRawBytes(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	client := instanceClient(t, instance)
	low, err := client.GenerateDataKey(&dkms.GenerateDataKeyRequest{KeyId: tea.String("alias/app"), NumberOfBytes: tea.Int32(24)})
	require.NoError(t, err)
	require.Len(t, low.Plaintext, 24)
	back, err := client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: low.CiphertextBlob, Iv: low.Iv})
	require.NoError(t, err)
	require.Equal(t, low.Plaintext, back.Plaintext)
	high, err := client.AdvanceGenerateDataKey(&dkms.AdvanceGenerateDataKeyRequest{KeyId: tea.String(key.ID())})
	require.NoError(t, err)
	require.Len(t, high.Plaintext, 32)
	require.Len(t, high.CiphertextBlob, 3+64+32)
	wide, err := client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: high.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, high.Plaintext, wide.Plaintext)
}

// An OpenAPI blob opens at the instance in two ways: with the migration header, and with three bytes put before it.
func TestInstanceOpensGatewayBlobs(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	rpc, err := instance.RPCClient()
	require.NoError(t, err)
	blob, err := base64.StdEncoding.DecodeString(encryptWith(t, rpc, key.ID(), "the text", "").CiphertextBlob)
	require.NoError(t, err)
	client := instanceClient(t, instance)
	wide, err := client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: append([]byte("$\x00\x02"), blob...)})
	require.NoError(t, err)
	require.Equal(t, "the text", string(wide.Plaintext))
	back, err := client.Decrypt(&dkms.DecryptRequest{CiphertextBlob: blob[48:], Iv: blob[36:48],
		Headers: map[string]*string{"x-kms-migrationkeyversionid": tea.String(string(blob[:36]))}})
	require.NoError(t, err)
	require.Equal(t, "the text", string(back.Plaintext))
	require.Equal(t, key.ID(), tea.StringValue(back.KeyId))
}

func TestTransferClientAndRPCClientReadEachOther(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	moved, err := instance.TransferClient(newClientKey(t, instance))
	require.NoError(t, err)
	plain, err := instance.RPCClient()
	require.NoError(t, err)
	const context = `{"app":"shop","tier":"1&x=2"}`

	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.EncryptionContext = key.ID(), "text", context
	out, err := moved.Encrypt(q)
	require.NoError(t, err)
	back, err := decryptWith(plain, out.CiphertextBlob, context)
	require.NoError(t, err)
	require.Equal(t, "text", back.Plaintext)

	r := kms.CreateDecryptRequest()
	r.CiphertextBlob, r.EncryptionContext = encryptWith(t, plain, key.ID(), "other text", context).CiphertextBlob, context
	got, err := moved.Decrypt(r)
	require.NoError(t, err)
	require.Equal(t, "other text", got.Plaintext)

	g := kms.CreateGenerateDataKeyRequest()
	g.KeyId, g.EncryptionContext = key.ID(), context
	dek, err := moved.GenerateDataKey(g)
	require.NoError(t, err)
	back, err = decryptWith(plain, dek.CiphertextBlob, context)
	require.NoError(t, err)
	require.Equal(t, dek.Plaintext, back.Plaintext)
	require.Equal(t, 2, cloud.Count(kmstest.Match{Face: kmstest.Protobuf, Instance: instance.ID, OK: true})-2, "GenerateDataKey is two calls")
}

func TestInstanceIsApartFromTheSharedGateway(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance, other := newInstance(t, region, kmstest.InstanceSpec{}), newInstance(t, region, kmstest.InstanceSpec{})
	inside, outside := newKey(t, instance.CreateKey, kmstest.KeySpec{}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	shared := regionClient(t, region)

	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = inside.ID(), "x"
	_, err := shared.Encrypt(q)
	requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
	d := kms.CreateDescribeKeyRequest()
	d.KeyId = inside.ID()
	meta, err := shared.DescribeKey(d)
	require.NoError(t, err)
	require.Equal(t, instance.ID, meta.KeyMetadata.DKMSInstanceId)

	for _, i := range []*kmstest.Instance{instance, other} {
		rpc, err := i.RPCClient()
		require.NoError(t, err)
		q := kms.CreateEncryptRequest()
		q.KeyId, q.Plaintext = outside.ID(), "x"
		_, err = rpc.Encrypt(q)
		requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
		_, err = rpc.ListKeys(kms.CreateListKeysRequest())
		requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
	}
	_, err = instanceClient(t, other).Encrypt(&dkms.EncryptRequest{KeyId: tea.String(inside.ID()), Plaintext: []byte("x")})
	requireInstanceError(t, err, "Forbidden.KeyNotFound")
}

func TestBadRequestsOfTheInstance(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	rsa := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	client := instanceClient(t, instance)
	good, err := client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x"), Aad: []byte("a")})
	require.NoError(t, err)

	_, err = client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: good.CiphertextBlob, Iv: good.Iv, Aad: []byte("b")})
	requireInstanceError(t, err, "InvalidParam")
	_, err = client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: good.CiphertextBlob})
	requireInstanceError(t, err, "MissingParameter")
	_, err = client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: good.CiphertextBlob, Iv: []byte("short")})
	requireInstanceError(t, err, "InvalidParameter")
	_, err = client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: good.CiphertextBlob})
	requireInstanceError(t, err, "InvalidParam")
	_, err = client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(rsa.ID()), Plaintext: []byte("x")})
	requireInstanceError(t, err, "Forbidden.OnlySymmetricKeySupported")
	_, err = client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x"), Aad: make([]byte, 8193)})
	requireInstanceError(t, err, "InvalidParameter")
	_, err = client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x"), Algorithm: tea.String("AES_CBC")})
	requireInstanceError(t, err, "InvalidParameter")
	_, err = client.GenerateDataKey(&dkms.GenerateDataKeyRequest{KeyId: tea.String(key.ID()), NumberOfBytes: tea.Int32(1025)})
	requireInstanceError(t, err, "InvalidParameter")
	require.NoError(t, key.Disable())
	_, err = client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: good.CiphertextBlob, Iv: good.Iv, Aad: []byte("a")})
	requireInstanceError(t, err, "Rejected.Disabled")
}

func TestInstanceRefusesStrangersAndForgeries(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance, other := newInstance(t, region, kmstest.InstanceSpec{}), newInstance(t, region, kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	mine, theirs := newClientKey(t, instance), newClientKey(t, other)
	try := func(id string, private []byte) error {
		config := instance.SDKConfig(mine)
		config.ClientKeyContent, config.Password = nil, nil
		config.AccessKeyId, config.PrivateKey = tea.String(id), tea.String(string(private))
		client, err := dkms.NewClient(config)
		require.NoError(t, err)
		_, err = client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x")})
		return err
	}
	require.NoError(t, try(mine.ID, mine.PrivateKeyPEM))
	requireInstanceError(t, try(mine.ID, theirs.PrivateKeyPEM), "SignatureNotMatch")
	requireInstanceError(t, try(theirs.ID, theirs.PrivateKeyPEM), "Unauthorized")

	cloud.Advance(6 * 365 * 24 * time.Hour)
	requireInstanceError(t, try(mine.ID, mine.PrivateKeyPEM), "Unauthorized")
}

func TestClientKeyFileHasTheConsolesShape(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	ck := newClientKey(t, newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{}))
	require.True(t, strings.HasPrefix(ck.ID, "KAAP."+kmstest.CredentialPrefix))
	require.Regexp(t, `^\{"KeyId":"KAAP\.[^"]+","PrivateKeyData":"[A-Za-z0-9+/=]+"\}$`, string(ck.JSON))
	require.NotContains(t, ck.String(), ck.Password)
}
