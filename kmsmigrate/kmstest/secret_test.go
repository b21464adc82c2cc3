package kmstest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func secretValue(client *kms.Client, name, version, stage string) (*kms.GetSecretValueResponse, error) {
	q := kms.CreateGetSecretValueRequest()
	q.SecretName, q.VersionId, q.VersionStage = name, version, stage
	return client.GetSecretValue(q)
}

func putSecret(client *kms.Client, name, version, data, stages string) error {
	q := kms.CreatePutSecretValueRequest()
	q.SecretName, q.VersionId, q.SecretData, q.VersionStages = name, version, data, stages
	_, err := client.PutSecretValue(q)
	return err
}

func TestSecretStagesMove(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	c := kms.CreateCreateSecretRequest()
	c.SecretName, c.VersionId, c.SecretData, c.Tags = "db/password", "v1", "one", `[{"TagKey":"team","TagValue":"a"}]`
	made, err := client.CreateSecret(c)
	require.NoError(t, err)
	require.Equal(t, "Generic", made.SecretType)
	require.Equal(t, "acs:kms:cn-hangzhou:"+cloud.Account()+":secret/db/password", made.Arn)

	require.NoError(t, putSecret(client, "db/password", "v2", "two", ""))
	require.NoError(t, putSecret(client, "db/password", "v2", "two", ""), "the same again changes nothing")
	requireServerError(t, putSecret(client, "db/password", "v2", "other", ""), http.StatusConflict, "Rejected.ResourceExist")
	require.NoError(t, putSecret(client, "db/password", "v3", "three", `["blue"]`))
	for stage, want := range map[string]string{"": "two", "ACSCurrent": "two", "ACSPrevious": "one", "blue": "three"} {
		out, err := secretValue(client, "db/password", "", stage)
		require.NoError(t, err)
		require.Equal(t, want, out.SecretData)
	}
	out, err := secretValue(client, "db/password", "v3", "")
	require.NoError(t, err)
	require.Equal(t, []string{"blue"}, out.VersionStages.VersionStage)
	_, err = secretValue(client, "db/password", "v3", "ACSCurrent")
	requireServerError(t, err, http.StatusNotFound, "Forbidden.ResourceNotFound")

	require.NoError(t, call(client, region.HTTPS, "UpdateSecretVersionStage", map[string]string{"SecretName": "db/password", "VersionStage": "ACSCurrent", "MoveToVersion": "v3"}))
	out, err = secretValue(client, "db/password", "", "ACSPrevious")
	require.NoError(t, err)
	require.Equal(t, "two", out.SecretData)
	requireServerError(t, call(client, region.HTTPS, "UpdateSecretVersionStage", map[string]string{"SecretName": "db/password", "VersionStage": "blue", "RemoveFromVersion": "v1"}),
		http.StatusBadRequest, "InvalidParameter")
	requireServerError(t, call(client, region.HTTPS, "UpdateSecretVersionStage", map[string]string{"SecretName": "db/password", "VersionStage": "ACSCurrent", "RemoveFromVersion": "v3"}),
		http.StatusBadRequest, "InvalidParameter")
	for deprecated, want := range map[string]int{"": 2, "true": 3} {
		q := kms.CreateListSecretVersionIdsRequest()
		q.SecretName, q.IncludeDeprecated = "db/password", deprecated
		list, err := client.ListSecretVersionIds(q)
		require.NoError(t, err)
		require.Equal(t, want, list.TotalCount)
	}
	d := kms.CreateDescribeSecretRequest()
	d.SecretName, d.FetchTags = "db/password", "true"
	info, err := client.DescribeSecret(d)
	require.NoError(t, err)
	require.Equal(t, []kms.Tag{{TagKey: "team", TagValue: "a"}}, info.Tags.Tag)
	require.Equal(t, "Invalid", info.AutomaticRotation)
	require.Positive(t, cloud.PlaintextBytes(kmstest.Match{Action: "GetSecretValue"}))
}

func TestSecretVersionsAreNotListedInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	_, err := region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: "0", VersionID: "v0"})
	require.NoError(t, err)
	order := []string{"v0"}
	for _, id := range []string{"v1", "v2", "v3", "v4", "v5"} {
		require.NoError(t, putSecret(client, "s", id, id, ""))
		order = append(order, id)
	}
	q := kms.CreateListSecretVersionIdsRequest()
	q.SecretName, q.IncludeDeprecated = "s", "true"
	list, err := client.ListSecretVersionIds(q)
	require.NoError(t, err)
	var got []string
	for _, v := range list.VersionIds.VersionId {
		got = append(got, v.VersionId)
	}
	require.NotEqual(t, order, got)
	slices.Sort(got)
	require.Equal(t, order, got)
}

func TestSecretDeletionHasItsWindow(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	_, err := region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: "x"})
	require.NoError(t, err)
	del := func(params map[string]string) error {
		params["SecretName"] = "s"
		return call(client, region.HTTPS, "DeleteSecret", params)
	}
	requireServerError(t, del(map[string]string{"RecoveryWindowInDays": "6"}), http.StatusBadRequest, "InvalidParameter")
	require.NoError(t, del(map[string]string{}))
	_, err = secretValue(client, "s", "", "")
	requireServerError(t, err, http.StatusConflict, "Rejected.ResourceInDeleteWindow")
	_, err = region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: "x"})
	require.ErrorContains(t, err, "ResourceInDeleteWindow")
	require.NoError(t, call(client, region.HTTPS, "RestoreSecret", map[string]string{"SecretName": "s"}))
	_, err = secretValue(client, "s", "", "")
	require.NoError(t, err)
	require.NoError(t, del(map[string]string{"RecoveryWindowInDays": "7"}))
	cloud.Advance(8 * day)
	_, err = secretValue(client, "s", "", "")
	requireServerError(t, err, http.StatusNotFound, "Forbidden.ResourceNotFound")
	_, err = region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: "x"})
	require.NoError(t, err)
	require.NoError(t, del(map[string]string{"ForceDeleteWithoutRecovery": "true"}))
	_, err = region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: "x"})
	require.NoError(t, err)
}

func TestSecretRules(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	client := regionClient(t, region)
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	inside, outside := newKey(t, instance.CreateKey, kmstest.KeySpec{}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	rsaKey := newKey(t, instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	for name, c := range map[string]struct {
		params map[string]string
		status int
		code   string
	}{
		"no name":         {map[string]string{"VersionId": "v", "SecretData": "x"}, 400, "MissingParameter"},
		"product's name":  {map[string]string{"SecretName": "acs/x", "VersionId": "v", "SecretData": "x"}, 400, "InvalidParameter"},
		"no version":      {map[string]string{"SecretName": "x", "SecretData": "x"}, 400, "MissingParameter"},
		"no data":         {map[string]string{"SecretName": "x", "VersionId": "v"}, 400, "MissingParameter"},
		"too much data":   {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": strings.Repeat("x", 30721)}, 400, "InvalidParameter"},
		"binary no b64":   {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "%", "SecretDataType": "binary"}, 400, "InvalidParameter"},
		"unknown type":    {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "x", "SecretType": "Odd"}, 400, "InvalidParameter"},
		"key elsewhere":   {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "x", "DKMSInstanceId": instance.ID, "EncryptionKeyId": outside.ID()}, 400, "InvalidParameter"},
		"key in instance": {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "x", "EncryptionKeyId": inside.ID()}, 400, "InvalidParameter"},
		"asymmetric key":  {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "x", "DKMSInstanceId": instance.ID, "EncryptionKeyId": rsaKey.ID()}, 400, "InvalidParameter"},
		"no key":          {map[string]string{"SecretName": "x", "VersionId": "v", "SecretData": "x", "DKMSInstanceId": instance.ID}, 400, "MissingParameter"},
	} {
		t.Log(name)
		requireServerError(t, call(client, region.HTTPS, "CreateSecret", c.params), c.status, c.code)
	}
	_, err := instance.CreateSecret(kmstest.SecretSpec{Name: "big", Value: strings.Repeat("x", 30720), Key: inside})
	require.NoError(t, err)
	require.NoError(t, inside.Disable())
	_, err = secretValue(client, "big", "", "")
	requireServerError(t, err, http.StatusConflict, "Rejected.Disabled")
}

func TestSecretsAreReadThroughEveryFace(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	_, err := instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: key})
	require.NoError(t, err)
	ck := newClientKey(t, instance)
	plain, err := instance.RPCClient()
	require.NoError(t, err)
	moved, err := instance.TransferClient(ck)
	require.NoError(t, err)
	native, err := instance.SDKClient(ck)
	require.NoError(t, err)
	for _, client := range []interface {
		GetSecretValue(*kms.GetSecretValueRequest) (*kms.GetSecretValueResponse, error)
	}{regionClient(t, region), plain, moved} {
		q := kms.CreateGetSecretValueRequest()
		q.SecretName = "app"
		out, err := client.GetSecretValue(q)
		require.NoError(t, err)
		require.Equal(t, "hello", out.SecretData)
		require.Equal(t, []string{"ACSCurrent"}, out.VersionStages.VersionStage)
	}
	out, err := native.GetSecretValue(&dkms.GetSecretValueRequest{SecretName: tea.String("app")})
	require.NoError(t, err)
	require.Equal(t, "hello", tea.StringValue(out.SecretData))
	_, err = native.GetSecretValue(&dkms.GetSecretValueRequest{SecretName: tea.String("nope")})
	requireInstanceError(t, err, "Forbidden.ResourceNotFound")
}

func TestSecretListsFilter(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	for _, name := range []string{"app/a", "app/b", "other"} {
		_, err := region.CreateSecret(kmstest.SecretSpec{Name: name, Value: "x", Description: "of " + name, Tags: map[string]string{"name": name}})
		require.NoError(t, err)
	}
	for filter, want := range map[string]int{"": 3, `[{"Key":"SecretName","Values":["app/"]}]`: 2, `[{"Key":"TagValue","Values":["other"]}]`: 1,
		`[{"Key":"TagKey","Values":["name"]},{"Key":"Description","Values":["of app/a"]}]`: 1} {
		q := kms.CreateListSecretsRequest()
		q.Filters, q.FetchTags = filter, "true"
		out, err := client.ListSecrets(q)
		require.NoError(t, err)
		require.Equal(t, want, out.TotalCount, filter)
		require.NotEmpty(t, out.SecretList.Secret[0].Tags.Tag)
	}
	requireServerError(t, call(client, region.HTTPS, "ListSecrets", map[string]string{"Filters": `[{"Key":"Colour"}]`}), http.StatusBadRequest, "InvalidParameter")
	requireServerError(t, call(client, region.HTTPS, "RotateSecret", map[string]string{"SecretName": "other", "VersionId": "v9"}), http.StatusBadRequest, "UnsupportedOperation")
	u := kms.CreateUpdateSecretRequest()
	u.SecretName, u.Description, u.ExtendedConfigCustomData = "other", "changed", `{"a":1}`
	_, err := client.UpdateSecret(u)
	require.NoError(t, err)
	p := kms.CreateGetRandomPasswordRequest()
	p.PasswordLength, p.ExcludePunctuation, p.ExcludeCharacters = "20", "true", "abc"
	out, err := client.GetRandomPassword(p)
	require.NoError(t, err)
	require.Regexp(t, `^[A-Zd-z0-9]{20}$`, out.RandomPassword)
}
