package kmstest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestAFurtherAccessKeyIsToldApart(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	region, err := cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	id, secret := cloud.CreateAccessKey()
	for want, secret := range map[string]string{"": secret, "IncompleteSignature": "wrong"} {
		cloud.ResetEvidence()
		client, err := kms.NewClientWithAccessKey(region.ID, id, secret)
		require.NoError(t, err)
		client.Domain = region.HTTPS
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(region.CA()))
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer transport.CloseIdleConnections()
		client.SetTransport(transport)
		request := kms.CreateListKeysRequest()
		request.Scheme = "https"
		_, err = client.ListKeys(request)
		require.Equal(t, want == "", err == nil)
		requests := cloud.Requests(region.Match())
		require.Len(t, requests, 1)
		require.Equal(t, want, requests[0].Code)
		if want == "" {
			require.Equal(t, id, requests[0].AccessKeyID)
		}
	}
}
