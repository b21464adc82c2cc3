package kmstest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// concurrently runs do b.N times on some goroutines and reports calls per second.
func concurrently(b *testing.B, workers int, do func() error) {
	b.Helper()
	require.NoError(b, do())
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	for range workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkFace measures how many calls a second each face answers, with everything verified. The requests are signed beforehand and sent again
// and again, so that the client is cheap; server and client share this process.
func BenchmarkFace(b *testing.B) {
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, cloud.Close()) })
	region, err := cloud.Region("cn-shanghai")
	require.NoError(b, err)
	instance, err := region.CreateInstance(kmstest.InstanceSpec{})
	require.NoError(b, err)
	outside, err := region.CreateKey(kmstest.KeySpec{})
	require.NoError(b, err)
	inside, err := instance.CreateKey(kmstest.KeySpec{})
	require.NoError(b, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(region.CA())
	pool.AppendCertsFromPEM(instance.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	for _, face := range []struct {
		name    string
		request func() *http.Request
	}{
		{"gateway-http", signedRPC(b, cloud, "http://"+region.HTTP, outside.ID())},
		{"gateway-https", signedRPC(b, cloud, "https://"+region.HTTPS, outside.ID())},
		{"instance-rpc", signedRPC(b, cloud, "https://"+instance.Addr, inside.ID())},
		{"protobuf", signedProtobuf(b, instance, inside.ID())},
	} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", face.name, n), func(b *testing.B) {
				concurrently(b, n, func() error {
					r, err := transport.RoundTrip(face.request())
					if err != nil {
						return err
					}
					body, err := io.ReadAll(r.Body)
					if cerr := r.Body.Close(); err == nil {
						err = cerr
					}
					if err == nil && r.StatusCode != http.StatusOK {
						err = fmt.Errorf("status %d: %s", r.StatusCode, body)
					}
					return err
				})
			})
		}
	}
}

// signedRPC signs one Encrypt and returns copies of it.
func signedRPC(b *testing.B, cloud *kmstest.Cloud, base, key string) func() *http.Request {
	b.Helper()
	id, secret := cloud.Credentials()
	client, err := kms.NewClientWithAccessKey("cn-shanghai", id, secret)
	require.NoError(b, err)
	scheme, host, _ := strings.Cut(base, "://")
	client.Domain = host
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.Scheme = key, "aGVsbG8gd29ybGQ=", scheme
	require.NoError(b, client.BuildRequestWithSigner(q, nil))
	url := q.BuildUrl()
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, url, nil)
		return r
	}
}

// signedProtobuf lets the official client sign one AdvanceEncrypt, catches it, and returns copies of it.
func signedProtobuf(b *testing.B, instance *kmstest.Instance, key string) func() *http.Request {
	b.Helper()
	ck, err := instance.CreateClientKey()
	require.NoError(b, err)
	caught := make(chan *http.Request, 8)
	var body []byte
	listener := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		caught <- r
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = listener.Serve(l) }()
	defer func() { require.NoError(b, listener.Close()) }()
	config := instance.SDKConfig(ck)
	config.Protocol, config.Endpoint = tea.String("http"), tea.String(l.Addr().String())
	client, err := dkms.NewClient(config)
	require.NoError(b, err)
	_, err = client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key), Plaintext: []byte("hello world")})
	require.NoError(b, err) // an empty answer passes
	template := <-caught
	header := template.Header.Clone()
	content := bytes.Clone(body)
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "https://"+instance.Addr+"/", bytes.NewReader(content))
		r.Header = header
		return r
	}
}

// BenchmarkServerCPU compares the server's CPU per call with that of our own client, each in a process of its own. The fake must not be the
// bottleneck of what it is to measure: at most half of the client's.
func BenchmarkServerCPU(b *testing.B) {
	server := fakeprocess.Start(b, 0)
	gateway, err := alikms.NewGateway(server.Gateway)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, gateway.Close()) })
	instance, err := alikms.NewInstance(server.Instance)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, instance.Close()) })
	overHTTP, err := alikms.NewGateway(server.Plain)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, overHTTP.Close()) })
	for _, face := range []struct {
		name string
		of   interface {
			Key(string) (kmsmigrate.Key, error)
		}
		key string
	}{{"gateway-http", overHTTP, server.Key}, {"gateway-https", gateway, server.Key}, {"protobuf", instance, server.Inside}} {
		key, err := face.of.Key(face.key)
		require.NoError(b, err)
		b.Run(face.name+"/64", func(b *testing.B) {
			before, mine := server.Ask(fakeprocess.Order{}).CPU, fakeprocess.CPU()
			concurrently(b, 64, func() error {
				_, err := key.Encrypt(context.Background(), []byte("hello world"), nil)
				return err
			})
			client, spent := fakeprocess.CPU()-mine, server.Ask(fakeprocess.Order{}).CPU-before
			b.ReportMetric(float64(client.Microseconds())/float64(b.N), "client-us/op")
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "server-us/op")
			b.ReportMetric(float64(spent)/float64(client), "server/client")
		})
	}
}
