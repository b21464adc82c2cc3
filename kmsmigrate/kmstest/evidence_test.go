package kmstest_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestEvidenceTellsWhereARequestWentAndWhatItDid(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{Alias: "alias/app"})
	client := regionClient(t, region)
	blob := encryptWith(t, client, "alias/app", "hello", "").CiphertextBlob
	_, err := decryptWith(client, blob, "")
	require.NoError(t, err)
	_, err = decryptWith(client, blob, `{"a":"b"}`)
	require.Error(t, err)

	got := cloud.Requests(kmstest.Match{})
	require.Len(t, got, 3)
	id, _ := cloud.Credentials()
	enc := got[0]
	require.Equal(t, kmstest.Gateway, enc.Face)
	require.Equal(t, "cn-hangzhou", enc.Region)
	require.Equal(t, region.HTTPS, enc.Host)
	require.True(t, enc.TLS)
	require.Equal(t, "Encrypt", enc.Action)
	require.Equal(t, id, enc.AccessKeyID)
	require.Equal(t, key.ID(), enc.KeyID)
	require.Equal(t, key.VersionID(), enc.KeyVersionID)
	require.Equal(t, 5, enc.PlaintextIn)
	require.True(t, enc.PlaintextInURL)
	require.Equal(t, 200, enc.Status)
	dec := got[1]
	require.Equal(t, 5, dec.PlaintextOut)
	require.Zero(t, dec.PlaintextIn)
	bad := got[2]
	require.Equal(t, "InvalidParameter", bad.Code)
	require.Equal(t, key.ID(), bad.KeyID)
	require.Empty(t, bad.KeyVersionID)
	require.Zero(t, bad.PlaintextOut)

	require.Equal(t, 2, cloud.Count(kmstest.Match{Action: "Decrypt"}))
	require.Equal(t, 1, cloud.Count(kmstest.Match{Action: "Decrypt", OK: true}))
	require.Equal(t, 1, cloud.Count(kmstest.Match{Code: "InvalidParameter"}))
	require.Equal(t, 3, cloud.Count(region.Match()))
	require.Equal(t, 3, cloud.Count(kmstest.Match{KeyID: key.ID()}))
	require.Zero(t, cloud.Count(kmstest.Match{Region: "cn-beijing"}))
	require.Equal(t, kmstest.Connections{Opened: 1, Handshakes: 1}, cloud.Connections(region.Match()))
	cloud.ResetEvidence()
	require.Empty(t, cloud.Requests(kmstest.Match{}))
	require.Zero(t, cloud.Count(kmstest.Match{}))
	require.Zero(t, cloud.Connections(kmstest.Match{}))
}

func TestEvidenceTellsTheFacesOfAnInstanceApart(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	instance := newInstance(t, openRegion(t, cloud, "cn-shanghai"), kmstest.InstanceSpec{})
	key := newKey(t, instance.CreateKey, kmstest.KeySpec{})
	rpc, err := instance.RPCClient()
	require.NoError(t, err)
	encryptWith(t, rpc, key.ID(), "x", "")
	ck := newClientKey(t, instance)
	client, err := instance.SDKClient(ck)
	require.NoError(t, err)
	_, err = client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, 2, cloud.Count(instance.Match()))
	require.Equal(t, 1, cloud.Count(kmstest.Match{Face: kmstest.InstanceRPC, Instance: instance.ID}))
	require.Equal(t, 1, cloud.Count(kmstest.Match{Face: kmstest.Protobuf, Instance: instance.ID}))
	require.Equal(t, ck.ID, cloud.Requests(kmstest.Match{Face: kmstest.Protobuf})[0].AccessKeyID)
	require.Equal(t, kmstest.Connections{Opened: 2, Handshakes: 2}, cloud.Connections(instance.Match()))
}

func TestEvidenceIsBoundedButCountsAreExact(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{KeepRequests: 3})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	for range 4 {
		encryptWith(t, client, key.ID(), "x", "")
	}
	encryptWith(t, client, key.ID(), "last", "")
	got := cloud.Requests(kmstest.Match{})
	require.Len(t, got, 3)
	require.Equal(t, 4, got[2].PlaintextIn)
	require.Equal(t, 5, cloud.Count(kmstest.Match{}))
}
