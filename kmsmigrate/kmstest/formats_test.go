package kmstest_test

import (
	"encoding/base64"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// Known answers: the lengths and beginnings that documents, examples and stored data of the service have.

const (
	versionID = 36
	iv        = 12
	tag       = 16
)

// A: 36 bytes of version id, IV, ciphertext, tag. The documents' Encryption SDK example has a data key blob of 108 bytes, for a data key is
// encrypted as its 44 characters of base64; eight characters of plaintext make 72.
func TestGatewayBlobsHaveTheDocumentedLengths(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	for _, uuid := range []bool{true, false} {
		key := newKey(t, region.CreateKey, kmstest.KeySpec{UUID: uuid})
		sealed := encryptWith(t, client, key.ID(), "aGVsbG8=", "")
		require.Len(t, fromBase64(t, sealed.CiphertextBlob), 72)
		q := kms.CreateGenerateDataKeyRequest()
		q.KeyId = key.ID()
		out, err := client.GenerateDataKey(q)
		require.NoError(t, err)
		require.Len(t, out.CiphertextBlob, 144)
		raw := fromBase64(t, out.CiphertextBlob)
		require.Len(t, raw, versionID+iv+44+tag)
		require.Equal(t, out.KeyVersionId, string(raw[:versionID]))
		if uuid { // as 86a9efd9-3d16-4894-bd4f-1fc43f3f2abf, which begins the blob of the API reference
			require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, out.KeyVersionId)
		} else { // as key-hzz62f1cb66fa42qopd9s-17kedv****
			require.Regexp(t, `^key-hzz[0-9a-z]{18}-[0-9a-z]{10}$`, out.KeyVersionId)
		}
	}
}

// B: ciphertext and tag alone, the IV beside them. C: three bytes and then A, with the raw data key inside.
func TestInstanceBlobsHaveTheDocumentedLengths(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := instanceClient(t, instance)
	id := tea.String(key.ID())
	for _, size := range []int{1, 16, 6 << 10} {
		low, err := client.Encrypt(&dkms.EncryptRequest{KeyId: id, Plaintext: make([]byte, size)})
		require.NoError(t, err)
		require.Len(t, low.CiphertextBlob, size+tag)
		require.Len(t, low.Iv, iv)
		high, err := client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: id, Plaintext: make([]byte, size)})
		require.NoError(t, err)
		require.Len(t, high.CiphertextBlob, 3+versionID+iv+size+tag)
		require.Equal(t, "$\x00\x02"+key.VersionID(), string(high.CiphertextBlob[:3+versionID]))
		require.Equal(t, "JAAC", base64.StdEncoding.EncodeToString(high.CiphertextBlob)[:4])
	}
	low, err := client.GenerateDataKey(&dkms.GenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(32)})
	require.NoError(t, err)
	require.Len(t, low.CiphertextBlob, 32+tag)
	high, err := client.AdvanceGenerateDataKey(&dkms.AdvanceGenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(32)})
	require.NoError(t, err)
	require.Len(t, high.CiphertextBlob, 3+versionID+iv+32+tag)
}

// E: the algorithm's bare output, which is as long as the modulus of an RSA key.
func TestAsymmetricBlobsHaveTheLengthOfTheModulus(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	shared, own := regionClient(t, region), instanceClient(t, instance)
	for spec, length := range map[string]int{"RSA_2048": 256, "RSA_3072": 384} {
		outside, inside := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: spec}), newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: spec})
		for _, algorithm := range []string{"RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"} {
			q := kms.CreateAsymmetricEncryptRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.Plaintext = outside.ID(), outside.VersionID(), algorithm, "eA=="
			sealed, err := shared.AsymmetricEncrypt(q)
			require.NoError(t, err)
			require.Len(t, fromBase64(t, sealed.CiphertextBlob), length)
			out, err := own.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(inside.ID()), Algorithm: tea.String(algorithm), Plaintext: []byte("x")})
			require.NoError(t, err)
			require.Len(t, out.CiphertextBlob, length)
			require.Empty(t, out.Iv)
		}
	}
}

func fromBase64(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	require.NoError(t, err)
	return raw
}
