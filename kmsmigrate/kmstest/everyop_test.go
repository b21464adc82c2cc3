package kmstest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"reflect"
	"slices"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// absent are the operations of the official client that the fake does not do, and why. An operation that is neither here nor in a step below
// fails the tests, so a newer SDK is noticed.
var absent = map[string]string{
	"CreateCertificate":            certificates,
	"DeleteCertificate":            certificates,
	"DescribeCertificate":          certificates,
	"GetCertificate":               certificates,
	"UpdateCertificateStatus":      certificates,
	"UploadCertificate":            certificates,
	"CertificatePrivateKeyDecrypt": certificates,
	"CertificatePrivateKeySign":    certificates,
	"CertificatePublicKeyEncrypt":  certificates,
	"CertificatePublicKeyVerify":   certificates,

	"CreateApplicationAccessPoint":   accessPoints,
	"DeleteApplicationAccessPoint":   accessPoints,
	"DescribeApplicationAccessPoint": accessPoints,
	"ListApplicationAccessPoints":    accessPoints,
	"UpdateApplicationAccessPoint":   accessPoints,
	"CreateClientKey":                accessPoints,
	"DeleteClientKey":                accessPoints,
	"GetClientKey":                   accessPoints,
	"ListClientKeys":                 accessPoints,
	"CreateNetworkRule":              accessPoints,
	"DeleteNetworkRule":              accessPoints,
	"DescribeNetworkRule":            accessPoints,
	"ListNetworkRules":               accessPoints,
	"UpdateNetworkRule":              accessPoints,
	"CreatePolicy":                   accessPoints,
	"DeletePolicy":                   accessPoints,
	"DescribePolicy":                 accessPoints,
	"ListPolicies":                   accessPoints,
	"UpdatePolicy":                   accessPoints,

	"GetKeyPolicy":    resourcePolicies,
	"SetKeyPolicy":    resourcePolicies,
	"GetSecretPolicy": resourcePolicies,
	"SetSecretPolicy": resourcePolicies,

	"ConnectKmsInstance":       network,
	"UpdateKmsInstanceBindVpc": network,
}

const (
	certificates     = "certificates are a product of their own and never encrypt an application's data"
	accessPoints     = "an instance's ClientKeys are made by Instance.CreateClientKey; access points only say who may use them, and the fake has one user"
	resourcePolicies = "policies say who may use a key, and the fake has one user"
	network          = "an instance of the fake is connected from the start, and loopback has no VPC"
)

// managed are known, but only for secrets that the service rotates in a product of its own.
var managed = []string{"RotateSecret", "UpdateSecretRotationPolicy"}

// step is one operation, done through its own method of an SDK. Later steps of a list use what earlier ones made.
type step struct {
	action string
	do     func()
}

// takeSteps does them, sees each arrive and succeed on the face, and returns the actions.
func takeSteps(t *testing.T, cloud *kmstest.Cloud, face kmstest.Face, steps []step) map[string]bool {
	t.Helper()
	done := map[string]bool{}
	for _, s := range steps {
		m := kmstest.Match{Face: face, Action: s.action, OK: true}
		before := cloud.Count(m)
		s.do()
		require.Greater(t, cloud.Count(m), before, s.action)
		done[s.action] = true
	}
	return done
}

// done calls a method of an SDK and returns what it answered, which has a request id at the least.
func done[Q, R any](t *testing.T, method func(Q) (R, error), request Q) R {
	t.Helper()
	out, err := method(request)
	require.NoError(t, err, "%T", request)
	id := reflect.Indirect(reflect.Indirect(reflect.ValueOf(out)).FieldByName("RequestId"))
	require.NotEmpty(t, id.String(), "%T", out)
	return out
}

// operationsOf lists the methods of a client that take their own request and nothing else.
func operationsOf(client any) map[string]reflect.Method {
	out := map[string]reflect.Method{}
	kind := reflect.TypeOf(client)
	for i := range kind.NumMethod() {
		m := kind.Method(i)
		if m.Type.NumIn() == 2 && m.Type.In(1).Kind() == reflect.Pointer && m.Type.In(1).Elem().Name() == m.Name+"Request" {
			out[m.Name] = m
		}
	}
	return out
}

// callBare does an operation of a gateway client with an all but empty request.
func callBare(client any, m reflect.Method, secret string) error {
	request := reflect.New(m.Type.In(1).Elem())
	rpc := new(requests.RpcRequest)
	rpc.InitWithApiInfo("Kms", "2016-01-20", m.Name, "kms", "openAPI")
	rpc.Method = requests.POST
	request.Elem().FieldByName("RpcRequest").Set(reflect.ValueOf(rpc))
	if f := request.Elem().FieldByName("SecretName"); f.IsValid() {
		f.SetString(secret)
	}
	err, _ := m.Func.Call([]reflect.Value{reflect.ValueOf(client), request})[1].Interface().(error)
	return err
}

// place is what the steps work with on one face.
type place struct {
	t       *testing.T
	client  *kms.Client
	key     *kmstest.Key // symmetric
	sealer  *kmstest.Key // RSA, for encryption
	signer  *kmstest.Key // EC
	advance *kmstest.Key // of an instance
	secret  string
}

// business are the operations that both faces do.
func (p *place) business() []step {
	t, c := p.t, p.client
	blob, value := "", ""
	_, public := newRSA(t)
	text := base64.StdEncoding.EncodeToString([]byte("text"))
	digest := sha256.Sum256([]byte("text"))
	hash := base64.StdEncoding.EncodeToString(digest[:])
	used := func(key *kmstest.Key, keyID, versionID string) {
		t.Helper()
		require.Equal(t, key.ID(), keyID)
		require.Equal(t, key.VersionID(), versionID)
	}
	return []step{
		{"Encrypt", func() {
			q := kms.CreateEncryptRequest()
			q.KeyId, q.Plaintext, q.EncryptionContext = p.key.ID(), "text", `{"a":"1"}`
			out := done(t, c.Encrypt, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			blob = out.CiphertextBlob
		}},
		{"Decrypt", func() {
			q := kms.CreateDecryptRequest()
			q.CiphertextBlob, q.EncryptionContext = blob, `{"a":"1"}`
			out := done(t, c.Decrypt, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			require.Equal(t, "text", out.Plaintext)
		}},
		{"GenerateDataKey", func() {
			q := kms.CreateGenerateDataKeyRequest()
			q.KeyId, q.KeySpec = p.key.ID(), "AES_256"
			out := done(t, c.GenerateDataKey, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			opened, err := decryptWith(c, out.CiphertextBlob, "")
			require.NoError(t, err)
			require.Equal(t, out.Plaintext, opened.Plaintext)
		}},
		{"GenerateDataKeyWithoutPlaintext", func() {
			q := kms.CreateGenerateDataKeyWithoutPlaintextRequest()
			q.KeyId, q.NumberOfBytes = p.key.ID(), requests.NewInteger(24)
			out := done(t, c.GenerateDataKeyWithoutPlaintext, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			opened, err := decryptWith(c, out.CiphertextBlob, "")
			require.NoError(t, err)
			require.Len(t, opened.Plaintext, 32, "24 bytes in base64")
		}},
		{"GenerateAndExportDataKey", func() {
			q := kms.CreateGenerateAndExportDataKeyRequest()
			q.KeyId, q.PublicKeyBlob, q.WrappingAlgorithm, q.WrappingKeySpec = p.key.ID(), public, "RSAES_OAEP_SHA_256", "RSA_2048"
			out := done(t, c.GenerateAndExportDataKey, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			require.NotEmpty(t, out.ExportedDataKey)
			blob = out.CiphertextBlob
		}},
		{"ExportDataKey", func() {
			q := kms.CreateExportDataKeyRequest()
			q.CiphertextBlob, q.PublicKeyBlob, q.WrappingAlgorithm, q.WrappingKeySpec = blob, public, "RSAES_OAEP_SHA_256", "RSA_2048"
			out := done(t, c.ExportDataKey, q)
			used(p.key, out.KeyId, out.KeyVersionId)
			require.NotEmpty(t, out.ExportedDataKey)
		}},
		{"AdvanceEncrypt", func() {
			q := kms.CreateAdvanceEncryptRequest()
			q.KeyId, q.Plaintext = p.advance.ID(), text
			out := done(t, c.AdvanceEncrypt, q)
			used(p.advance, out.KeyId, out.KeyVersionId)
			require.Equal(t, "AES_GCM", out.Algorithm)
			require.Regexp(t, `^JAAC`, out.CiphertextBlob)
		}},
		{"AsymmetricEncrypt", func() {
			q := kms.CreateAsymmetricEncryptRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.Plaintext = p.sealer.ID(), p.sealer.VersionID(), "RSAES_OAEP_SHA_256", text
			out := done(t, c.AsymmetricEncrypt, q)
			used(p.sealer, out.KeyId, out.KeyVersionId)
			blob = out.CiphertextBlob
		}},
		{"AsymmetricDecrypt", func() {
			q := kms.CreateAsymmetricDecryptRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.CiphertextBlob = p.sealer.ID(), p.sealer.VersionID(), "RSAES_OAEP_SHA_256", blob
			out := done(t, c.AsymmetricDecrypt, q)
			used(p.sealer, out.KeyId, out.KeyVersionId)
			require.Equal(t, text, out.Plaintext)
		}},
		{"AsymmetricSign", func() {
			q := kms.CreateAsymmetricSignRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.Digest = p.signer.ID(), p.signer.VersionID(), "ECDSA_SHA_256", hash
			out := done(t, c.AsymmetricSign, q)
			used(p.signer, out.KeyId, out.KeyVersionId)
			value = out.Value
		}},
		{"AsymmetricVerify", func() {
			q := kms.CreateAsymmetricVerifyRequest()
			q.KeyId, q.KeyVersionId, q.Algorithm, q.Digest, q.Value = p.signer.ID(), p.signer.VersionID(), "ECDSA_SHA_256", hash, value
			out := done(t, c.AsymmetricVerify, q)
			used(p.signer, out.KeyId, out.KeyVersionId)
			require.True(t, out.Value)
		}},
		{"GetPublicKey", func() {
			q := kms.CreateGetPublicKeyRequest()
			q.KeyId, q.KeyVersionId = p.signer.ID(), p.signer.VersionID()
			out := done(t, c.GetPublicKey, q)
			used(p.signer, out.KeyId, out.KeyVersionId)
			require.Contains(t, out.PublicKey, "BEGIN PUBLIC KEY")
		}},
		{"GetSecretValue", func() {
			q := kms.CreateGetSecretValueRequest()
			q.SecretName, q.FetchExtendedConfig = p.secret, requests.NewBoolean(true)
			out := done(t, c.GetSecretValue, q)
			require.Equal(t, p.secret, out.SecretName)
			require.Equal(t, "hello", out.SecretData)
			require.Equal(t, "text", out.SecretDataType)
			require.Equal(t, "Generic", out.SecretType)
			require.Equal(t, "v1", out.VersionId)
			require.Equal(t, []string{"ACSCurrent"}, out.VersionStages.VersionStage)
			require.NotEmpty(t, out.CreateTime)
		}},
	}
}

func TestTheGatewaySDKDoesEveryOperationThatItExports(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{Name: "prod"})
	instance.SetInternetAccess(true)
	_, err := region.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello"})
	require.NoError(t, err)
	p := &place{t: t, client: regionClient(t, region), secret: "app",
		key:     newKey(t, region.CreateKey, kmstest.KeySpec{}),
		sealer:  newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"}),
		signer:  newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"}),
		advance: newKey(t, instance.CreateKey, kmstest.KeySpec{})}
	steps := slices.Concat(p.business(), p.keys(), p.imports(), p.versions(cloud), p.aliases(), p.tags(), p.secrets(), p.account(cloud, instance))
	done := takeSteps(t, cloud, kmstest.Gateway, steps)
	operations := operationsOf(p.client)
	require.Greater(t, len(operations), 90)
	for name, m := range operations {
		switch {
		case done[name]:
			require.NotContains(t, absent, name)
		case slices.Contains(managed, name):
			requireServerError(t, callBare(p.client, m, "app"), 400, "UnsupportedOperation")
		default:
			require.NotEmpty(t, absent[name], "%s is new: do it, or say why not", name)
			requireServerError(t, callBare(p.client, m, "app"), 404, "InvalidAction.NotFound")
		}
	}
	for name := range absent {
		require.Contains(t, operations, name)
	}
}

func TestTheGatewaySDKDoesEveryBusinessOperationOnAnInstance(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	client, err := instance.RPCClient()
	require.NoError(t, err)
	p := &place{t: t, client: client, secret: "app",
		key:    newKey(t, instance.CreateKey, kmstest.KeySpec{}),
		sealer: newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"}),
		signer: newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY"})}
	p.advance = p.key
	_, err = instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: p.key})
	require.NoError(t, err)
	done := takeSteps(t, cloud, kmstest.InstanceRPC, p.business())
	for name, m := range operationsOf(client) {
		switch {
		case done[name]:
		case absent[name] != "":
			requireServerError(t, callBare(client, m, "app"), 404, "InvalidAction.NotFound")
		default: // management, and ReEncrypt
			requireServerError(t, callBare(client, m, "app"), 400, "UnsupportedOperation")
		}
	}
}

// imports make a key without material, load it and take the material away again.
func (p *place) imports() []step {
	t, c := p.t, p.client
	id := ""
	var params *kms.GetParametersForImportResponse
	return []step{
		{"CreateKey", func() {
			q := kms.CreateCreateKeyRequest()
			q.Origin = "EXTERNAL"
			out := done(t, c.CreateKey, q)
			require.Equal(t, "PendingImport", out.KeyMetadata.KeyState)
			id = out.KeyMetadata.KeyId
		}},
		{"GetParametersForImport", func() {
			q := kms.CreateGetParametersForImportRequest()
			q.KeyId, q.WrappingAlgorithm, q.WrappingKeySpec = id, "RSAES_OAEP_SHA_256", "RSA_2048"
			params = done(t, c.GetParametersForImport, q)
			require.Equal(t, id, params.KeyId)
			require.NotEmpty(t, params.TokenExpireTime)
		}},
		{"ImportKeyMaterial", func() {
			der, err := base64.StdEncoding.DecodeString(params.PublicKey)
			require.NoError(t, err)
			public, err := x509.ParsePKIXPublicKey(der)
			require.NoError(t, err)
			wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), make([]byte, 32), nil)
			require.NoError(t, err)
			q := kms.CreateImportKeyMaterialRequest()
			q.KeyId, q.ImportToken, q.KeyMaterialExpireUnix = id, params.ImportToken, requests.NewInteger(0)
			q.EncryptedKeyMaterial = base64.StdEncoding.EncodeToString(wrapped)
			done(t, c.ImportKeyMaterial, q)
			require.Equal(t, "Enabled", describe(t, c, id).KeyState)
		}},
		{"DeleteKeyMaterial", func() {
			q := kms.CreateDeleteKeyMaterialRequest()
			q.KeyId = id
			done(t, c.DeleteKeyMaterial, q)
			require.Equal(t, "PendingImport", describe(t, c, id).KeyState)
		}},
	}
}
