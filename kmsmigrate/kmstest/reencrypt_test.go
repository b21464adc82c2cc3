package kmstest_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestReEncryptMovesABlobWithoutShowingIt(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	from, to := newKey(t, region.CreateKey, kmstest.KeySpec{UUID: true}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	blob := encryptWith(t, client, from.ID(), "text", `{"a":"1"}`).CiphertextBlob
	cloud.ResetEvidence()
	q := kms.CreateReEncryptRequest()
	q.CiphertextBlob, q.DestinationKeyId, q.SourceEncryptionContext, q.DestinationEncryptionContext = blob, to.ID(), `{"a":"1"}`, `{"b":"2"}`
	out, err := client.ReEncrypt(q)
	require.NoError(t, err)
	require.Equal(t, from.ID(), out.KeyId, "the answer names the key that decrypted")
	require.Zero(t, cloud.PlaintextBytes(kmstest.Match{}))
	require.Equal(t, 1, cloud.Count(kmstest.Match{}))
	back, err := decryptWith(client, out.CiphertextBlob, `{"b":"2"}`)
	require.NoError(t, err)
	require.Equal(t, "text", back.Plaintext)
	require.Equal(t, to.ID(), back.KeyId)
	require.Equal(t, 4, cloud.PlaintextBytes(kmstest.Match{}))

	rsa := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	a := kms.CreateAsymmetricEncryptRequest()
	a.KeyId, a.KeyVersionId, a.Algorithm, a.Plaintext = rsa.ID(), rsa.VersionID(), "RSAES_OAEP_SHA_256", base64.StdEncoding.EncodeToString([]byte("wide"))
	sealed, err := client.AsymmetricEncrypt(a)
	require.NoError(t, err)
	q = kms.CreateReEncryptRequest()
	q.CiphertextBlob, q.DestinationKeyId = sealed.CiphertextBlob, to.ID()
	q.SourceKeyId, q.SourceKeyVersionId, q.SourceEncryptionAlgorithm = rsa.ID(), rsa.VersionID(), "RSAES_OAEP_SHA_256"
	out, err = client.ReEncrypt(q)
	require.NoError(t, err)
	back, err = decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, "wide", back.Plaintext)
	q = kms.CreateReEncryptRequest()
	q.CiphertextBlob, q.DestinationKeyId = blob, rsa.ID()
	q.SourceEncryptionContext = `{"a":"1"}`
	_, err = client.ReEncrypt(q)
	requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
}

func TestReEncryptIsRefusedByAnInstance(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client, err := instance.RPCClient()
	require.NoError(t, err)
	q := kms.CreateReEncryptRequest()
	q.CiphertextBlob, q.DestinationKeyId = encryptWith(t, client, key.ID(), "x", "").CiphertextBlob, key.ID()
	_, err = client.ReEncrypt(q)
	requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
}

func TestDryRunAlwaysAnswersAnError(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.DryRun = key.ID(), "x", "true"
	_, err := client.Encrypt(q)
	requireServerError(t, err, http.StatusBadRequest, "DryRunOperationError")
	q = kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.DryRun = "nope", "x", "true"
	_, err = client.Encrypt(q)
	requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
	q = kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.DryRun = key.ID(), "x", "perhaps"
	_, err = client.Encrypt(q)
	requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
}

func TestExportedDataKeyOpensForItsHolderOnly(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	holder, public := newRSA(t)
	q := kms.CreateGenerateAndExportDataKeyRequest()
	q.KeyId, q.PublicKeyBlob, q.WrappingAlgorithm, q.WrappingKeySpec = key.ID(), public, "RSAES_OAEP_SHA_256", "RSA_2048"
	out, err := client.GenerateAndExportDataKey(q)
	require.NoError(t, err)
	back, err := decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, back.Plaintext, base64.StdEncoding.EncodeToString(unwrap(t, holder, out.ExportedDataKey)))
	e := kms.CreateExportDataKeyRequest()
	e.CiphertextBlob, e.PublicKeyBlob, e.WrappingAlgorithm, e.WrappingKeySpec = out.CiphertextBlob, public, "RSAES_OAEP_SHA_256", "RSA_2048"
	again, err := client.ExportDataKey(e)
	require.NoError(t, err)
	require.Equal(t, back.Plaintext, base64.StdEncoding.EncodeToString(unwrap(t, holder, again.ExportedDataKey)))
	e = kms.CreateExportDataKeyRequest()
	e.CiphertextBlob, e.PublicKeyBlob, e.WrappingAlgorithm, e.WrappingKeySpec = out.CiphertextBlob, "AAAA", "RSAES_OAEP_SHA_256", "RSA_2048"
	_, err = client.ExportDataKey(e)
	requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
}
