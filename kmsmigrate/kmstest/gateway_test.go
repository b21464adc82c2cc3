package kmstest_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func encryptWith(t *testing.T, client *kms.Client, key, plaintext, context string) *kms.EncryptResponse {
	t.Helper()
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.EncryptionContext = key, plaintext, context
	out, err := client.Encrypt(q)
	require.NoError(t, err)
	return out
}

func decryptWith(client *kms.Client, blob, context string) (*kms.DecryptResponse, error) {
	q := kms.CreateDecryptRequest()
	q.CiphertextBlob, q.EncryptionContext = blob, context
	return client.Decrypt(q)
}

// requireServerError checks that the SDK understood the answer as an error of the service.
func requireServerError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var server *errors.ServerError
	require.ErrorAs(t, err, &server)
	require.Equal(t, code, server.ErrorCode())
	require.Equal(t, status, server.HttpStatus())
	require.NotEmpty(t, server.RequestId())
	require.NotEmpty(t, server.Message())
}

func TestGatewayRoundTripKeepsTheStringAsGiven(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	for _, uuid := range []bool{true, false} {
		key := newKey(t, region.CreateKey, kmstest.KeySpec{UUID: uuid})
		client := regionClient(t, region)
		for _, plaintext := range []string{"aGVsbG8=", "not base64 at all: ü & =", strings.Repeat("x", 6144)} {
			out := encryptWith(t, client, key.ID(), plaintext, `{"b":"2","a":"1"}`)
			raw, err := base64.StdEncoding.DecodeString(out.CiphertextBlob)
			require.NoError(t, err)
			require.Len(t, raw, 36+12+len(plaintext)+16)
			require.Equal(t, key.VersionID(), string(raw[:36]))
			require.Equal(t, key.VersionID(), out.KeyVersionId)
			require.Equal(t, key.ID(), out.KeyId)

			back, err := decryptWith(client, out.CiphertextBlob, `{"a":"1","b":"2"}`)
			require.NoError(t, err)
			require.Equal(t, plaintext, back.Plaintext)
			require.Equal(t, key.ID(), back.KeyId)
			require.Equal(t, key.VersionID(), back.KeyVersionId)

			_, err = decryptWith(client, out.CiphertextBlob, `{"a":"1"}`)
			requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
		}
	}
}

func TestGatewayDataKeyWrapsBase64Text(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	client := regionClient(t, region)
	for _, c := range []struct {
		spec  string
		bytes requests.Integer
		size  int
	}{{"", "", 32}, {"AES_128", "", 16}, {"AES_256", "24", 24}, {"", "1", 1}, {"", "1024", 1024}} {
		q := kms.CreateGenerateDataKeyRequest()
		q.KeyId, q.KeySpec, q.NumberOfBytes = "alias/app", c.spec, c.bytes
		out, err := client.GenerateDataKey(q)
		require.NoError(t, err)
		dek, err := base64.StdEncoding.DecodeString(out.Plaintext)
		require.NoError(t, err)
		require.Len(t, dek, c.size)
		raw, err := base64.StdEncoding.DecodeString(out.CiphertextBlob)
		require.NoError(t, err)
		require.Len(t, raw, 64+base64.StdEncoding.EncodedLen(c.size)) // 108 for 32 bytes
		back, err := decryptWith(client, out.CiphertextBlob, "")
		require.NoError(t, err)
		require.Equal(t, out.Plaintext, back.Plaintext)
		require.Equal(t, key.ID(), back.KeyId)
	}
	q := kms.CreateGenerateDataKeyWithoutPlaintextRequest()
	q.KeyId = key.ID()
	out, err := client.GenerateDataKeyWithoutPlaintext(q)
	require.NoError(t, err)
	back, err := decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
	require.Len(t, back.Plaintext, 44)
}

func TestRotationEncryptsWithTheNewVersionAndStillOpensTheOld(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	first := encryptWith(t, client, key.ID(), "first", "")
	require.NoError(t, key.Rotate())
	second := encryptWith(t, client, key.ID(), "second", "")
	require.NotEqual(t, first.KeyVersionId, second.KeyVersionId)
	require.Equal(t, key.VersionID(), second.KeyVersionId)
	for _, blob := range []string{first.CiphertextBlob, second.CiphertextBlob} {
		_, err := decryptWith(client, blob, "")
		require.NoError(t, err)
	}
	q := kms.CreateListKeyVersionsRequest()
	q.KeyId = key.ID()
	list, err := client.ListKeyVersions(q)
	require.NoError(t, err)
	require.Equal(t, 2, list.TotalCount)
	require.Equal(t, first.KeyVersionId, list.KeyVersions.KeyVersion[0].KeyVersionId)
	require.Equal(t, second.KeyVersionId, list.KeyVersions.KeyVersion[1].KeyVersionId)
}

func TestRegionsAreIsolated(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	here, there := openRegion(t, cloud, "cn-hangzhou"), openRegion(t, cloud, "cn-beijing")
	key := newKey(t, here.CreateKey, kmstest.KeySpec{})
	out := encryptWith(t, regionClient(t, here), key.ID(), "x", "")
	client := regionClient(t, there)
	_, err := decryptWith(client, out.CiphertextBlob, "")
	requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
	q := kms.CreateDescribeKeyRequest()
	q.KeyId = key.ID()
	_, err = client.DescribeKey(q)
	requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
}

func TestDisabledKeyNeitherEncryptsNorDecrypts(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	out := encryptWith(t, client, key.ID(), "x", "")
	off := kms.CreateDisableKeyRequest()
	off.KeyId = key.ID()
	_, err := client.DisableKey(off)
	require.NoError(t, err)
	_, err = decryptWith(client, out.CiphertextBlob, "")
	requireServerError(t, err, http.StatusConflict, "Rejected.Disabled")
	on := kms.CreateEnableKeyRequest()
	on.KeyId = key.ID()
	_, err = client.EnableKey(on)
	require.NoError(t, err)
	_, err = decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
}

func TestKeysAndAliasesThroughTheAPI(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	create := kms.CreateCreateKeyRequest()
	create.Description = "made by the API"
	made, err := client.CreateKey(create)
	require.NoError(t, err)
	id := made.KeyMetadata.KeyId
	require.Len(t, id, 25)
	require.Equal(t, "Enabled", made.KeyMetadata.KeyState)
	require.Equal(t, "Aliyun_AES_256", made.KeyMetadata.KeySpec)
	require.Len(t, made.KeyMetadata.PrimaryKeyVersion, 36)
	require.Equal(t, "acs:kms:cn-hangzhou:"+cloud.Account()+":key/"+id, made.KeyMetadata.Arn)

	name := kms.CreateCreateAliasRequest()
	name.KeyId, name.AliasName = id, "alias/one"
	_, err = client.CreateAlias(name)
	require.NoError(t, err)
	again := kms.CreateCreateAliasRequest()
	again.KeyId, again.AliasName = id, "alias/one"
	_, err = client.CreateAlias(again)
	requireServerError(t, err, http.StatusBadRequest, "AliasAlreadyExists")
	for _, bad := range []string{"one", "alias/", "alias/acs/ecs", "alias/" + strings.Repeat("x", 250)} {
		q := kms.CreateCreateAliasRequest()
		q.KeyId, q.AliasName = id, bad
		_, err = client.CreateAlias(q)
		requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
	}
	list, err := client.ListAliases(kms.CreateListAliasesRequest())
	require.NoError(t, err)
	require.Equal(t, []kms.Alias{{AliasName: "alias/one", KeyId: id, AliasArn: "acs:kms:cn-hangzhou:" + cloud.Account() + ":alias/one"}},
		list.Aliases.Alias)
	for _, ref := range []string{id, "alias/one", made.KeyMetadata.Arn} {
		q := kms.CreateDescribeKeyRequest()
		q.KeyId = ref
		out, err := client.DescribeKey(q)
		require.NoError(t, err)
		require.Equal(t, made.KeyMetadata, out.KeyMetadata)
	}
}

func TestListKeysPagesAndFilters(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	want := map[string]bool{}
	for range 12 {
		want[newKey(t, region.CreateKey, kmstest.KeySpec{}).ID()] = true
	}
	require.NoError(t, newKey(t, region.CreateKey, kmstest.KeySpec{}).Disable())
	filter := `[{"Key":"KeyState","Values":["Enabled"]},{"Key":"KeySpec","Values":["Aliyun_SM4"]},{"Key":"KeySpec","Values":["Aliyun_AES_256"]}]`
	got := map[string]bool{}
	for page, size := range []int{10, 2, 0} {
		q := kms.CreateListKeysRequest()
		q.PageNumber, q.Filters = requests.NewInteger(page+1), filter
		out, err := client.ListKeys(q)
		require.NoError(t, err)
		require.Equal(t, 12, out.TotalCount)
		require.Len(t, out.Keys.Key, size)
		for _, k := range out.Keys.Key {
			got[k.KeyId] = true
		}
	}
	require.Equal(t, want, got)
	for _, bad := range []string{`[{"Key":"Colour","Values":["red"]}]`, `{`, `"x"`} {
		q := kms.CreateListKeysRequest()
		q.Filters = bad
		_, err := client.ListKeys(q)
		requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
	}
	q := kms.CreateListKeysRequest()
	q.PageSize = "101"
	_, err := client.ListKeys(q)
	requireServerError(t, err, http.StatusBadRequest, "InvalidParameter")
}

func TestBadRequestsOfTheGateway(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	rsa := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	client := regionClient(t, region)
	good := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	raw, err := base64.StdEncoding.DecodeString(good)
	require.NoError(t, err)
	flipped := append([]byte(nil), raw...)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		params map[string]string
		status int
		code   string
	}{
		"no key":            {map[string]string{"Action": "Encrypt", "Plaintext": "x"}, 400, "MissingParameter"},
		"no plaintext":      {map[string]string{"Action": "Encrypt", "KeyId": key.ID()}, 400, "MissingParameter"},
		"too long":          {map[string]string{"Action": "Encrypt", "KeyId": key.ID(), "Plaintext": strings.Repeat("x", 6145)}, 400, "InvalidParameter"},
		"unknown key":       {map[string]string{"Action": "Encrypt", "KeyId": "nope", "Plaintext": "x"}, 404, "Forbidden.KeyNotFound"},
		"unknown alias":     {map[string]string{"Action": "Encrypt", "KeyId": "alias/nope", "Plaintext": "x"}, 404, "Forbidden.AliasNotFound"},
		"foreign account":   {map[string]string{"Action": "Encrypt", "KeyId": "acs:kms:cn-hangzhou:1:key/" + key.ID(), "Plaintext": "x"}, 403, "Forbidden.NoPermission"},
		"asymmetric key":    {map[string]string{"Action": "Encrypt", "KeyId": rsa.ID(), "Plaintext": "x"}, 400, "UnsupportedOperation"},
		"context no object": {map[string]string{"Action": "Encrypt", "KeyId": key.ID(), "Plaintext": "x", "EncryptionContext": "a=b"}, 400, "InvalidParameter"},
		"context number":    {map[string]string{"Action": "Encrypt", "KeyId": key.ID(), "Plaintext": "x", "EncryptionContext": `{"a":1}`}, 400, "InvalidParameter"},
		"context nested":    {map[string]string{"Action": "Encrypt", "KeyId": key.ID(), "Plaintext": "x", "EncryptionContext": `{"a":{"b":"c"}}`}, 400, "InvalidParameter"},
		"context null":      {map[string]string{"Action": "Encrypt", "KeyId": key.ID(), "Plaintext": "x", "EncryptionContext": `{"a":null}`}, 400, "InvalidParameter"},
		"no blob":           {map[string]string{"Action": "Decrypt"}, 400, "MissingParameter"},
		"blob no base64":    {map[string]string{"Action": "Decrypt", "CiphertextBlob": "%%%"}, 400, "InvalidParameter"},
		"blob short":        {map[string]string{"Action": "Decrypt", "CiphertextBlob": base64.StdEncoding.EncodeToString(raw[:63])}, 400, "InvalidParameter"},
		"blob cut":          {map[string]string{"Action": "Decrypt", "CiphertextBlob": base64.StdEncoding.EncodeToString(raw[:64])}, 400, "InvalidParameter"},
		"blob flipped":      {map[string]string{"Action": "Decrypt", "CiphertextBlob": base64.StdEncoding.EncodeToString(flipped)}, 400, "InvalidParameter"},
		"data key size":     {map[string]string{"Action": "GenerateDataKey", "KeyId": key.ID(), "NumberOfBytes": "1025"}, 400, "InvalidParameter"},
		"data key spec":     {map[string]string{"Action": "GenerateDataKey", "KeyId": key.ID(), "KeySpec": "DES"}, 400, "InvalidParameter"},
		"unknown action":    {map[string]string{"Action": "MakeTea"}, 404, "InvalidAction.NotFound"},
		"key spec":          {map[string]string{"Action": "CreateKey", "KeySpec": "DES"}, 400, "InvalidParameter"},
		"unknown instance":  {map[string]string{"Action": "CreateKey", "DKMSInstanceId": "kst-none"}, 404, "Forbidden.DKMSInstanceNotFound"},
	} {
		t.Log(name)
		q := requests.NewCommonRequest()
		q.Domain, q.Scheme, q.Version, q.ApiName = region.HTTPS, "https", "2016-01-20", c.params["Action"]
		q.QueryParams = c.params
		_, err := client.ProcessCommonRequest(q)
		requireServerError(t, err, c.status, c.code)
	}
}
