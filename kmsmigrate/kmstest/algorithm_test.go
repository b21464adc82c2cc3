package kmstest_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// TestAnInstanceHasAnAlgorithmForRequestsThatNameNone is what the official examples rely on: asymmetric_encrypt_decrypt.go and sign_verify.go.
func TestAnInstanceHasAnAlgorithmForRequestsThatNameNone(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region, err := cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	instance := newInstance(t, region, kmstest.InstanceSpec{Hardware: true})
	client := instanceClient(t, instance)
	for spec, algorithm := range map[string]string{"RSA_2048": "RSAES_OAEP_SHA_256", "EC_SM2": "SM2PKE"} {
		key := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: spec})
		sealed, err := client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("hello")})
		require.NoError(t, err)
		require.Equal(t, algorithm, tea.StringValue(sealed.Algorithm))
		opened, err := client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, "hello", string(opened.Plaintext))
	}
	for spec, algorithm := range map[string]string{"RSA_2048": "RSA_PSS_SHA_256", "EC_P256": "ECDSA_SHA_256", "EC_SM2": "SM2DSA"} {
		key := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: spec, Usage: "SIGN/VERIFY"})
		signed, err := client.Sign(&dkms.SignRequest{KeyId: tea.String(key.ID()), Message: []byte("message")})
		require.NoError(t, err)
		require.Equal(t, algorithm, tea.StringValue(signed.Algorithm))
		got, err := client.Verify(&dkms.VerifyRequest{KeyId: tea.String(key.ID()), Message: []byte("message"), Signature: signed.Signature})
		require.NoError(t, err)
		require.True(t, tea.BoolValue(got.Value))
	}
}
