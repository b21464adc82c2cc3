package kmstest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// That one *kms.Client races with itself is not shown here: it takes a second build under the race detector, which needs a C compiler and a
// minute, and it says nothing about the fake. Region.SDKClient warns of it. The same goes for the instance client with tea 1.5.4.

// plainClient is the SDK as it is by default: http, and a transport of its own.
func plainClient(t *testing.T, r *kmstest.Region, id, secret string) *kms.Client {
	t.Helper()
	client, err := kms.NewClientWithOptions(r.ID, sdk.NewConfig(), credentials.NewAccessKeyCredential(id, secret))
	require.NoError(t, err)
	client.Domain = r.HTTP
	return client
}

func TestQuirkEveryDroppedClientKeepsItsConnection(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	kept := plainClient(t, region, id, secret)
	for range 20 {
		_, err := kept.ListKeys(kms.CreateListKeysRequest())
		require.NoError(t, err)
	}
	require.Equal(t, 1, cloud.Connections(region.Match()).Opened)
	cloud.ResetEvidence()
	for range 20 {
		_, err := plainClient(t, region, id, secret).ListKeys(kms.CreateListKeysRequest())
		require.NoError(t, err)
	}
	require.Equal(t, 20, cloud.Connections(region.Match()).Opened)
}

func TestQuirkClearedFieldsOfARequestAreStillSent(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.EncryptionContext = key.ID(), "x", `{"a":"1"}`
	_, err := client.Encrypt(q)
	require.NoError(t, err)
	q.EncryptionContext = ""
	out, err := client.Encrypt(q)
	require.NoError(t, err)
	_, err = decryptWith(client, out.CiphertextBlob, "")
	require.Error(t, err)
	_, err = decryptWith(client, out.CiphertextBlob, `{"a":"1"}`)
	require.NoError(t, err)
}

func TestQuirkProxiesOfTheGatewaySDKSeePlaintextAndNoProxyIsAPattern(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	seen := make(chan string, 8)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.URL.String() }))
	defer proxy.Close()
	id, secret := cloud.Credentials()
	encrypt := func(noProxy string) error {
		client := plainClient(t, region, id, secret)
		client.SetHttpProxy(proxy.URL)
		client.SetNoProxy(noProxy)
		q := kms.CreateEncryptRequest()
		q.KeyId, q.Plaintext = key.ID(), "in-the-url"
		_, err := client.Encrypt(q)
		return err
	}
	require.NoError(t, encrypt(""), "the empty answer of the proxy passes for success")
	require.Contains(t, <-seen, "Plaintext=in-the-url")
	require.Zero(t, cloud.Count(kmstest.Match{}))
	require.NoError(t, encrypt("."), "a dot matches every host")
	require.Equal(t, 1, cloud.Count(kmstest.Match{OK: true}))
	require.Error(t, encrypt("]["), "a bad pattern fails every call")
	require.Equal(t, 1, cloud.Count(kmstest.Match{}))
	require.Empty(t, seen)
}

func TestQuirkLogsAndErrorsOfTheGatewaySDKShowPlaintext(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	var log bytes.Buffer
	client.SetLogger("", "", &log, "")
	blob := encryptWith(t, client, key.ID(), "planted-plaintext", "").CiphertextBlob
	require.Contains(t, log.String(), "Plaintext=planted-plaintext")
	log.Reset()
	client.SetTemplate("{res_body}")
	out, err := decryptWith(client, blob, "")
	require.NoError(t, err)
	require.Contains(t, log.String(), "planted-plaintext")
	require.Contains(t, fmt.Sprint(out), "planted-plaintext")
	cloud.Inject(kmstest.Fault{Reset: kmstest.ResetBefore})
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = key.ID(), "planted-plaintext"
	_, err = client.Encrypt(q)
	for _, part := range []string{"Plaintext=planted-plaintext", "Signature=", "AccessKeyId=" + kmstest.CredentialPrefix} {
		require.ErrorContains(t, err, part)
	}
}

func TestQuirkURLsHaveALimit(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	encrypt := func(size int) error {
		q := kms.CreateEncryptRequest()
		q.KeyId, q.Plaintext = "alias/none", strings.Repeat("x", size)
		_, err := client.Encrypt(q)
		return err
	}
	requireServerError(t, encrypt(900_000), http.StatusBadRequest, "InvalidParameter")
	var server *errors.ServerError
	require.ErrorAs(t, encrypt(2_000_000), &server)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, server.HttpStatus())
	require.Empty(t, server.ErrorCode())
}

func TestQuirkExhaustedRetriesAreCalledATimeout(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	client := plainClient(t, region, id, secret)
	client.GetConfig().WithAutoRetry(true).WithMaxRetryTime(3)
	cloud.Inject(kmstest.Fault{Reset: kmstest.ResetBefore})
	_, err := client.ListKeys(kms.CreateListKeysRequest())
	var local *errors.ClientError
	require.ErrorAs(t, err, &local)
	require.Equal(t, "SDK.TimeoutError", local.ErrorCode())
}

func TestQuirkRedirectsAreErrorsOfTheGatewaySDK(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	client := regionClient(t, openRegion(t, cloud, "cn-hangzhou"))
	cloud.Inject(kmstest.Fault{Body: kmstest.BodyEmpty, Status: http.StatusFound})
	_, err := client.ListKeys(kms.CreateListKeysRequest())
	var server *errors.ServerError
	require.ErrorAs(t, err, &server)
	require.Equal(t, http.StatusFound, server.HttpStatus())
}

// A client that is given a round tripper of another type leaves it alone, and passes its read time-out on as the deadline of the context.
func TestQuirkRoundTrippersAreUsedAsTheyAre(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	client := plainClient(t, region, id, secret)
	var deadline time.Duration
	var to *url.URL
	client.SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
		if end, ok := r.Context().Deadline(); ok {
			deadline = time.Until(end)
		}
		to = r.URL
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"RequestId":"r"}`)), Request: r}, nil
	}))
	client.SetReadTimeout(time.Hour)
	out, err := client.ListKeys(kms.CreateListKeysRequest())
	require.NoError(t, err)
	require.Equal(t, "r", out.RequestId)
	require.Equal(t, region.HTTP, to.Host)
	require.InDelta(t, time.Hour, deadline, float64(time.Minute))
	require.Zero(t, cloud.Connections(region.Match()).Opened)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
