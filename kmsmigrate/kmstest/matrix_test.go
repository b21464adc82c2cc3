package kmstest_test

import (
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	dkmsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// outcome is what an SDK makes of a fault.
type outcome string

const (
	coded     outcome = "an error of the service, with its code"
	codeless  outcome = "an error of the service, without a code"
	transport outcome = "any other error"
	empty     outcome = "success, and nothing in it"
	panics    outcome = "a panic"
	success   outcome = "success, after a retry"
)

// Every fault, seen by the official client of the gateway, with nothing retried.
func TestEveryFaultReachesTheGatewaySDK(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	client.SetReadTimeout(300 * time.Millisecond)
	blob := encryptWith(t, client, key.ID(), "text", "").CiphertextBlob
	for _, c := range []struct {
		fault kmstest.Fault
		want  outcome
	}{
		{kmstest.Fault{Status: 400, Code: "InvalidParameter"}, coded},
		{kmstest.Fault{Status: 409, Code: "Rejected.Disabled"}, coded},
		{kmstest.Fault{Status: 429}, coded},
		{kmstest.Fault{Status: 500}, coded},
		{kmstest.Fault{Status: 503}, coded},
		{kmstest.Fault{ClockSkew: time.Hour}, coded},
		{kmstest.Fault{Status: 413}, codeless},
		{kmstest.Fault{Body: kmstest.BodyHTML}, codeless},
		{kmstest.Fault{Body: kmstest.BodyXMLError}, codeless},
		{kmstest.Fault{Body: kmstest.BodyNumericCode}, panics},
		{kmstest.Fault{Body: kmstest.BodyEmpty}, empty},
		{kmstest.Fault{Body: kmstest.BodyEmpty, Status: 204}, empty},
		{kmstest.Fault{Body: kmstest.BodyObject}, empty},
		{kmstest.Fault{Body: kmstest.BodyNull}, empty},
		{kmstest.Fault{Body: kmstest.BodyTruncated}, transport},
		{kmstest.Fault{Reset: kmstest.ResetBefore}, transport},
		{kmstest.Fault{Reset: kmstest.ResetAfter}, transport},
		{kmstest.Fault{Hang: true}, transport},
		{kmstest.Fault{Latency: time.Minute}, transport},
		{kmstest.Fault{SlowBody: time.Minute}, transport},
		{kmstest.Fault{Outage: true}, transport},
	} {
		remove := cloud.Inject(c.fault)
		got := seen(func() (string, error) {
			out, err := decryptWith(client, blob, "")
			if err != nil {
				return "", err
			}
			return out.Plaintext, nil
		})
		remove()
		require.Equal(t, c.want, got, "%+v", c.fault)
	}
}

// The transfer client cannot be told not to retry. What it retries, it gets over; the rest it passes on, or takes for success.
func TestEveryFaultReachesTheTransferSDK(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	out, err := q.movedEncrypt("")
	require.NoError(t, err)
	for _, c := range []struct {
		fault kmstest.Fault
		want  outcome
	}{
		{kmstest.Fault{Status: 400, Code: "InvalidParameter"}, coded},
		{kmstest.Fault{Status: 409, Code: "Rejected.Disabled"}, coded},
		{kmstest.Fault{Status: 400, Code: "InvalidParam"}, codeless},
		{kmstest.Fault{Status: 413}, codeless},
		{kmstest.Fault{Status: 429}, success},
		{kmstest.Fault{Status: 500}, success},
		{kmstest.Fault{Status: 503}, success},
		{kmstest.Fault{Body: kmstest.BodyHTML}, success},
		{kmstest.Fault{Body: kmstest.BodyXMLError}, success},
		{kmstest.Fault{Body: kmstest.BodyNumericCode}, success},
		{kmstest.Fault{Reset: kmstest.ResetBefore}, success},
		{kmstest.Fault{Reset: kmstest.ResetAfter}, success},
		{kmstest.Fault{Body: kmstest.BodyEmpty}, empty},
		{kmstest.Fault{Body: kmstest.BodyObject}, transport},
		{kmstest.Fault{Body: kmstest.BodyNull}, transport},
		{kmstest.Fault{Body: kmstest.BodyTruncated}, transport},
	} {
		q.cloud.ResetEvidence()
		c.fault.Times = 1
		remove := q.cloud.Inject(c.fault)
		got := seen(func() (string, error) {
			back, err := q.movedDecrypt(out.CiphertextBlob, "")
			if err != nil {
				return "", err
			}
			return back.Plaintext, nil
		})
		remove()
		require.Equal(t, c.want, got, "%+v", c.fault)
		if c.want == success {
			require.GreaterOrEqual(t, q.cloud.Count(kmstest.Match{}), 2, "%+v", c.fault)
		}
	}
}

// Every fault, seen by the official client of the instance, with nothing retried. It knows an error by its code, and takes any body that is
// no protobuf for a broken connection.
func TestEveryFaultReachesTheInstanceSDK(t *testing.T) {
	t.Parallel()
	q := newQuirks(t)
	sealed, err := q.nativeEncrypt(once())
	require.NoError(t, err)
	for n, c := range []struct {
		fault kmstest.Fault
		want  outcome
	}{
		{kmstest.Fault{Status: 400, Code: "InvalidParam"}, coded},
		{kmstest.Fault{Status: 409, Code: "Rejected.Disabled"}, coded},
		{kmstest.Fault{Status: 429}, coded},
		{kmstest.Fault{Status: 500}, coded},
		{kmstest.Fault{Status: 503}, coded},
		{kmstest.Fault{ClockSkew: time.Hour}, coded},
		{kmstest.Fault{ClockSkew: -time.Hour}, coded},
		{kmstest.Fault{Before: func() { _ = q.key.Disable() }, After: func() { _ = q.key.Enable() }}, coded},
		{kmstest.Fault{Status: 413}, codeless},
		{kmstest.Fault{Body: kmstest.BodyHTML}, transport},
		{kmstest.Fault{Body: kmstest.BodyXMLError}, transport},
		{kmstest.Fault{Body: kmstest.BodyNumericCode}, transport},
		{kmstest.Fault{Body: kmstest.BodyEmpty}, empty},
		{kmstest.Fault{Body: kmstest.BodyEmpty, Status: 204}, empty},
		{kmstest.Fault{Body: kmstest.BodyEmpty, Status: 302}, empty},
		{kmstest.Fault{Body: kmstest.BodyObject}, transport},
		{kmstest.Fault{Body: kmstest.BodyNull}, transport},
		{kmstest.Fault{Body: kmstest.BodyTruncated}, transport},
		{kmstest.Fault{Reset: kmstest.ResetBefore}, transport},
		{kmstest.Fault{Reset: kmstest.ResetAfter}, transport},
		{kmstest.Fault{Hang: true}, transport},
		{kmstest.Fault{Latency: time.Minute}, transport},
		{kmstest.Fault{SlowBody: time.Minute}, transport},
		{kmstest.Fault{Outage: true}, transport},
		{kmstest.Fault{WrongCertificate: true}, transport},
		{kmstest.Fault{Latency: time.Millisecond}, success},
		{kmstest.Fault{SlowBody: time.Millisecond}, success},
		{kmstest.Fault{Before: func() { _ = q.key.Rotate() }}, success},
	} {
		// A time-out of its own gives each a connection of its own, so that what happens below HTTP is seen too.
		patience := 10_000 + n
		if c.fault.Hang || c.fault.Latency > time.Second || c.fault.SlowBody > time.Second {
			patience = 300 + n
		}
		remove := q.cloud.Inject(c.fault)
		got := seen(func() (string, error) {
			out, err := q.native.DecryptWithOptions(&dkms.DecryptRequest{KeyId: tea.String(q.key.ID()), CiphertextBlob: sealed.CiphertextBlob, Iv: sealed.Iv},
				&dkmsutil.RuntimeOptions{Autoretry: tea.Bool(false), ReadTimeout: tea.Int(patience)})
			if err != nil {
				return "", err
			}
			return string(out.Plaintext), nil
		})
		remove()
		require.Equal(t, c.want, got, "%+v", c.fault)
	}
}

// seen is what a caller makes of a call, by the types that the SDKs document.
func seen(do func() (string, error)) (got outcome) {
	defer func() {
		if recover() != nil {
			got = panics
		}
	}()
	plaintext, err := do()
	var code string
	switch e := err.(type) { //nolint:errorlint // the SDKs return them as they are
	case nil:
		if plaintext == "" {
			return empty
		}
		return success
	case *errors.ServerError:
		code = e.ErrorCode()
	case *tea.SDKError:
		code = tea.StringValue(e.Code)
	default:
		return transport
	}
	if code == "" {
		return codeless
	}
	return coded
}
