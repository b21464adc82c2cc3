package kmstest_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// The tests of this file show the official SDKs misbehave as they were seen to do against other servers. That they do so here too is evidence
// that the fake looks real to them.

type quirks struct {
	cloud    *kmstest.Cloud
	region   *kmstest.Region
	instance *kmstest.Instance
	key      *kmstest.Key
	native   *dkms.Client
	moved    *transfer.KmsTransferClient
}

func newQuirks(t *testing.T) *quirks {
	t.Helper()
	q := &quirks{cloud: start(t, kmstest.Config{})}
	q.region = openRegion(t, q.cloud, "cn-shanghai")
	q.instance = newInstance(t, q.region, kmstest.InstanceSpec{})
	q.key = newKey(t, q.instance.CreateKey, kmstest.KeySpec{})
	ck := newClientKey(t, q.instance)
	var err error
	q.native, err = q.instance.SDKClient(ck)
	require.NoError(t, err)
	q.moved, err = q.instance.TransferClient(ck)
	require.NoError(t, err)
	return q
}

func (q *quirks) nativeEncrypt(options *dkmsutil.RuntimeOptions) (*dkms.EncryptResponse, error) {
	return q.native.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}, options)
}

func (q *quirks) movedEncrypt(context string) (*kms.EncryptResponse, error) {
	r := kms.CreateEncryptRequest()
	r.KeyId, r.Plaintext, r.EncryptionContext = q.key.ID(), "x", context
	return q.moved.Encrypt(r)
}

func (q *quirks) movedDecrypt(blob, context string) (*kms.DecryptResponse, error) {
	r := kms.CreateDecryptRequest()
	r.CiphertextBlob, r.EncryptionContext = blob, context
	return q.moved.Decrypt(r)
}

func once() *dkmsutil.RuntimeOptions { return &dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false)} }

// twice retries once, which the SDK does without a pause.
func twice() *dkmsutil.RuntimeOptions { return &dkmsutil.RuntimeOptions{MaxAttempts: tea.Int(1)} }

func TestQuirkRequestObjectsRememberTheirEndpoint(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	here, there := openRegion(t, cloud, "cn-hangzhou"), openRegion(t, cloud, "cn-beijing")
	q := kms.CreateListKeysRequest()
	id, secret := cloud.Credentials()
	_, err := clientWith(t, here, id, secret).ListKeys(q)
	require.NoError(t, err)
	_, err = clientWith(t, there, id, secret).ListKeys(q)
	require.NoError(t, err)
	require.Equal(t, 2, cloud.Count(here.Match()), "the second call went to the first region")
	require.Zero(t, cloud.Count(there.Match()))
}

func TestQuirkGatewayRetriesServerErrorsButNotThrottling(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	client, err := kms.NewClientWithOptions(region.ID, sdk.NewConfig().WithAutoRetry(true).WithMaxRetryTime(3), credentials.NewAccessKeyCredential(id, secret))
	require.NoError(t, err)
	client.Domain = region.HTTP
	for status, calls := range map[int]int{500: 4, 503: 4, 429: 1} {
		cloud.ResetEvidence()
		remove := cloud.Inject(kmstest.Fault{Status: status})
		_, err := client.ListKeys(kms.CreateListKeysRequest())
		require.Error(t, err)
		require.Equal(t, calls, cloud.Count(kmstest.Match{}), status)
		remove()
	}
	cloud.ResetEvidence()
	cloud.Inject(kmstest.Fault{Reset: kmstest.ResetAfter})
	_, err = client.CreateKey(kms.CreateCreateKeyRequest())
	require.Error(t, err)
	require.Greater(t, cloud.Count(kmstest.Match{Action: "CreateKey"}), 1, "work was done more than once")
}

func TestQuirkTransferPanicsOnShortBlobs(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	for _, n := range []int{0, 1, 10, 35, 36, 47} {
		require.Panics(t, func() { _, _ = q.movedDecrypt(base64.StdEncoding.EncodeToString(make([]byte, n)), "") }, n)
	}
	require.Zero(t, q.cloud.Count(kmstest.Match{}))
}

func TestQuirkTransferLosesErrorCodes(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	out, err := q.movedEncrypt(`{"a":"1"}`)
	require.NoError(t, err)
	_, err = q.movedDecrypt(out.CiphertextBlob, `{"a":"2"}`)
	var server *errors.ServerError
	require.ErrorAs(t, err, &server)
	require.Equal(t, http.StatusBadRequest, server.HttpStatus())
	require.Empty(t, server.ErrorCode())
	require.Empty(t, server.Message())
	require.Equal(t, 1, q.cloud.Count(kmstest.Match{Code: "InvalidParam"}))
}

func TestQuirkTransferCorruptsBinary(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	blob, err := q.key.Mint([]byte("\xff\xfebinary"), nil)
	require.NoError(t, err)
	out, err := q.movedDecrypt(blob, "")
	require.NoError(t, err)
	require.Equal(t, "��binary", out.Plaintext)
}

func TestQuirkTransferIgnoresDryRun(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	r := kms.CreateEncryptRequest()
	r.KeyId, r.Plaintext, r.DryRun = q.key.ID(), "x", "true"
	_, err := q.moved.Encrypt(r)
	require.NoError(t, err)
	require.Equal(t, 1, q.cloud.Count(kmstest.Match{Face: kmstest.Protobuf, Action: "Encrypt", OK: true}))
}

func TestQuirkTransferSendsAsyncCallsToTheSharedGateway(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	q.moved.EnableAsync(1, 1)
	defer q.moved.Shutdown()
	r := kms.CreateEncryptRequest()
	r.KeyId, r.Plaintext = q.key.ID(), "x"
	answers, errs := q.moved.EncryptWithChan(r)
	select {
	case <-answers:
		require.Fail(t, "the shared gateway must refuse an instance's key")
	case err := <-errs:
		requireServerError(t, err, http.StatusBadRequest, "UnsupportedOperation")
	}
	require.Equal(t, 1, q.cloud.Count(kmstest.Match{Face: kmstest.Gateway}))
}

func TestQuirkEmptyContextIsNoNoContext(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	out, err := q.movedEncrypt("{}")
	require.NoError(t, err)
	_, err = q.movedDecrypt(out.CiphertextBlob, "")
	require.Error(t, err)
	_, err = q.movedDecrypt(out.CiphertextBlob, "{}")
	require.NoError(t, err)
	plain, err := q.instance.RPCClient()
	require.NoError(t, err)
	_, err = decryptWith(plain, out.CiphertextBlob, "{}")
	require.NoError(t, err, "the service agrees with its own transfer SDK")
}

// The transfer client takes the version from its first call and the ciphertext from its second. On the initial version, which low-level calls
// use, a rotation in between does no harm.
func TestQuirkTransferDataKeySurvivesARotationInBetween(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	q.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "GenerateDataKey"}, Times: 1, After: func() { _ = q.key.Rotate() }})
	g := kms.CreateGenerateDataKeyRequest()
	g.KeyId = q.key.ID()
	out, err := q.moved.GenerateDataKey(g)
	require.NoError(t, err)
	require.Len(t, q.key.VersionIDs(), 2)
	require.Equal(t, q.key.VersionIDs()[0], out.KeyVersionId)
	back, err := q.movedDecrypt(out.CiphertextBlob, "")
	require.NoError(t, err)
	require.Equal(t, out.Plaintext, back.Plaintext)
}

func TestQuirkInstanceSDKsTakeEmptyAnswersForSuccess(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	sealed, err := q.nativeEncrypt(once())
	require.NoError(t, err)
	text, err := q.movedEncrypt("")
	require.NoError(t, err)
	for _, status := range []int{200, 204, 302} {
		remove := q.cloud.Inject(kmstest.Fault{Body: kmstest.BodyEmpty, Status: status})
		out, err := q.native.Decrypt(&dkms.DecryptRequest{KeyId: tea.String(q.key.ID()), CiphertextBlob: sealed.CiphertextBlob, Iv: sealed.Iv})
		require.NoError(t, err)
		require.Empty(t, out.Plaintext)
		require.Empty(t, tea.StringValue(out.KeyId))
		back, err := q.movedDecrypt(text.CiphertextBlob, "")
		require.NoError(t, err)
		require.Empty(t, back.Plaintext)
		remove()
	}
}

func TestQuirkInstanceSDKRetriesWhatItRetries(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	for _, c := range []struct {
		fault kmstest.Fault
		calls int
		code  string // empty: no error of the service
	}{
		{kmstest.Fault{Status: 429}, 2, "Rejected.Throttling"},
		{kmstest.Fault{Status: 500}, 2, "InternalFailure"},
		{kmstest.Fault{Status: 503}, 2, "ServiceUnavailableTemporary"},
		{kmstest.Fault{Status: 500, Code: "OddFailure"}, 1, "OddFailure"},
		{kmstest.Fault{Body: kmstest.BodyHTML}, 2, ""},
		{kmstest.Fault{Body: kmstest.BodyXMLError}, 2, ""},
		{kmstest.Fault{Body: kmstest.BodyNumericCode}, 2, ""},
		{kmstest.Fault{Reset: kmstest.ResetAfter}, 2, ""},
	} {
		q.cloud.ResetEvidence()
		remove := q.cloud.Inject(c.fault)
		_, err := q.nativeEncrypt(twice())
		require.Error(t, err)
		require.GreaterOrEqual(t, q.cloud.Count(kmstest.Match{}), c.calls, "%+v", c.fault)
		if c.code != "" {
			require.Equal(t, c.calls, q.cloud.Count(kmstest.Match{}), "%+v", c.fault)
			requireInstanceError(t, err, c.code)
		}
		remove()
	}
}

func TestInstanceRefusesBodiesOverThreeMegabytes(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(q.instance.CA()))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	answer, err := client.Post("https://"+q.instance.Addr+"/", "application/x-protobuf", bytes.NewReader(make([]byte, 3<<20+1)))
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, answer.StatusCode)
	require.Empty(t, body)
	remove := q.cloud.Inject(kmstest.Fault{Status: 413})
	_, err = q.nativeEncrypt(once())
	requireInstanceError(t, err, "")
	remove()
	_, err = q.native.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: make([]byte, 100<<10)}, once())
	require.NoError(t, err)
}

func TestFaultsBelowHTTPReachTheInstanceSDK(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	patient := &dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ReadTimeout: tea.Int(5000)}
	brief := &dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ReadTimeout: tea.Int(100)}
	remove := q.cloud.Inject(kmstest.Fault{WrongCertificate: true})
	_, err := q.nativeEncrypt(patient)
	require.ErrorContains(t, err, "certificate")
	remove()
	_, err = q.nativeEncrypt(patient)
	require.NoError(t, err)
	for _, fault := range []kmstest.Fault{{Hang: true}, {SlowBody: 3 * time.Second}, {Latency: 3 * time.Second}} {
		remove := q.cloud.Inject(fault)
		_, err := q.nativeEncrypt(brief)
		require.ErrorContains(t, err, "Client.Timeout", "%+v", fault)
		remove()
	}
	remove = q.cloud.Inject(kmstest.Fault{SlowBody: 40 * time.Millisecond})
	begun := time.Now()
	_, err = q.nativeEncrypt(patient)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begun), 40*time.Millisecond)
	remove()
	_, err = q.native.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}, brief)
	require.NoError(t, err)
}

func TestOutageTakesAPlaceOffTheNetwork(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	here, there := openRegion(t, cloud, "cn-hangzhou"), openRegion(t, cloud, "cn-beijing")
	one, two := newInstance(t, here, kmstest.InstanceSpec{}), newInstance(t, here, kmstest.InstanceSpec{})
	get := func(addr string) error {
		r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + addr + "/")
		if err == nil {
			err = r.Body.Close()
		}
		return err
	}
	kept := regionClient(t, here)
	_, err := kept.ListKeys(kms.CreateListKeysRequest())
	require.NoError(t, err)
	remove := cloud.Inject(kmstest.Fault{Match: here.Match(), Outage: true})
	require.Error(t, get(here.HTTP))
	require.Error(t, get(one.Addr))
	require.NoError(t, get(there.HTTP))
	_, err = kept.ListKeys(kms.CreateListKeysRequest())
	require.Error(t, err, "an open connection ends at its next request")
	remove()
	require.NoError(t, get(here.HTTP))
	cloud.Inject(kmstest.Fault{Match: one.Match(), Outage: true})
	require.Error(t, get(one.Addr))
	require.NoError(t, get(two.Addr))
	require.NoError(t, get(here.HTTP))
}

func TestQuotasThrottleByClassOnTheSharedGatewayOnly(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	outside, inside := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, instance.CreateKey, kmstest.KeySpec{})
	region.SetQuotas(kmstest.Quotas{kmstest.Symmetric: 5})
	shared := regionClient(t, region)
	own, err := instance.RPCClient()
	require.NoError(t, err)
	burst := func(client *kms.Client, action string, params map[string]string, domain string) (throttled int) {
		for range 20 {
			if err := call(client, domain, action, params); err != nil {
				requireServerError(t, err, http.StatusTooManyRequests, "Rejected.Throttling")
				require.ErrorContains(t, err, "QPS Limit Exceeded")
				throttled++
			}
		}
		return throttled
	}
	begun := time.Now()
	throttled := burst(shared, "Encrypt", map[string]string{"KeyId": outside.ID(), "Plaintext": "x"}, region.HTTPS)
	allowed := 5 + int(time.Since(begun).Seconds()*5) + 1
	require.LessOrEqual(t, 20-throttled, allowed)
	require.GreaterOrEqual(t, 20-throttled, 5)
	require.NoError(t, call(shared, region.HTTPS, "GenerateDataKey", map[string]string{"KeyId": outside.ID()}), "another operation has a bucket of its own")
	require.Zero(t, burst(own, "Encrypt", map[string]string{"KeyId": inside.ID(), "Plaintext": "x"}, instance.Addr))
	region.SetQuotaBurst(200 * time.Millisecond)
	begun = time.Now()
	throttled = burst(shared, "Encrypt", map[string]string{"KeyId": outside.ID(), "Plaintext": "x"}, region.HTTPS)
	require.LessOrEqual(t, 20-throttled, 1+int(time.Since(begun).Seconds()*5)+1, "one at once, and no more than that")
	region.SetQuotas(nil)
	require.Zero(t, burst(shared, "Encrypt", map[string]string{"KeyId": outside.ID(), "Plaintext": "x"}, region.HTTPS))
	require.Equal(t, 1000, kmstest.DocumentedQuotas()[kmstest.Symmetric])
}

func TestChanceRepeatsWithTheSeed(t *testing.T) {
	t.Parallel()
	pattern := func(seed uint64) (out string) {
		cloud := start(t, kmstest.Config{Seed: seed})
		region := openRegion(t, cloud, "cn-hangzhou")
		client := regionClient(t, region)
		cloud.Inject(kmstest.Fault{Chance: 0.5, Status: 503})
		for range 40 {
			if _, err := client.ListKeys(kms.CreateListKeysRequest()); err != nil {
				out += "x"
			} else {
				out += "."
			}
		}
		return out
	}
	first := pattern(7)
	require.Contains(t, first, "x")
	require.Contains(t, first, ".")
	require.Equal(t, first, pattern(7))
	require.NotEqual(t, first, pattern(8))
}

func TestTheCodesThatNoDocumentSettlesAreSettings(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{
		BadCiphertext:         kmstest.Answer{Status: 409, Code: "Odd.Ciphertext", Message: "odd"},
		BadInstanceCiphertext: kmstest.Answer{Code: "Odd.InstanceCiphertext", Message: "odd"},
		UnknownVersion:        kmstest.Answer{Status: 404, Code: "Odd.Version", Message: "odd"},
	})
	here, there := openRegion(t, cloud, "cn-shanghai"), openRegion(t, cloud, "cn-beijing")
	key := newKey(t, here.CreateKey, kmstest.KeySpec{})
	blob := encryptWith(t, regionClient(t, here), key.ID(), "x", "").CiphertextBlob
	_, err := decryptWith(regionClient(t, here), blob, `{"a":"b"}`)
	requireServerError(t, err, 409, "Odd.Ciphertext")
	_, err = decryptWith(regionClient(t, there), blob, "")
	requireServerError(t, err, 404, "Odd.Version")
	instance := newInstance(t, here, kmstest.InstanceSpec{})
	_, err = instanceClient(t, instance).AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: []byte("x")})
	requireInstanceError(t, err, "Odd.InstanceCiphertext")
}
