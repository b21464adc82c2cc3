package kmstest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// dedicated is what the steps on the protobuf face work with.
type dedicated struct {
	t      *testing.T
	client *dkms.Client
	key    *kmstest.Key
	signer *kmstest.Key
}

func TestTheInstanceSDKDoesEveryOperationThatItExports(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	d := &dedicated{t: t, client: instanceClient(t, instance),
		key:    newKey(t, instance.CreateKey, kmstest.KeySpec{}),
		signer: newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"})}
	_, err := instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: d.key})
	require.NoError(t, err)
	done := takeSteps(t, cloud, kmstest.Protobuf, slices.Concat(d.crypto(), d.advance(), d.pairs(), d.signatures()))
	operations := operationsOf(d.client)
	require.Len(t, operations, 15)
	for name := range operations {
		require.True(t, done[name], name)
	}
}

func (d *dedicated) crypto() []step {
	t, c, id, aad := d.t, d.client, tea.String(d.key.ID()), []byte("aad")
	var sealed *dkms.EncryptResponse
	return []step{
		{"Encrypt", func() {
			sealed = done(t, c.Encrypt, &dkms.EncryptRequest{KeyId: id, Plaintext: []byte("text"), Aad: aad})
			require.Equal(t, []string{d.key.ID(), "AES_GCM"}, []string{tea.StringValue(sealed.KeyId), tea.StringValue(sealed.Algorithm)})
			require.Len(t, sealed.Iv, 12)
			require.Len(t, sealed.CiphertextBlob, len("text")+16)
		}},
		{"Decrypt", func() {
			out := done(t, c.Decrypt, &dkms.DecryptRequest{KeyId: id, CiphertextBlob: sealed.CiphertextBlob, Iv: sealed.Iv, Aad: aad, Algorithm: sealed.Algorithm})
			require.Equal(t, "text", string(out.Plaintext))
			require.Equal(t, d.key.ID(), tea.StringValue(out.KeyId))
		}},
		{"GenerateDataKey", func() {
			out := done(t, c.GenerateDataKey, &dkms.GenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(32), Aad: aad})
			require.Len(t, out.Plaintext, 32)
			back := done(t, c.Decrypt, &dkms.DecryptRequest{KeyId: id, CiphertextBlob: out.CiphertextBlob, Iv: out.Iv, Aad: aad})
			require.Equal(t, out.Plaintext, back.Plaintext)
		}},
		{"GenerateRandom", func() {
			out := done(t, c.GenerateRandom, &dkms.GenerateRandomRequest{Length: tea.Int32(16)})
			require.Len(t, out.Random, 16)
			require.NotEqual(t, make([]byte, 16), out.Random)
		}},
		{"GetSecretValue", func() {
			out := done(t, c.GetSecretValue, &dkms.GetSecretValueRequest{SecretName: tea.String("app")})
			require.Equal(t, []string{"app", "hello", "text", "v1", "Generic"}, []string{tea.StringValue(out.SecretName), tea.StringValue(out.SecretData),
				tea.StringValue(out.SecretDataType), tea.StringValue(out.VersionId), tea.StringValue(out.SecretType)})
			require.Equal(t, []string{"ACSCurrent"}, tea.StringSliceValue(out.VersionStages))
			require.NotEmpty(t, tea.StringValue(out.CreateTime))
		}},
	}
}

func (d *dedicated) advance() []step {
	t, c, id, aad := d.t, d.client, tea.String(d.key.ID()), []byte("aad")
	var blob []byte
	return []step{
		{"AdvanceEncrypt", func() {
			out := done(t, c.AdvanceEncrypt, &dkms.AdvanceEncryptRequest{KeyId: id, Plaintext: []byte("text"), Aad: aad})
			require.Equal(t, []string{d.key.ID(), d.key.VersionID()}, []string{tea.StringValue(out.KeyId), tea.StringValue(out.KeyVersionId)})
			blob = out.CiphertextBlob
		}},
		{"AdvanceDecrypt", func() {
			out := done(t, c.AdvanceDecrypt, &dkms.AdvanceDecryptRequest{CiphertextBlob: blob, Aad: aad})
			require.Equal(t, "text", string(out.Plaintext))
			require.Equal(t, []string{d.key.ID(), d.key.VersionID()}, []string{tea.StringValue(out.KeyId), tea.StringValue(out.KeyVersionId)})
		}},
		{"AdvanceGenerateDataKey", func() {
			out := done(t, c.AdvanceGenerateDataKey, &dkms.AdvanceGenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(24), Aad: aad})
			require.Len(t, out.Plaintext, 24)
			back := done(t, c.AdvanceDecrypt, &dkms.AdvanceDecryptRequest{CiphertextBlob: out.CiphertextBlob, Aad: aad})
			require.Equal(t, out.Plaintext, back.Plaintext)
		}},
	}
}

func (d *dedicated) pairs() []step {
	t, c, id := d.t, d.client, tea.String(d.key.ID())
	spec, format := tea.String("EC_P256"), tea.String("DER")
	open := func(blob, iv []byte) []byte {
		t.Helper()
		if iv == nil {
			return done(t, c.AdvanceDecrypt, &dkms.AdvanceDecryptRequest{CiphertextBlob: blob}).Plaintext
		}
		return done(t, c.Decrypt, &dkms.DecryptRequest{KeyId: id, CiphertextBlob: blob, Iv: iv}).Plaintext
	}
	return []step{
		{"GenerateDataKeyPair", func() {
			out := done(t, c.GenerateDataKeyPair, &dkms.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format})
			require.NotEmpty(t, out.PublicKey)
			require.Equal(t, out.PrivateKeyPlaintext, open(out.PrivateKeyCiphertextBlob, out.Iv))
		}},
		{"GenerateDataKeyPairWithoutPlaintext", func() {
			out := done(t, c.GenerateDataKeyPairWithoutPlaintext, &dkms.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format})
			require.NotEmpty(t, out.PublicKey)
			require.NotEmpty(t, open(out.PrivateKeyCiphertextBlob, out.Iv))
		}},
		{"AdvanceGenerateDataKeyPair", func() {
			out := done(t, c.AdvanceGenerateDataKeyPair, &dkms.AdvanceGenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format})
			require.Equal(t, d.key.VersionID(), tea.StringValue(out.KeyVersionId))
			require.Equal(t, out.PrivateKeyPlaintext, open(out.PrivateKeyCiphertextBlob, nil))
		}},
		{"AdvanceGenerateDataKeyPairWithoutPlaintext", func() {
			out := done(t, c.AdvanceGenerateDataKeyPairWithoutPlaintext, &dkms.AdvanceGenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format})
			require.Equal(t, d.key.VersionID(), tea.StringValue(out.KeyVersionId))
			require.NotEmpty(t, open(out.PrivateKeyCiphertextBlob, nil))
		}},
	}
}

func (d *dedicated) signatures() []step {
	t, c, id, algorithm := d.t, d.client, tea.String(d.signer.ID()), tea.String("ECDSA_SHA_256")
	var signature []byte
	return []step{
		{"Sign", func() {
			out := done(t, c.Sign, &dkms.SignRequest{KeyId: id, Algorithm: algorithm, Message: []byte("message")})
			require.Equal(t, d.signer.ID(), tea.StringValue(out.KeyId))
			signature = out.Signature
		}},
		{"Verify", func() {
			out := done(t, c.Verify, &dkms.VerifyRequest{KeyId: id, Algorithm: algorithm, Message: []byte("message"), Signature: signature})
			require.True(t, tea.BoolValue(out.Value))
		}},
		{"GetPublicKey", func() {
			out := done(t, c.GetPublicKey, &dkms.GetPublicKeyRequest{KeyId: id})
			require.Equal(t, d.signer.ID(), tea.StringValue(out.KeyId))
			require.True(t, bytes.HasPrefix([]byte(tea.StringValue(out.PublicKey)), []byte("-----BEGIN PUBLIC KEY-----")))
		}},
	}
}

func TestTheTransferSDKDoesEveryOperationThatItOverrides(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	client, err := instance.TransferClient(newClientKey(t, instance))
	require.NoError(t, err)
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	sealer := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	signer := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"})
	_, err = instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: key})
	require.NoError(t, err)
	overridden := transferSteps(t, client, key, sealer, signer)
	for action, do := range overridden {
		before := cloud.Count(kmstest.Match{Face: kmstest.Protobuf, OK: true})
		do()
		require.Greater(t, cloud.Count(kmstest.Match{Face: kmstest.Protobuf, OK: true}), before, action)
	}
	require.Zero(t, cloud.Count(kmstest.Match{Face: kmstest.Gateway}))
	// What is left is inherited, and goes past the instance to the shared gateway.
	before := cloud.Count(kmstest.Match{Face: kmstest.Protobuf})
	for name, m := range operationsOf(client) {
		if overridden[name] == nil {
			_ = callBare(client, m, "app") // some are refused, some are not: where they went is the question
			require.Equal(t, 1, cloud.Count(kmstest.Match{Face: kmstest.Gateway, Action: name}), name)
		}
	}
	require.Equal(t, before, cloud.Count(kmstest.Match{Face: kmstest.Protobuf}))
}

// transferSteps are independent of each other; they see what was asked of them by the typed answers alone.
func transferSteps(t *testing.T, c *transfer.KmsTransferClient, key, sealer, signer *kmstest.Key) map[string]func() {
	t.Helper()
	encrypt := func() *kms.EncryptResponse {
		q := kms.CreateEncryptRequest()
		q.KeyId, q.Plaintext, q.EncryptionContext = key.ID(), "text", `{"a":"1"}`
		out := done(t, c.Encrypt, q)
		require.Equal(t, []string{key.ID(), key.VersionID()}, []string{out.KeyId, out.KeyVersionId})
		return out
	}
	decrypt := func(blob, context string) string {
		q := kms.CreateDecryptRequest()
		q.CiphertextBlob, q.EncryptionContext = blob, context
		out := done(t, c.Decrypt, q)
		require.Equal(t, []string{key.ID(), key.VersionID()}, []string{out.KeyId, out.KeyVersionId})
		return out.Plaintext
	}
	digest := sha256.Sum256([]byte("text"))
	hash, text := base64.StdEncoding.EncodeToString(digest[:]), base64.StdEncoding.EncodeToString([]byte("text"))
	seal := func() string {
		q := kms.CreateAsymmetricEncryptRequest()
		q.KeyId, q.KeyVersionId, q.Algorithm, q.Plaintext = sealer.ID(), sealer.VersionID(), "RSAES_OAEP_SHA_256", text
		return done(t, c.AsymmetricEncrypt, q).CiphertextBlob
	}
	sign := func() string {
		q := kms.CreateAsymmetricSignRequest()
		q.KeyId, q.KeyVersionId, q.Algorithm, q.Digest = signer.ID(), signer.VersionID(), "ECDSA_SHA_256", hash
		return done(t, c.AsymmetricSign, q).Value
	}
	return map[string]func(){
		"Encrypt": func() { encrypt() },
		"Decrypt": func() { require.Equal(t, "text", decrypt(encrypt().CiphertextBlob, `{"a":"1"}`)) },
		"GenerateDataKey": func() {
			q := kms.CreateGenerateDataKeyRequest()
			q.KeyId = key.ID()
			out := done(t, c.GenerateDataKey, q)
			require.Equal(t, out.Plaintext, decrypt(out.CiphertextBlob, ""))
		},
		"GenerateDataKeyWithoutPlaintext": func() {
			q := kms.CreateGenerateDataKeyWithoutPlaintextRequest()
			q.KeyId = key.ID()
			require.Len(t, decrypt(done(t, c.GenerateDataKeyWithoutPlaintext, q).CiphertextBlob, ""), 44)
		},
		"AsymmetricEncrypt": func() { require.NotEmpty(t, seal()) },
		"AsymmetricDecrypt": func() {
			q := kms.CreateAsymmetricDecryptRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.CiphertextBlob = sealer.ID(), sealer.VersionID(), "RSAES_OAEP_SHA_256", seal()
			require.Equal(t, text, done(t, c.AsymmetricDecrypt, q).Plaintext)
		},
		"AsymmetricSign": func() { require.NotEmpty(t, sign()) },
		"AsymmetricVerify": func() {
			q := kms.CreateAsymmetricVerifyRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.Digest, q.Value = signer.ID(), signer.VersionID(), "ECDSA_SHA_256", hash, sign()
			require.True(t, done(t, c.AsymmetricVerify, q).Value)
		},
		"GetPublicKey": func() {
			q := kms.CreateGetPublicKeyRequest()
			q.KeyId, q.KeyVersionId = signer.ID(), signer.VersionID()
			require.Contains(t, done(t, c.GetPublicKey, q).PublicKey, "BEGIN PUBLIC KEY")
		},
		"GetSecretValue": func() {
			q := kms.CreateGetSecretValueRequest()
			q.SecretName = "app"
			out := done(t, c.GetSecretValue, q)
			require.Equal(t, []string{"app", "hello", "v1"}, []string{out.SecretName, out.SecretData, out.VersionId})
		},
	}
}
