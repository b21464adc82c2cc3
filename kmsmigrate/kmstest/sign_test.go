package kmstest_test

import (
	"net/http"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func clientWith(t *testing.T, region *kmstest.Region, id, secret string) *kms.Client {
	t.Helper()
	client, err := kms.NewClientWithAccessKey(region.ID, id, secret)
	require.NoError(t, err)
	t.Cleanup(client.Shutdown)
	client.Domain = region.HTTP
	return client
}

func TestGatewayRefusesBadCredentials(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	require.Contains(t, id, kmstest.CredentialPrefix)
	_, err := clientWith(t, region, id, secret).ListKeys(kms.CreateListKeysRequest())
	require.NoError(t, err)
	_, err = clientWith(t, region, id, secret+"x").ListKeys(kms.CreateListKeysRequest())
	requireServerError(t, err, http.StatusBadRequest, "IncompleteSignature")
	_, err = clientWith(t, region, id+"x", secret).ListKeys(kms.CreateListKeysRequest())
	requireServerError(t, err, http.StatusNotFound, "InvalidAccessKeyId.NotFound")
	got := cloud.Requests(kmstest.Match{})
	require.Equal(t, id, got[0].AccessKeyID)
	require.Empty(t, got[1].AccessKeyID)
	require.False(t, got[0].TLS)
}

func TestGatewayTakesGETAndFormParameters(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	id, secret := cloud.Credentials()
	client := clientWith(t, region, id, secret)

	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.Method = key.ID(), "over GET", requests.GET
	_, err := client.Encrypt(q)
	require.NoError(t, err)
	require.True(t, cloud.Requests(kmstest.Match{})[0].PlaintextInURL)

	f := kms.CreateEncryptRequest()
	f.KeyId = key.ID()
	f.FormParams["Plaintext"] = "in the form"
	out, err := client.Encrypt(f)
	require.NoError(t, err)
	back, err := decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, "in the form", back.Plaintext)
}

func TestGatewayAnswersXML(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	id, secret := cloud.Credentials()
	client := clientWith(t, region, id, secret)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.AcceptFormat = key.ID(), "<x>&", "XML"
	out, err := client.Encrypt(q)
	require.NoError(t, err)
	require.Equal(t, key.VersionID(), out.KeyVersionId)
	l := kms.CreateListKeysRequest()
	l.AcceptFormat = "XML"
	keys, err := client.ListKeys(l)
	require.NoError(t, err)
	require.Equal(t, key.ID(), keys.Keys.Key[0].KeyId)
	d := kms.CreateDecryptRequest()
	d.CiphertextBlob, d.AcceptFormat = out.CiphertextBlob, "XML"
	back, err := client.Decrypt(d)
	require.NoError(t, err)
	require.Equal(t, "<x>&", back.Plaintext)
	bad := kms.CreateEncryptRequest()
	bad.AcceptFormat = "XML"
	_, err = client.Encrypt(bad)
	require.ErrorContains(t, err, "<Code>MissingParameter</Code>")
}
