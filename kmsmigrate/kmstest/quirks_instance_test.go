package kmstest_test

import (
	"encoding/base64"
	"net/url"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// soon bounds what must not hang. What has not ended by then is left behind.
const soon = 20 * time.Second

func requireEnds(t *testing.T, do func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(soon):
		require.Fail(t, "it hangs")
		return nil
	}
}

// With tea up to 1.2.2 a CA that is no certificate leaves a lock of the whole process behind, and every later client of the endpoint hangs.
// The tea of this module is newer, and has that mended.
func TestQuirkABadCAHangsNobodyWithThisTea(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	config := q.instance.SDKConfig(newClientKey(t, q.instance))
	config.Ca = tea.String("no certificate")
	broken, err := dkms.NewClient(config)
	require.NoError(t, err, "the SDK does not look at it")
	err = requireEnds(t, func() error {
		_, err := broken.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}, once())
		return err
	})
	require.ErrorContains(t, err, "root certificate")
	require.NoError(t, requireEnds(t, func() error {
		_, err := q.nativeEncrypt(once())
		return err
	}))
}

// The pool of transports is the process's, and knows an endpoint by its address and time-outs, not by its CA.
func TestQuirkTheFirstCAOfAnEndpointSticks(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	other := newInstance(t, q.region, kmstest.InstanceSpec{})
	config := q.instance.SDKConfig(newClientKey(t, q.instance))
	config.Ca = tea.String(string(other.CA()))
	wrong, err := dkms.NewClient(config)
	require.NoError(t, err)
	encrypt := func(client *dkms.Client, options *dkmsutil.RuntimeOptions) error {
		_, err := client.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}, options)
		return err
	}
	require.NoError(t, encrypt(q.native, once()))
	require.NoError(t, encrypt(wrong, once()), "the right CA came first")
	later := &dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ReadTimeout: tea.Int(60_001)}
	require.ErrorContains(t, encrypt(wrong, later), "certificate")
	require.ErrorContains(t, encrypt(q.native, later), "certificate", "the wrong CA came first")
}

func TestQuirkTheInstanceSDKWaitsForEver(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	remove := q.cloud.Inject(kmstest.Fault{Hang: true})
	defer remove()
	ended := make(chan error, 1)
	go func() {
		_, err := q.nativeEncrypt(once())
		ended <- err
	}()
	select {
	case err := <-ended:
		require.Fail(t, "it has a time-out after all", err)
	case <-time.After(time.Second):
	}
	require.NoError(t, q.cloud.Close())
	require.Error(t, requireEnds(t, func() error { return <-ended }))
}

// The tea of this module takes ConnectTimeout in milliseconds, older ones took seconds. It counts towards the whole call.
func TestQuirkConnectTimeoutIsInMillisecondsWithThisTea(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	q.cloud.Inject(kmstest.Fault{Hang: true})
	err := requireEnds(t, func() error {
		_, err := q.nativeEncrypt(&dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ConnectTimeout: tea.Int(300)})
		return err
	})
	require.ErrorContains(t, err, "Client.Timeout")
}

func TestQuirkEveryReadTimeoutHasAConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	call := func(ms int) {
		_, err := q.nativeEncrypt(&dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ReadTimeout: tea.Int(ms)})
		require.NoError(t, err)
	}
	for range 10 {
		call(60_000)
	}
	require.Equal(t, 1, q.cloud.Connections(q.instance.Match()).Opened)
	for n := range 10 {
		call(70_000 + n)
	}
	require.Equal(t, 11, q.cloud.Connections(q.instance.Match()).Opened)
}

func TestQuirkTheInstanceSDKPanics(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	require.Panics(t, func() { _, _ = q.native.EncryptWithOptions(nil, once()) })
	config := q.instance.SDKConfig(newClientKey(t, q.instance))
	config.ClientKeyContent, config.Password = nil, nil
	nobody, err := dkms.NewClient(config)
	require.NoError(t, err)
	request := &dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}
	require.Panics(t, func() { _, _ = nobody.EncryptWithOptions(request, once()) })
	config.AccessKeyId, config.PrivateKey = tea.String("KAAP.KMSTEST"), tea.String("no key")
	keyless, err := dkms.NewClient(config)
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = keyless.EncryptWithOptions(request, once()) })
	require.Zero(t, q.cloud.Count(kmstest.Match{}))
}

func TestQuirkPEMKeysDoWithoutPKCS12(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	ck := newClientKey(t, q.instance)
	config := q.instance.SDKConfig(ck)
	config.ClientKeyContent, config.Password = nil, nil
	config.AccessKeyId, config.PrivateKey = tea.String(ck.ID), tea.String(string(ck.PrivateKeyPEM))
	client, err := dkms.NewClient(config)
	require.NoError(t, err)
	_, err = client.EncryptWithOptions(&dkms.EncryptRequest{KeyId: tea.String(q.key.ID()), Plaintext: []byte("x")}, once())
	require.NoError(t, err)
	require.Equal(t, ck.ID, q.cloud.Requests(kmstest.Match{})[0].AccessKeyID)
}

// A blob whose first 36 bytes are no text fails before anything is sent, and is tried again all the same, with pauses of up to eight seconds.
func TestQuirkTransferRetriesWhatItCannotSend(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	err := requireEnds(t, func() error {
		_, err := q.movedDecrypt(base64.StdEncoding.EncodeToString(make([]byte, 64)), "")
		return err
	})
	var local *url.Error
	require.ErrorAs(t, err, &local)
	require.ErrorContains(t, err, "invalid header field value")
	require.Zero(t, q.cloud.Count(kmstest.Match{}))
	require.Zero(t, q.cloud.Connections(q.instance.Match()).Opened)
}

// One switch of the gateway client turns verification of the instance off too.
func TestQuirkInsecureGatewayMeansInsecureInstance(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	other := newInstance(t, q.region, kmstest.InstanceSpec{})
	config := q.instance.SDKConfig(newClientKey(t, q.instance))
	config.Ca = tea.String(string(other.CA()))
	id, secret := q.cloud.Credentials()
	client, err := transfer.NewClientWithOptions(q.region.ID, sdk.NewConfig(), credentials.NewAccessKeyCredential(id, secret), config)
	require.NoError(t, err)
	client.SetHTTPSInsecure(true)
	r := kms.CreateEncryptRequest()
	r.KeyId, r.Plaintext = q.key.ID(), "x"
	_, err = client.Encrypt(r)
	require.NoError(t, err, "by the wrong CA")
	require.Equal(t, 1, q.cloud.Count(kmstest.Match{Face: kmstest.Protobuf, OK: true}))
}

func TestQuirkTransferDoublesStagesInXMLAndChangesItsConfig(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	_, err := q.instance.CreateSecret(kmstest.SecretSpec{Name: "app", Value: "hello", Key: q.key})
	require.NoError(t, err)
	for format, want := range map[string][]string{"": {"ACSCurrent"}, "JSON": {"ACSCurrent"}, "XML": {"ACSCurrent", "ACSCurrent"}} {
		r := kms.CreateGetSecretValueRequest()
		r.SecretName, r.AcceptFormat = "app", format
		out, err := q.moved.GetSecretValue(r)
		require.NoError(t, err)
		require.Equal(t, want, out.VersionStages.VersionStage, format)
	}
	config := q.instance.SDKConfig(newClientKey(t, q.instance))
	config.Endpoint = tea.String("https://" + q.instance.Addr)
	id, secret := q.cloud.Credentials()
	for range 2 {
		_, err = transfer.NewClientWithAccessKey(q.region.ID, id, secret, config)
		require.NoError(t, err)
	}
	require.Equal(t, q.instance.Addr, tea.StringValue(config.Endpoint))
	require.Regexp(t, `transfer-go-sdk/\S+ .*transfer-go-sdk/`, tea.StringValue(config.UserAgent))
}
