package kmstest_test

import (
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
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

func seen(do func() (string, error)) (got outcome) {
	defer func() {
		if recover() != nil {
			got = panics
		}
	}()
	plaintext, err := do()
	server, ok := err.(*errors.ServerError) //nolint:errorlint // the SDK returns it as it is
	switch {
	case err == nil && plaintext == "":
		return empty
	case err == nil:
		return success
	case !ok:
		return transport
	case server.ErrorCode() == "":
		return codeless
	}
	return coded
}
