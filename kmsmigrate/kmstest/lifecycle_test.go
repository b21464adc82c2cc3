package kmstest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

const day = 24 * time.Hour

// newRSA makes a key pair; the public half is base64 of a SubjectPublicKeyInfo.
func newRSA(t *testing.T) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return key, base64.StdEncoding.EncodeToString(der)
}

func unwrap(t *testing.T, key *rsa.PrivateKey, wrapped string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(wrapped)
	require.NoError(t, err)
	out, err := rsa.DecryptOAEP(sha256.New(), nil, key, raw, nil)
	require.NoError(t, err)
	return out
}

func describe(t *testing.T, client *kms.Client, id string) kms.KeyMetadata {
	t.Helper()
	q := kms.CreateDescribeKeyRequest()
	q.KeyId = id
	out, err := client.DescribeKey(q)
	require.NoError(t, err)
	return out.KeyMetadata
}

func schedule(client *kms.Client, id string, days int) error {
	q := kms.CreateScheduleKeyDeletionRequest()
	q.KeyId, q.PendingWindowInDays = id, requests.NewInteger(days)
	_, err := client.ScheduleKeyDeletion(q)
	return err
}

// call does any operation and returns its error.
func call(client *kms.Client, domain, action string, params map[string]string) error {
	q := requests.NewCommonRequest()
	q.Domain, q.Scheme, q.Version, q.ApiName, q.QueryParams = domain, "https", "2016-01-20", action, params
	_, err := client.ProcessCommonRequest(q)
	return err
}

// The table of the KMS documents: "Impact of CMK status on API operations".
func TestStateTable(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	const failed = "Rejected.StateModifiedFailed"
	states := []string{"Enabled", "Disabled", "PendingDeletion", "PendingImport"}
	for action, want := range map[string][4]string{
		"Encrypt":             {"", "Rejected.Disabled", "Rejected.PendingDeletion", "Rejected.PendingImport"},
		"GenerateDataKey":     {"", "Rejected.Disabled", "Rejected.PendingDeletion", "Rejected.PendingImport"},
		"EnableKey":           {"", "", failed, failed},
		"DisableKey":          {"", "", failed, failed},
		"ScheduleKeyDeletion": {"", "", failed, ""},
		"CancelKeyDeletion":   {failed, failed, "", failed},
		"CreateAlias":         {"", "", failed, ""},
		"UpdateAlias":         {"", "", "Rejected.PendingDeletion", ""},
		"DescribeKey":         {"", "", "", ""},
		"ListKeyVersions":     {"", "", "", ""},
	} {
		for i, state := range states {
			key := keyIn(t, region, client, state)
			if action == "UpdateAlias" {
				newKey(t, region.CreateKey, kmstest.KeySpec{Alias: "alias/" + action + state})
			}
			err := call(client, region.HTTPS, action, map[string]string{"KeyId": key.ID(), "Plaintext": "x", "PendingWindowInDays": "7",
				"AliasName": "alias/" + action + state})
			if want[i] == "" {
				require.NoError(t, err, "%s when %s", action, state)
			} else {
				requireServerError(t, err, http.StatusConflict, want[i])
			}
		}
	}
}

func keyIn(t *testing.T, region *kmstest.Region, client *kms.Client, state string) *kmstest.Key {
	t.Helper()
	if state == "PendingImport" {
		q := kms.CreateCreateKeyRequest()
		q.Origin = "EXTERNAL"
		out, err := client.CreateKey(q)
		require.NoError(t, err)
		key, err := region.Key(out.KeyMetadata.KeyId)
		require.NoError(t, err)
		return key
	}
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	switch state {
	case "Disabled":
		require.NoError(t, key.Disable())
	case "PendingDeletion":
		require.NoError(t, schedule(client, key.ID(), 7))
	}
	require.Equal(t, state, describe(t, client, key.ID()).KeyState)
	return key
}

func TestDeletionHasItsWindowAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Alias: "alias/gone"})
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	for _, days := range []int{6, 367} {
		requireServerError(t, schedule(client, key.ID(), days), http.StatusBadRequest, "InvalidParameter")
	}
	require.NoError(t, schedule(client, key.ID(), 7))
	require.NotEmpty(t, describe(t, client, key.ID()).DeleteDate)
	cloud.Advance(6 * day)
	_, err := decryptWith(client, blob, "")
	requireServerError(t, err, http.StatusConflict, "Rejected.PendingDeletion")
	c := kms.CreateCancelKeyDeletionRequest()
	c.KeyId = key.ID()
	_, err = client.CancelKeyDeletion(c)
	require.NoError(t, err)
	require.Empty(t, describe(t, client, key.ID()).DeleteDate)
	_, err = decryptWith(client, blob, "")
	require.NoError(t, err)

	require.NoError(t, schedule(client, key.ID(), 366))
	cloud.Advance(366*day + time.Second)
	_, err = decryptWith(client, blob, "")
	requireServerError(t, err, http.StatusNotFound, "Forbidden.KeyNotFound")
	requireServerError(t, call(client, region.HTTPS, "DescribeKey", map[string]string{"KeyId": "alias/gone"}), http.StatusNotFound, "Forbidden.AliasNotFound")
	require.Empty(t, key.VersionID())
}

func TestDeletionProtectionIsByARN(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	set := func(arn, on string) error {
		return call(client, region.HTTPS, "SetDeletionProtection", map[string]string{"ProtectedResourceArn": arn, "EnableDeletionProtection": on,
			"DeletionProtectionDescription": "in use"})
	}
	requireServerError(t, set(key.ID(), "true"), http.StatusBadRequest, "InvalidParameter")
	require.NoError(t, set(key.ARN(), "true"))
	require.Equal(t, "Enabled", describe(t, client, key.ID()).DeletionProtection)
	require.Equal(t, "in use", describe(t, client, key.ID()).DeletionProtectionDescription)
	require.Error(t, schedule(client, key.ID(), 7))
	require.NoError(t, set(key.ARN(), "false"))
	require.NoError(t, schedule(client, key.ID(), 7))
}

func TestAutomaticRotationFollowsTheClock(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	set := func(on, interval string) error {
		return call(client, region.HTTPS, "UpdateRotationPolicy", map[string]string{"KeyId": key.ID(), "EnableAutomaticRotation": on, "RotationInterval": interval})
	}
	for _, bad := range []string{"6d", "731d", "7", "d", "-7d", "99999999999d", "0d"} {
		requireServerError(t, set("true", bad), http.StatusBadRequest, "InvalidParameter")
	}
	require.NoError(t, set("true", "168h"))
	meta := describe(t, client, key.ID())
	require.Equal(t, "Enabled", meta.AutomaticRotation)
	require.Equal(t, "604800s", meta.RotationInterval)
	require.NotEmpty(t, meta.NextRotationDate)
	old := encryptWith(t, client, key.ID(), "x", "")
	cloud.Advance(15 * day)
	require.Len(t, key.VersionIDs(), 3, "two intervals have passed")
	require.NotEmpty(t, describe(t, client, key.ID()).LastRotationDate)
	require.Equal(t, key.VersionID(), encryptWith(t, client, key.ID(), "x", "").KeyVersionId)
	_, err := decryptWith(client, old.CiphertextBlob, "")
	require.NoError(t, err)

	require.NoError(t, key.Disable())
	require.Equal(t, "Suspended", describe(t, client, key.ID()).AutomaticRotation)
	cloud.Advance(30 * day)
	require.Len(t, key.VersionIDs(), 3)
	require.NoError(t, key.Enable())
	require.NoError(t, set("false", ""))
	require.Equal(t, "Disabled", describe(t, client, key.ID()).AutomaticRotation)

	rsaKey := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	requireServerError(t, call(client, region.HTTPS, "UpdateRotationPolicy", map[string]string{"KeyId": rsaKey.ID(), "EnableAutomaticRotation": "true"}),
		http.StatusBadRequest, "UnsupportedOperation")
}

func TestManualVersionsAreAWeekApart(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Spec: "EC_P256"})
	q := kms.CreateCreateKeyVersionRequest()
	q.KeyId = key.ID()
	_, err := client.CreateKeyVersion(q)
	requireServerError(t, err, http.StatusBadRequest, "Rejected.LimitExceeded")
	cloud.Advance(7 * day)
	q = kms.CreateCreateKeyVersionRequest()
	q.KeyId = key.ID()
	made, err := client.CreateKeyVersion(q)
	require.NoError(t, err)
	d := kms.CreateDescribeKeyVersionRequest()
	d.KeyId, d.KeyVersionId = key.ID(), made.KeyVersion.KeyVersionId
	out, err := client.DescribeKeyVersion(d)
	require.NoError(t, err)
	require.Equal(t, made.KeyVersion, out.KeyVersion)
	symmetric := newKey(t, region.CreateKey, kmstest.KeySpec{})
	requireServerError(t, call(client, region.HTTPS, "CreateKeyVersion", map[string]string{"KeyId": symmetric.ID()}), http.StatusBadRequest, "UnsupportedOperation")
}

func TestImportedMaterialMustStayTheSame(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := keyIn(t, region, client, "PendingImport")
	material := make([]byte, 32)
	rand.Read(material)
	load := func(raw []byte, expires int64) error {
		p := kms.CreateGetParametersForImportRequest()
		p.KeyId, p.WrappingAlgorithm, p.WrappingKeySpec = key.ID(), "RSAES_OAEP_SHA_256", "RSA_2048"
		params, err := client.GetParametersForImport(p)
		require.NoError(t, err)
		der, err := base64.StdEncoding.DecodeString(params.PublicKey)
		require.NoError(t, err)
		public, err := x509.ParsePKIXPublicKey(der)
		require.NoError(t, err)
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), raw, nil)
		require.NoError(t, err)
		return call(client, region.HTTPS, "ImportKeyMaterial", map[string]string{"KeyId": key.ID(), "ImportToken": params.ImportToken,
			"EncryptedKeyMaterial": base64.StdEncoding.EncodeToString(wrapped), "KeyMaterialExpireUnix": fmt.Sprint(expires)})
	}
	requireServerError(t, load([]byte("short"), 0), http.StatusBadRequest, "InvalidKeyMaterial")
	require.NoError(t, load(material, cloud.Now().Add(10*day).Unix()))
	require.NotEmpty(t, describe(t, client, key.ID()).MaterialExpireTime)
	out := encryptWith(t, client, key.ID(), "x", "")
	cloud.Advance(11 * day)
	_, err := decryptWith(client, out.CiphertextBlob, "")
	requireServerError(t, err, http.StatusConflict, "Rejected.PendingImport")
	requireServerError(t, load(make([]byte, 32), 0), http.StatusBadRequest, "InvalidKeyMaterial")
	require.NoError(t, load(material, 0))
	_, err = decryptWith(client, out.CiphertextBlob, "")
	require.NoError(t, err)
	require.NoError(t, call(client, region.HTTPS, "DeleteKeyMaterial", map[string]string{"KeyId": key.ID()}))
	require.Equal(t, "PendingImport", describe(t, client, key.ID()).KeyState)
	requireServerError(t, call(client, region.HTTPS, "ImportKeyMaterial", map[string]string{"KeyId": key.ID(), "ImportToken": "x", "EncryptedKeyMaterial": "eA=="}),
		http.StatusBadRequest, "InvalidImportToken")

	twin := keyIn(t, region, client, "PendingImport")
	key = twin
	require.NoError(t, load(material, 0))
	back, err := decryptWith(client, encryptWith(t, client, twin.ID(), "y", "").CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, twin.ID(), back.KeyId, "a blob belongs to one key, whatever the material")
	requireServerError(t, call(client, region.HTTPS, "GetParametersForImport", map[string]string{"KeyId": newKey(t, region.CreateKey, kmstest.KeySpec{}).ID(),
		"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"}), http.StatusBadRequest, "Unsupported.Origin")
}

func TestAliasesMove(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	one, two := newKey(t, region.CreateKey, kmstest.KeySpec{Alias: "alias/app"}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	old := encryptWith(t, client, "alias/app", "x", "")
	require.NoError(t, call(client, region.HTTPS, "UpdateAlias", map[string]string{"AliasName": "alias/app", "KeyId": two.ID()}))
	require.Equal(t, two.ID(), encryptWith(t, client, "alias/app", "x", "").KeyId)
	back, err := decryptWith(client, old.CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, one.ID(), back.KeyId)
	q := kms.CreateListAliasesByKeyIdRequest()
	q.KeyId = two.ID()
	list, err := client.ListAliasesByKeyId(q)
	require.NoError(t, err)
	require.Len(t, list.Aliases.Alias, 1)
	require.NoError(t, call(client, region.HTTPS, "DeleteAlias", map[string]string{"AliasName": "alias/app"}))
	requireServerError(t, call(client, region.HTTPS, "DeleteAlias", map[string]string{"AliasName": "alias/app"}), http.StatusNotFound, "Forbidden.AliasNotFound")
	requireServerError(t, call(client, region.HTTPS, "UpdateAlias", map[string]string{"AliasName": "alias/app", "KeyId": two.ID()}), http.StatusNotFound, "Forbidden.AliasNotFound")
}

func TestTagsOfBothGenerations(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Tags: map[string]string{"a": "1"}})
	q := kms.CreateTagResourceRequest()
	q.KeyId, q.Tags = key.ID(), `[{"TagKey":"b","TagValue":"2"}]`
	_, err := client.TagResource(q)
	require.NoError(t, err)
	n := kms.CreateTagResourcesRequest()
	n.ResourceType, n.ResourceId, n.Tag = "key", &[]string{key.ID()}, &[]kms.TagResourcesTag{{Key: "c", Value: "3"}}
	_, err = client.TagResources(n)
	require.NoError(t, err)
	l := kms.CreateListResourceTagsRequest()
	l.KeyId = key.ID()
	list, err := client.ListResourceTags(l)
	require.NoError(t, err)
	require.Len(t, list.Tags.Tag, 3)
	u := kms.CreateUntagResourceRequest()
	u.KeyId, u.TagKeys = key.ID(), `["a"]`
	_, err = client.UntagResource(u)
	require.NoError(t, err)
	w := kms.CreateUntagResourcesRequest()
	w.ResourceType, w.ResourceId, w.TagKey = "key", &[]string{key.ID()}, &[]string{"b"}
	_, err = client.UntagResources(w)
	require.NoError(t, err)
	r := kms.CreateListTagResourcesRequest()
	r.ResourceType, r.ResourceId = "key", &[]string{key.ID()}
	left, err := client.ListTagResources(r)
	require.NoError(t, err)
	require.Equal(t, []kms.TagResource{{ResourceType: "key", ResourceId: key.ID(), TagKey: "c", TagValue: "3"}}, left.TagResources.TagResource)
	for token, code := range map[string]string{"x": "InvalidParameter", "-1": "InvalidParameter"} {
		requireServerError(t, call(client, region.HTTPS, "ListTagResources", map[string]string{"ResourceType": "key", "NextToken": token}), http.StatusBadRequest, code)
	}
	require.NoError(t, call(client, region.HTTPS, "ListTagResources", map[string]string{"ResourceType": "key", "NextToken": "9223372036854775807"}))
}

func TestInstancesAndAccountThroughTheAPI(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	openRegion(t, cloud, "cn-hangzhou")
	instance := newInstance(t, region, kmstest.InstanceSpec{Name: "prod"})
	newKey(t, instance.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	list, err := client.ListKmsInstances(kms.CreateListKmsInstancesRequest())
	require.NoError(t, err)
	require.Equal(t, instance.ID, list.KmsInstances.KmsInstance[0].KmsInstanceId)
	g := kms.CreateGetKmsInstanceRequest()
	g.KmsInstanceId = instance.ID
	got, err := client.GetKmsInstance(g)
	require.NoError(t, err)
	require.Equal(t, string(instance.CA()), got.KmsInstance.CaCertificateChainPem)
	require.Equal(t, "Connected", got.KmsInstance.Status)
	require.EqualValues(t, 1000, got.KmsInstance.KeyNum, "what can be created")
	require.Equal(t, "100", got.KmsInstance.SecretNum)
	require.EqualValues(t, 1000, got.KmsInstance.Spec)
	regions, err := client.DescribeRegions(kms.CreateDescribeRegionsRequest())
	require.NoError(t, err)
	require.Equal(t, []kms.Region{{RegionId: "cn-hangzhou"}, {RegionId: "cn-shanghai"}}, regions.Regions.Region)
	status, err := client.DescribeAccountKmsStatus(kms.CreateDescribeAccountKmsStatusRequest())
	require.NoError(t, err)
	require.Equal(t, "Enabled", status.AccountStatus)
	for _, format := range []string{"XML", "JSON"} {
		g := kms.CreateGetKmsInstanceRequest()
		g.KmsInstanceId, g.AcceptFormat = instance.ID, format
		_, err := client.GetKmsInstance(g)
		require.NoError(t, err)
	}
}

func TestServiceKeysAreListedButNotUsable(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	key, err := region.CreateServiceKey("oss")
	require.NoError(t, err)
	require.Equal(t, "oss", describe(t, client, "alias/acs/oss").Creator)
	requireServerError(t, call(client, region.HTTPS, "Encrypt", map[string]string{"KeyId": "alias/acs/oss", "Plaintext": "x"}), http.StatusBadRequest, "UnsupportedOperation")
	for creator, want := range map[string]int{"Service": 1, "User": 0} {
		q := kms.CreateListKeysRequest()
		q.Filters = `[{"Key":"CreatorType","Values":["` + creator + `"]}]`
		out, err := client.ListKeys(q)
		require.NoError(t, err)
		require.Equal(t, want, out.TotalCount)
	}
	requireServerError(t, schedule(client, key.ID(), 7), http.StatusBadRequest, "UnsupportedOperation")
}
