package kmstest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// Each setting is a question that the documents leave open, answered the other way.
func TestSettingsTurnTheOpenQuestionsRound(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{EmptyContextIsNone: true, ReportNewVersions: true, NoMigrationHeader: true, AdvanceOnHardware: true, HTTPSOnly: true})
	region := openRegion(t, cloud, "cn-shanghai")
	client := regionClient(t, region)
	key := newKey(t, region.CreateKey, kmstest.KeySpec{UUID: true})
	blob := encryptWith(t, client, key.ID(), "x", "{}").CiphertextBlob
	out, err := decryptWith(client, blob, "")
	require.NoError(t, err)
	require.Equal(t, key.VersionID(), out.KeyVersionId)

	instance := newInstance(t, region, kmstest.InstanceSpec{})
	require.NoError(t, instance.Migrate(kmstest.MigrateSpec{}, key))
	out, err = decryptWith(client, blob, "")
	require.NoError(t, err)
	require.Equal(t, key.VersionID(), out.KeyVersionId, "the new id")

	ck := newClientKey(t, instance)
	moved, err := instance.TransferClient(ck)
	require.NoError(t, err)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = key.ID(), "x"
	_, err = moved.Encrypt(q)
	require.NoError(t, err, "moved keys have the header")
	q = kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = newKey(t, instance.CreateKey, kmstest.KeySpec{}).ID(), "x"
	_, err = moved.Encrypt(q)
	require.ErrorContains(t, err, "Can not found response headers parameter[x-kms-migrationkeyversionid]")

	hardware := newInstance(t, region, kmstest.InstanceSpec{Hardware: true})
	_, err = instanceClient(t, hardware).AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(newKey(t, hardware.CreateKey, kmstest.KeySpec{}).ID()), Plaintext: []byte("x")})
	require.NoError(t, err)
	id, secret := cloud.Credentials()
	_, err = clientWith(t, region, id, secret).ListKeys(kms.CreateListKeysRequest())
	requireServerError(t, err, http.StatusBadRequest, "InvalidProtocol.NeedSsl")
}

func TestClockSkewBeyondFifteenMinutesIsRefused(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	shared := regionClient(t, q.region)
	for skew, ok := range map[time.Duration]bool{14 * time.Minute: true, -14 * time.Minute: true, 16 * time.Minute: false, -16 * time.Minute: false} {
		remove := q.cloud.Inject(kmstest.Fault{ClockSkew: skew})
		_, err := shared.ListKeys(kms.CreateListKeysRequest())
		_, nativeErr := q.nativeEncrypt(once())
		_, movedErr := q.movedEncrypt("")
		remove()
		if ok {
			require.NoError(t, err)
			require.NoError(t, nativeErr)
			continue
		}
		requireServerError(t, err, http.StatusBadRequest, "IllegalTimestamp")
		requireInstanceError(t, nativeErr, "RequestTimeTooSkewed")
		var server *errors.ServerError
		require.ErrorAs(t, movedErr, &server)
		require.Equal(t, "RequestTimeTooSkewed", server.ErrorCode())
	}
}

func TestOldImageHasNoRPCFace(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{OldImage: true})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	_, err := instanceClient(t, instance).Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x")})
	require.NoError(t, err)
	plain, err := instance.RPCClient()
	require.NoError(t, err)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = key.ID(), "x"
	_, err = plain.Encrypt(q)
	require.ErrorContains(t, err, "x-kms-acccesskeyid")
	require.Equal(t, 1, cloud.Count(kmstest.Match{Code: "MissingParameter", Instance: instance.ID}))
}

func TestTemporaryCredentialsNeedTheirToken(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	sts := cloud.AssumeRole()
	for token, code := range map[string]string{sts.SecurityToken: "", "wrong": "InvalidSecurityToken.MismatchWithAccessKey"} {
		client, err := kms.NewClientWithStsToken(region.ID, sts.AccessKeyID, sts.AccessKeySecret, token)
		require.NoError(t, err)
		client.Domain = region.HTTP
		_, err = client.ListKeys(kms.CreateListKeysRequest())
		if code == "" {
			require.NoError(t, err)
		} else {
			requireServerError(t, err, http.StatusBadRequest, code)
		}
	}
	_, err := clientWith(t, region, sts.AccessKeyID, sts.AccessKeySecret).ListKeys(kms.CreateListKeysRequest())
	requireServerError(t, err, http.StatusBadRequest, "InvalidSecurityToken.MismatchWithAccessKey")
}

func TestOurOwnClientsTakeTheConfigsAsTheyAre(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	outside, inside := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, instance.CreateKey, kmstest.KeySpec{})
	requireOwnClient(t, region.GatewayConfig(), outside.ID())
	requireOwnClient(t, instance.RPCConfig(), inside.ID())
	requireOwnInstance(t, instance.InstanceConfig(newClientKey(t, instance)), inside.ID())
	require.Equal(t, 2, cloud.Count(region.Match()))
	require.Equal(t, 2, cloud.Count(kmstest.Match{Face: kmstest.InstanceRPC}))
	require.Equal(t, 2, cloud.Count(kmstest.Match{Face: kmstest.Protobuf}))
}
