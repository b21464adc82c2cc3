package shim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// ownClient is the plain SDK with an access key of one side alone.
func ownClient(t *testing.T, at *kmstest.Region, id, secret string) *kms.Client {
	t.Helper()
	client, err := kms.NewClientWithOptions(at.ID, sdk.NewConfig().WithScheme("HTTPS"), credentials.NewAccessKeyCredential(id, secret))
	require.NoError(t, err)
	client.Domain = at.HTTPS
	client.SetHTTPSInsecure(true) // the fake's CA is its own
	return client
}

// TestWhatTheShimWroteIsReadWithoutIt takes the shim out again in every phase: the plain SDK reads all that was written, with the
// credentials of the side that wrote it.
func TestWhatTheShimWroteIsReadWithoutIt(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := newMaterial(t, w)
			w.config.Signing = phase
			w.config.Old.AccessKeyID, w.config.Old.AccessKeySecret = w.cloud.CreateAccessKey()
			w.config.New.AccessKeyID, w.config.New.AccessKeySecret = w.cloud.CreateAccessKey()
			at, own := w.oldAt, w.config.Old
			if phase.Writes() == kmsmigrate.SideNew {
				at, own = w.newAt, w.config.New
			}
			plainly := ownClient(t, at, own.AccessKeyID, own.AccessKeySecret)
			for _, client := range []any{w.client(t, w.transport(t, phase)), w.migrating(t, phase)} {
				symmetricIsRead(t, client, plainly)
				exportIsRead(t, client, plainly)
				asymmetricIsRead(t, m, client, plainly)
				if phase != kmsmigrate.NewOnly {
					reEncryptedIsRead(t, m, client, plainly)
				}
			}
			secretIsRead(t, w, phase)
		})
	}
}

func symmetricIsRead(t *testing.T, client, plainly any) {
	t.Helper()
	for _, context := range []string{"", `{"tenant":"7"}`} {
		for _, action := range []string{"Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"} {
			fields := map[string]string{"KeyId": "alias/app", "EncryptionContext": context}
			want := "hello"
			if action == "Encrypt" {
				fields["Plaintext"] = want
			}
			made, err := plain(t, client, action, "XML", fields)
			require.NoError(t, err, action)
			back, err := plain(t, plainly, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob"), "EncryptionContext": context})
			require.NoError(t, err, action)
			switch action {
			case "GenerateDataKey":
				want = text(t, made, "Plaintext")
			case "GenerateDataKeyWithoutPlaintext":
				require.Len(t, text(t, back, "Plaintext"), 44, "the base64 text of 32 bytes")
				continue
			}
			require.Equal(t, want, text(t, back, "Plaintext"), action)
		}
	}
}

func exportIsRead(t *testing.T, client, plainly any) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	wrapping := map[string]string{"PublicKeyBlob": base64.StdEncoding.EncodeToString(public), "WrappingKeySpec": "RSA_2048", "WrappingAlgorithm": "RSAES_OAEP_SHA_256"}
	made, err := plain(t, client, "GenerateAndExportDataKey", "JSON", plus(wrapping, "KeyId", "alias/app"))
	require.NoError(t, err)
	again, err := plain(t, client, "ExportDataKey", "JSON", plus(wrapping, "CiphertextBlob", text(t, made, "CiphertextBlob")))
	require.NoError(t, err)
	back, err := plain(t, plainly, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob")})
	require.NoError(t, err)
	for _, exported := range []string{text(t, made, "ExportedDataKey"), text(t, again, "ExportedDataKey")} {
		wrapped, err := base64.StdEncoding.DecodeString(exported)
		require.NoError(t, err)
		key, err := rsa.DecryptOAEP(sha256.New(), nil, private, wrapped, nil)
		require.NoError(t, err)
		require.Equal(t, base64.StdEncoding.EncodeToString(key), text(t, back, "Plaintext"))
	}
}

func asymmetricIsRead(t *testing.T, m material, client, plainly any) {
	t.Helper()
	made, err := plain(t, client, "AsymmetricEncrypt", "JSON", plus(m.wrapper.oldFields, "Plaintext", "aGVsbG8="))
	require.NoError(t, err)
	named := func(from interface{ GetHttpContentBytes() []byte }, algorithm string, pairs ...string) map[string]string {
		return plus(map[string]string{"KeyId": text(t, from, "KeyId"), "KeyVersionId": text(t, from, "KeyVersionId"), "Algorithm": algorithm}, pairs...)
	}
	back, err := plain(t, plainly, "AsymmetricDecrypt", "JSON", named(made, m.wrapper.algorithm, "CiphertextBlob", text(t, made, "CiphertextBlob")))
	require.NoError(t, err)
	require.Equal(t, "aGVsbG8=", text(t, back, "Plaintext"))

	sum := sha256.Sum256([]byte("message"))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	signed, err := plain(t, client, "AsymmetricSign", "JSON", plus(m.signer.oldFields, "Digest", digest))
	require.NoError(t, err)
	verified, err := plain(t, plainly, "AsymmetricVerify", "JSON", named(signed, m.signer.algorithm, "Digest", digest, "Value", text(t, signed, "Value")))
	require.NoError(t, err)
	require.Equal(t, "true", text(t, verified, "Value"))
}

func reEncryptedIsRead(t *testing.T, m material, client, plainly any) {
	t.Helper()
	made, err := plain(t, client, "ReEncrypt", "JSON", map[string]string{"CiphertextBlob": m.ofOld, "DestinationKeyId": "alias/app", "DestinationEncryptionContext": `{"b":"2"}`})
	require.NoError(t, err)
	back, err := plain(t, plainly, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob"), "EncryptionContext": `{"b":"2"}`})
	require.NoError(t, err)
	require.Equal(t, "cGxhaW4=", text(t, back, "Plaintext"))
}

// secretIsRead puts a version of a secret, which goes to the side that owns it.
func secretIsRead(t *testing.T, w *world, phase kmsmigrate.Phase) {
	t.Helper()
	at, own := w.oldAt, w.config.Old
	if phase == kmsmigrate.NewOnly {
		at, own = w.newAt, w.config.New
	}
	_, err := plain(t, w.migrating(t, phase), "PutSecretValue", "JSON", map[string]string{"SecretName": "db", "VersionId": "v2", "SecretData": "fresh"})
	require.NoError(t, err)
	got, err := plain(t, ownClient(t, at, own.AccessKeyID, own.AccessKeySecret), "GetSecretValue", "JSON", map[string]string{"SecretName": "db"})
	require.NoError(t, err)
	require.Equal(t, "fresh", text(t, got, "SecretData"))
}
