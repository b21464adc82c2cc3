package kmstest_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestFaultAnswersWithItsCodeUntilRemoved(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key, other := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	elsewhere := encryptWith(t, client, other.ID(), "x", "").CiphertextBlob
	for status, code := range map[int]string{
		429: "Rejected.Throttling", 500: "InternalFailure", 503: "ServiceUnavailableTemporary",
	} {
		remove := cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "Decrypt", KeyID: key.ID()}, Status: status})
		_, err := decryptWith(client, blob, "")
		requireServerError(t, err, status, code)
		_, err = decryptWith(client, elsewhere, "")
		require.NoError(t, err, "another key's request is untouched")
		encryptWith(t, client, key.ID(), "x", "")
		remove()
		_, err = decryptWith(client, blob, "")
		require.NoError(t, err)
	}
	require.Len(t, filter(cloud.Requests(kmstest.Match{}), func(r kmstest.Request) bool { return r.Faulted }), 3)
}

func filter(in []kmstest.Request, keep func(kmstest.Request) bool) (out []kmstest.Request) {
	for _, r := range in {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

func TestFaultTimesRunsOut(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	cloud.Inject(kmstest.Fault{Status: 500, Times: 2})
	for range 2 {
		q := kms.CreateEncryptRequest()
		q.KeyId, q.Plaintext = key.ID(), "x"
		_, err := client.Encrypt(q)
		requireServerError(t, err, 500, "InternalFailure")
	}
	encryptWith(t, client, key.ID(), "x", "")
}

// The SDK takes these for success: no error, and nothing in the answer. That is why our own clients check.
func TestFaultEmptyAnswersPassTheSDKAsSuccess(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	for _, body := range []kmstest.Body{kmstest.BodyEmpty, kmstest.BodyObject, kmstest.BodyNull} {
		remove := cloud.Inject(kmstest.Fault{Body: body})
		out, err := decryptWith(client, blob, "")
		require.NoError(t, err)
		require.Empty(t, out.Plaintext)
		require.Empty(t, out.RequestId)
		remove()
	}
}

func TestFaultHTMLAndXMLErrorsLeaveTheSDKWithoutACode(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	blob := encryptWith(t, client, key.ID(), "x", "").CiphertextBlob
	for body, status := range map[kmstest.Body]int{kmstest.BodyHTML: 502, kmstest.BodyXMLError: 500} {
		remove := cloud.Inject(kmstest.Fault{Body: body})
		_, err := decryptWith(client, blob, "")
		var server *errors.ServerError
		require.ErrorAs(t, err, &server)
		require.Equal(t, status, server.HttpStatus())
		require.Empty(t, server.ErrorCode())
		remove()
	}
}

func TestFaultNumericCodePanicsTheSDK(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	cloud.Inject(kmstest.Fault{Body: kmstest.BodyNumericCode})
	require.Panics(t, func() { _, _ = client.DescribeRegions(kms.CreateDescribeRegionsRequest()) })
}

func TestFaultResetComesBeforeOrAfterTheWork(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	for reset, made := range map[kmstest.Reset]int{kmstest.ResetBefore: 0, kmstest.ResetAfter: 1} {
		before, err := client.ListKeys(kms.CreateListKeysRequest())
		require.NoError(t, err)
		remove := cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "CreateKey"}, Reset: reset, Times: 1})
		_, err = client.CreateKey(kms.CreateCreateKeyRequest())
		require.Error(t, err)
		remove()
		after, err := client.ListKeys(kms.CreateListKeysRequest())
		require.NoError(t, err)
		require.Equal(t, before.TotalCount+made, after.TotalCount)
	}
}

func TestFaultHangEndsWithTheClientOrTheCloud(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	cloud.Inject(kmstest.Fault{Hang: true})
	client.SetReadTimeout(50 * time.Millisecond)
	_, err = client.ListKeys(kms.CreateListKeysRequest())
	require.Error(t, err)
	ended := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + region.HTTP + "/")
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		ended <- err
	}()
	require.Eventually(t, func() bool { return cloud.Connections(kmstest.Match{}).Opened == 2 }, 5*time.Second, time.Millisecond)
	require.NoError(t, cloud.Close())
	require.Error(t, <-ended)
}

func TestFaultLatencyDelaysTheAnswer(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	cloud.Inject(kmstest.Fault{Latency: 30 * time.Millisecond})
	cloud.Inject(kmstest.Fault{Latency: 30 * time.Millisecond})
	begun := time.Now()
	encryptWith(t, client, key.ID(), "x", "")
	require.GreaterOrEqual(t, time.Since(begun), 60*time.Millisecond)
	require.GreaterOrEqual(t, cloud.Requests(kmstest.Match{})[0].Duration, 60*time.Millisecond)
}

// A transfer client's GenerateDataKey is two calls. When the key rotates between them on an instance that would use the new version, the
// blob cannot be opened; here the hook shows that the rotation happened in between.
func TestFaultHookRunsBetweenTwoCalls(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "Encrypt"}, Times: 1, After: func() { _ = key.Rotate() }})
	first := encryptWith(t, client, key.ID(), "x", "")
	second := encryptWith(t, client, key.ID(), "x", "")
	require.Equal(t, []string{first.KeyVersionId, second.KeyVersionId}, key.VersionIDs())
}

func TestFaultWrongCertificateStopsStrictClients(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	remove := cloud.Inject(kmstest.Fault{WrongCertificate: true})
	_, err := client.ListKeys(kms.CreateListKeysRequest())
	require.ErrorContains(t, err, "certificate")
	require.Zero(t, cloud.Count(kmstest.Match{}))
	remove()
	_, err = client.ListKeys(kms.CreateListKeysRequest())
	require.NoError(t, err)
}
