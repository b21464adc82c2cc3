package kmstest_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// sdkRSA is the surface that kms.Client and the transfer client share.
type sdkRSA interface {
	AsymmetricEncrypt(*kms.AsymmetricEncryptRequest) (*kms.AsymmetricEncryptResponse, error)
	AsymmetricDecrypt(*kms.AsymmetricDecryptRequest) (*kms.AsymmetricDecryptResponse, error)
	AsymmetricSign(*kms.AsymmetricSignRequest) (*kms.AsymmetricSignResponse, error)
	AsymmetricVerify(*kms.AsymmetricVerifyRequest) (*kms.AsymmetricVerifyResponse, error)
	GetPublicKey(*kms.GetPublicKeyRequest) (*kms.GetPublicKeyResponse, error)
}

func requireSigns(t *testing.T, client sdkRSA, key *kmstest.Key, algorithm string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte("message"))
	s := kms.CreateAsymmetricSignRequest()
	s.KeyId, s.KeyVersionId, s.Algorithm, s.Digest = key.ID(), key.VersionID(), algorithm, base64.StdEncoding.EncodeToString(digest[:])
	signed, err := client.AsymmetricSign(s)
	require.NoError(t, err)
	require.Equal(t, key.VersionID(), signed.KeyVersionId)
	for want, text := range map[bool]string{true: "message", false: "other"} {
		digest := sha256.Sum256([]byte(text))
		v := kms.CreateAsymmetricVerifyRequest()
		v.KeyId, v.KeyVersionId, v.Algorithm, v.Value = key.ID(), key.VersionID(), algorithm, signed.Value
		v.Digest = base64.StdEncoding.EncodeToString(digest[:])
		out, err := client.AsymmetricVerify(v)
		require.NoError(t, err)
		require.Equal(t, want, out.Value)
	}
	raw, err := base64.StdEncoding.DecodeString(signed.Value)
	require.NoError(t, err)
	return raw
}

func requireEncrypts(t *testing.T, client sdkRSA, key *kmstest.Key, algorithm string) {
	t.Helper()
	text := base64.StdEncoding.EncodeToString([]byte("plain"))
	e := kms.CreateAsymmetricEncryptRequest()
	e.KeyId, e.KeyVersionId, e.Algorithm, e.Plaintext = key.ID(), key.VersionID(), algorithm, text
	sealed, err := client.AsymmetricEncrypt(e)
	require.NoError(t, err)
	d := kms.CreateAsymmetricDecryptRequest()
	d.KeyId, d.KeyVersionId, d.Algorithm, d.CiphertextBlob = key.ID(), key.VersionID(), algorithm, sealed.CiphertextBlob
	opened, err := client.AsymmetricDecrypt(d)
	require.NoError(t, err)
	require.Equal(t, text, opened.Plaintext)
}

func publicKeyOf(t *testing.T, client sdkRSA, key *kmstest.Key) []byte {
	t.Helper()
	q := kms.CreateGetPublicKeyRequest()
	q.KeyId, q.KeyVersionId = key.ID(), key.VersionID()
	out, err := client.GetPublicKey(q)
	require.NoError(t, err)
	block, _ := pem.Decode([]byte(out.PublicKey))
	require.NotNil(t, block)
	return block.Bytes
}

func TestAsymmetricKeysOfTheGateway(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	for spec, c := range map[string]struct{ encrypts, signs []string }{
		"RSA_2048": {[]string{"RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"}, []string{"RSA_PSS_SHA_256", "RSA_PKCS1_SHA_256"}},
		"EC_P256":  {nil, []string{"ECDSA_SHA_256"}},
		"EC_P256K": {nil, []string{"ECDSA_SHA_256"}},
		"EC_SM2":   {[]string{"SM2PKE"}, []string{"SM2DSA"}},
	} {
		if c.encrypts != nil {
			key := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: spec})
			for _, algorithm := range c.encrypts {
				requireEncrypts(t, client, key, algorithm)
			}
			e := kms.CreateAsymmetricSignRequest()
			e.KeyId, e.KeyVersionId, e.Algorithm, e.Digest = key.ID(), key.VersionID(), c.signs[0], base64.StdEncoding.EncodeToString(make([]byte, 32))
			_, err := client.AsymmetricSign(e)
			requireServerError(t, err, 400, "UnsupportedOperation")
		}
		key := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: spec, Usage: "SIGN/VERIFY"})
		for _, algorithm := range c.signs {
			signature := requireSigns(t, client, key, algorithm)
			require.NotEmpty(t, publicKeyOf(t, client, key))
			if algorithm == "RSA_PSS_SHA_256" {
				public, err := x509.ParsePKIXPublicKey(publicKeyOf(t, client, key))
				require.NoError(t, err)
				digest := sha256.Sum256([]byte("message"))
				require.NoError(t, rsa.VerifyPSS(public.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32}))
			}
		}
		q := kms.CreateDescribeKeyRequest()
		q.KeyId = key.ID()
		meta, err := client.DescribeKey(q)
		require.NoError(t, err)
		require.Empty(t, meta.KeyMetadata.PrimaryKeyVersion, "asymmetric keys have none")
	}
}

func TestAsymmetricParametersAreMandatoryAndChecked(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	symmetric := newKey(t, region.CreateKey, kmstest.KeySpec{})
	good := kms.AsymmetricEncryptRequest{KeyId: key.ID(), KeyVersionId: key.VersionID(), Algorithm: "RSAES_OAEP_SHA_256", Plaintext: "eA=="}
	for name, c := range map[string]struct {
		change func(*kms.AsymmetricEncryptRequest)
		status int
		code   string
	}{
		"no key":          {func(q *kms.AsymmetricEncryptRequest) { q.KeyId = "" }, 400, "MissingParameter"},
		"no version":      {func(q *kms.AsymmetricEncryptRequest) { q.KeyVersionId = "" }, 400, "MissingParameter"},
		"no algorithm":    {func(q *kms.AsymmetricEncryptRequest) { q.Algorithm = "" }, 400, "MissingParameter"},
		"wrong algorithm": {func(q *kms.AsymmetricEncryptRequest) { q.Algorithm = "SM2PKE" }, 400, "InvalidParameter"},
		"not base64":      {func(q *kms.AsymmetricEncryptRequest) { q.Plaintext = "x" }, 400, "InvalidParameter"},
		"too long": {func(q *kms.AsymmetricEncryptRequest) {
			q.Plaintext = base64.StdEncoding.EncodeToString(make([]byte, 191))
		}, 400, "InvalidParameter"},
		"unknown version": {func(q *kms.AsymmetricEncryptRequest) { q.KeyVersionId = symmetric.VersionID() }, 404, "Forbidden.KeyVersionNotFound"},
		"symmetric key":   {func(q *kms.AsymmetricEncryptRequest) { q.KeyId = symmetric.ID() }, 400, "UnsupportedOperation"},
	} {
		t.Log(name)
		q := kms.CreateAsymmetricEncryptRequest()
		q.KeyId, q.KeyVersionId, q.Algorithm, q.Plaintext = good.KeyId, good.KeyVersionId, good.Algorithm, good.Plaintext
		c.change(q)
		_, err := client.AsymmetricEncrypt(q)
		requireServerError(t, err, c.status, c.code)
	}
}

func TestAsymmetricKeysOfTheInstance(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	ck := newClientKey(t, instance)
	client, err := instance.SDKClient(ck)
	require.NoError(t, err)
	moved, err := instance.TransferClient(ck)
	require.NoError(t, err)
	plain, err := instance.RPCClient()
	require.NoError(t, err)
	sealer := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	signer := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256"})
	for _, c := range []sdkRSA{moved, plain} {
		requireEncrypts(t, c, sealer, "RSAES_OAEP_SHA_256")
		requireSigns(t, c, signer, "ECDSA_SHA_256")
		require.NotEmpty(t, publicKeyOf(t, c, signer))
	}
	sealed, err := client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(sealer.ID()), Plaintext: []byte("x"), Algorithm: tea.String("RSAES_OAEP_SHA_256")})
	require.NoError(t, err)
	require.Empty(t, sealed.Iv)
	opened, err := client.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(sealer.ID()), CiphertextBlob: sealed.CiphertextBlob, Algorithm: tea.String("RSAES_OAEP_SHA_256")})
	require.NoError(t, err)
	require.Equal(t, "x", string(opened.Plaintext))

	digest := sha256.Sum256([]byte("message"))
	for kind, message := range map[string][]byte{"": []byte("message"), "RAW": []byte("message"), "DIGEST": digest[:]} {
		q := &dkms.SignRequest{KeyId: tea.String(signer.ID()), Algorithm: tea.String("ECDSA_SHA_256"), Message: message}
		if kind != "" {
			q.MessageType = tea.String(kind)
		}
		signed, err := client.Sign(q)
		require.NoError(t, err)
		v := &dkms.VerifyRequest{KeyId: q.KeyId, Algorithm: q.Algorithm, Message: digest[:], MessageType: tea.String("DIGEST"), Signature: signed.Signature}
		out, err := client.Verify(v)
		require.NoError(t, err)
		require.True(t, tea.BoolValue(out.Value))
		v.Signature = bytes.Repeat([]byte{1}, 8)
		out, err = client.Verify(v)
		require.NoError(t, err)
		require.False(t, tea.BoolValue(out.Value))
	}
	public, err := client.GetPublicKey(&dkms.GetPublicKeyRequest{KeyId: tea.String(signer.ID())})
	require.NoError(t, err)
	require.Contains(t, tea.StringValue(public.PublicKey), "BEGIN PUBLIC KEY")
}

func TestInstanceMakesDataKeyPairsAndRandomBytes(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := instanceClient(t, instance)
	id, aad := tea.String(key.ID()), []byte("aad")
	for _, spec := range []string{"RSA_2048", "EC_P256", "EC_P256K", "EC_SM2"} {
		for _, format := range []string{"PEM", "DER"} {
			low, err := client.GenerateDataKeyPair(&dkms.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: tea.String(spec), KeyFormat: tea.String(format), Aad: aad})
			require.NoError(t, err)
			back, err := client.Decrypt(&dkms.DecryptRequest{KeyId: id, CiphertextBlob: low.PrivateKeyCiphertextBlob, Iv: low.Iv, Aad: aad})
			require.NoError(t, err)
			require.Equal(t, low.PrivateKeyPlaintext, back.Plaintext)
			require.Equal(t, format == "PEM", bytes.HasPrefix(low.PublicKey, []byte("-----BEGIN")))
			high, err := client.AdvanceGenerateDataKeyPair(&dkms.AdvanceGenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: tea.String(spec), KeyFormat: tea.String(format)})
			require.NoError(t, err)
			wide, err := client.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: high.PrivateKeyCiphertextBlob})
			require.NoError(t, err)
			require.Equal(t, high.PrivateKeyPlaintext, wide.Plaintext)
		}
	}
	low, err := client.GenerateDataKeyPairWithoutPlaintext(&dkms.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: tea.String("EC_P256"), KeyFormat: tea.String("PEM")})
	require.NoError(t, err)
	_, err = client.Decrypt(&dkms.DecryptRequest{KeyId: id, CiphertextBlob: low.PrivateKeyCiphertextBlob, Iv: low.Iv})
	require.NoError(t, err)
	high, err := client.AdvanceGenerateDataKeyPairWithoutPlaintext(&dkms.AdvanceGenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: tea.String("EC_P256"), KeyFormat: tea.String("PEM")})
	require.NoError(t, err)
	require.Equal(t, key.VersionID(), tea.StringValue(high.KeyVersionId))
	_, err = client.GenerateDataKeyPair(&dkms.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: tea.String("DSA"), KeyFormat: tea.String("PEM")})
	requireInstanceError(t, err, "InvalidParameter")

	random, err := client.GenerateRandom(&dkms.GenerateRandomRequest{Length: tea.Int32(33)})
	require.NoError(t, err)
	require.Len(t, random.Random, 33)
	_, err = client.GenerateRandom(&dkms.GenerateRandomRequest{Length: tea.Int32(1025)})
	requireInstanceError(t, err, "InvalidParameter")
}

func TestHardwareInstanceHasMoreSpecsAndModes(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	hardware, software := newInstance(t, region, kmstest.InstanceSpec{Hardware: true}), newInstance(t, region, kmstest.InstanceSpec{})
	for _, spec := range []string{"Aliyun_AES_192", "Aliyun_AES_128", "Aliyun_SM4", "RSA_4096", "EC_SM2"} {
		_, err := software.CreateKey(kmstest.KeySpec{Spec: spec})
		require.ErrorContains(t, err, "KeySpec", spec)
		newKey(t, hardware.CreateKey, kmstest.KeySpec{Spec: spec})
	}
	client, soft := instanceClient(t, hardware), instanceClient(t, software)
	for spec, family := range map[string]string{"Aliyun_AES_256": "AES", "Aliyun_AES_128": "AES", "Aliyun_SM4": "SM4"} {
		key := newKey(t, hardware.CreateKey, kmstest.KeySpec{Spec: spec})
		for mode, padding := range map[string]string{"_GCM": "", "_CBC": "PKCS7_PADDING", "_ECB": "PKCS7_PADDING"} {
			q := &dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("text"), Algorithm: tea.String(family + mode)}
			if padding != "" {
				q.PaddingMode = tea.String(padding)
			}
			sealed, err := client.Encrypt(q)
			require.NoError(t, err)
			require.Equal(t, family+mode, tea.StringValue(sealed.Algorithm))
			opened, err := client.Decrypt(&dkms.DecryptRequest{KeyId: q.KeyId, CiphertextBlob: sealed.CiphertextBlob, Iv: sealed.Iv, Algorithm: q.Algorithm, PaddingMode: q.PaddingMode})
			require.NoError(t, err)
			require.Equal(t, "text", string(opened.Plaintext))
		}
		_, err := client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("text"), Algorithm: tea.String(family + "_CBC"), PaddingMode: tea.String("NO_PADDING")})
		requireInstanceError(t, err, "InvalidParameter")
		_, err = client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("text")})
		requireInstanceError(t, err, "UnsupportedOperation")
	}
	key := newKey(t, software.CreateKey, kmstest.KeySpec{})
	_, err := soft.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("text"), Algorithm: tea.String("AES_CBC")})
	requireInstanceError(t, err, "InvalidParameter")
	q := kms.CreateUpdateRotationPolicyRequest()
	q.KeyId, q.EnableAutomaticRotation = newKey(t, hardware.CreateKey, kmstest.KeySpec{}).ID(), "true"
	_, err = regionClient(t, region).UpdateRotationPolicy(q)
	requireServerError(t, err, 400, "UnsupportedOperation")
	_, err = hardware.Backup()
	require.Error(t, err)
}

func TestECIESIsForHardwareInstances(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	hardware, software := newInstance(t, region, kmstest.InstanceSpec{Hardware: true}), newInstance(t, region, kmstest.InstanceSpec{})
	ck := newClientKey(t, hardware)
	native, err := hardware.SDKClient(ck)
	require.NoError(t, err)
	moved, err := hardware.TransferClient(ck)
	require.NoError(t, err)
	plain, err := hardware.RPCClient()
	require.NoError(t, err)
	algorithm := tea.String("ECIES_DH_SHA_1_XOR_HMAC")
	for _, spec := range []string{"EC_P256", "EC_P256K"} {
		seals := kmstest.KeySpec{Spec: spec, Usage: "ENCRYPT/DECRYPT"}
		for _, refuses := range []func(kmstest.KeySpec) (*kmstest.Key, error){region.CreateKey, software.CreateKey} {
			_, err := refuses(seals)
			require.ErrorContains(t, err, "KeyUsage")
		}
		key := newKey(t, hardware.CreateKey, seals)
		for _, c := range []sdkRSA{moved, plain} {
			requireEncrypts(t, c, key, *algorithm)
		}
		sealed, err := native.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("text"), Algorithm: algorithm})
		require.NoError(t, err)
		require.Len(t, sealed.CiphertextBlob, 65+4+20)
		q := &dkms.DecryptRequest{KeyId: tea.String(key.ID()), CiphertextBlob: sealed.CiphertextBlob, Algorithm: algorithm}
		opened, err := native.Decrypt(q)
		require.NoError(t, err)
		require.Equal(t, "text", string(opened.Plaintext))
		q.CiphertextBlob[70] ^= 1
		_, err = native.Decrypt(q)
		requireInstanceError(t, err, "InvalidParam")
		_, err = native.Encrypt(&dkms.EncryptRequest{KeyId: q.KeyId, Plaintext: make([]byte, 6145), Algorithm: algorithm})
		requireInstanceError(t, err, "InvalidParameter")
		signs := newKey(t, hardware.CreateKey, kmstest.KeySpec{Spec: spec})
		require.Equal(t, "SIGN/VERIFY", signs.Usage())
		_, err = native.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(signs.ID()), Plaintext: []byte("x"), Algorithm: algorithm})
		requireInstanceError(t, err, "UnsupportedOperation")
	}
}

// No document says in which form SM2PKE comes.
func TestSM2CiphertextsAreASN1UnlessSet(t *testing.T) {
	t.Parallel()
	for plain, first := range map[bool]byte{false: 0x30, true: 0x04} {
		cloud := start(t, kmstest.Config{PlainSM2: plain})
		region := openRegion(t, cloud, "cn-hangzhou")
		client := regionClient(t, region)
		key := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "EC_SM2"})
		requireEncrypts(t, client, key, "SM2PKE")
		q := kms.CreateAsymmetricEncryptRequest()
		q.KeyId, q.KeyVersionId, q.Algorithm, q.Plaintext = key.ID(), key.VersionID(), "SM2PKE", "dGV4dA=="
		out, err := client.AsymmetricEncrypt(q)
		require.NoError(t, err)
		raw := fromBase64(t, out.CiphertextBlob)
		require.Equal(t, first, raw[0])
		if plain {
			require.Len(t, raw, 1+32+32+32+4)
		}
		g := kms.CreateGenerateAndExportDataKeyRequest()
		g.KeyId, g.WrappingKeySpec, g.WrappingAlgorithm = newKey(t, region.CreateKey, kmstest.KeySpec{}).ID(), "EC_SM2", "SM2PKE"
		g.PublicKeyBlob = base64.StdEncoding.EncodeToString(publicKeyOf(t, client, key))
		exported, err := client.GenerateAndExportDataKey(g)
		require.NoError(t, err)
		require.Equal(t, first, fromBase64(t, exported.ExportedDataKey)[0])
		d := kms.CreateAsymmetricDecryptRequest()
		d.KeyId, d.KeyVersionId, d.Algorithm, d.CiphertextBlob = key.ID(), key.VersionID(), "SM2PKE", exported.ExportedDataKey
		held, err := client.AsymmetricDecrypt(d)
		require.NoError(t, err)
		back, err := decryptWith(client, exported.CiphertextBlob, "")
		require.NoError(t, err)
		require.Equal(t, back.Plaintext, held.Plaintext)
	}
}
