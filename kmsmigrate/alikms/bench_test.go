package alikms_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
)

const benchText = "0123456789abcdef0123456789abcdef0123456789ab" // as long as the text of a data key

// subject is a client under measurement: each call encrypts once.
type subject struct {
	name string
	open func(b *testing.B, cloud *fakeprocess.Cloud) func() error
}

func BenchmarkGateway(b *testing.B) {
	cloud := fakeprocess.Start(b, 0)
	measure(b, cloud, []subject{
		{"official-sdk", officialGateway(0)},
		{"official-sdk-tuned", officialGateway(256)},
		{"keyhaul", keyhaulGateway},
	})
}

func BenchmarkInstance(b *testing.B) {
	b.Run("rsa-signature", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(b, err)
		digest := sha256.Sum256([]byte(benchText))
		before := fakeprocess.CPU()
		for b.Loop() {
			_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
			require.NoError(b, err)
		}
		b.ReportMetric(float64((fakeprocess.CPU()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	})
	cloud := fakeprocess.Start(b, 0)
	measure(b, cloud, []subject{
		{"official-sdk", officialInstance(0)},
		{"official-sdk-tuned", officialInstance(256)},
		{"keyhaul", keyhaulInstance},
	})
}

func measure(b *testing.B, cloud *fakeprocess.Cloud, subjects []subject) {
	b.Helper()
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			for _, c := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("c%d", c), func(b *testing.B) { run(b, cloud, s, c) })
			}
		})
	}
}

// run makes b.N calls from c goroutines. More connections than c mean that the machine was too busy for 64 handshakes within
// Limits.Connect, and that some were repeated: TestWhatOpensAnotherConnection has the other reasons.
func run(b *testing.B, cloud *fakeprocess.Cloud, s subject, c int) {
	b.Helper()
	call := s.open(b, cloud)
	connections := cloud.Ask(fakeprocess.Order{}).Opened
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	b.ReportAllocs()
	before := fakeprocess.CPU()
	b.ResetTimer()
	for range c {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	b.ReportMetric(float64((fakeprocess.CPU()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(cloud.Ask(fakeprocess.Order{}).Opened-connections), "connections")
}

// officialGateway is one shared client, as applications use it. It races with itself, so it cannot run under -race; the
// connections that it leaves idle are the transport's default of two, or idle many.
func officialGateway(idle int) func(b *testing.B, c *fakeprocess.Cloud) func() error {
	return func(b *testing.B, c *fakeprocess.Cloud) func() error {
		b.Helper()
		roots := x509.NewCertPool()
		require.True(b, roots.AppendCertsFromPEM(c.Gateway.CAPEM))
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: idle}
		b.Cleanup(transport.CloseIdleConnections)
		client, err := kms.NewClientWithOptions(c.Gateway.Region, sdk.NewConfig().WithScheme("HTTPS").WithHttpTransport(transport), credentials.NewAccessKeyCredential(c.Gateway.AccessKeyID, c.Gateway.AccessKeySecret))
		require.NoError(b, err)
		client.Domain = c.Gateway.Endpoint
		return func() error {
			request := kms.CreateEncryptRequest()
			request.KeyId, request.Plaintext = c.Key, benchText
			_, err := client.Encrypt(request)
			return err
		}
	}
}

func keyhaulGateway(b *testing.B, c *fakeprocess.Cloud) func() error {
	b.Helper()
	g := newGateway(b, c.Gateway)
	key := keyAt(b, g, c.Key)
	return func() error {
		_, err := key.Encrypt(context.Background(), []byte(benchText), nil)
		return err
	}
}

// officialInstance's transports live in a pool of the process, by end point and time-outs, so every one gets its own time-out.
func officialInstance(idle int) func(b *testing.B, c *fakeprocess.Cloud) func() error {
	return func(b *testing.B, c *fakeprocess.Cloud) func() error {
		b.Helper()
		config := &dkmsapi.Config{
			Protocol: tea.String("https"), Endpoint: tea.String(c.Instance.Endpoint), ClientKeyContent: tea.String(string(c.Instance.ClientKey)),
			Password: tea.String(c.Instance.Password), Ca: tea.String(string(c.Instance.CAPEM)), ReadTimeout: tea.Int(int(pools.Add(1)) + 60_000),
		}
		if idle > 0 {
			config.MaxIdleConns = tea.Int(idle)
		}
		client, err := dkms.NewClient(config)
		require.NoError(b, err)
		return func() error {
			_, err := client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(c.Inside), Plaintext: []byte(benchText)})
			return err
		}
	}
}

var pools atomic.Int64

func keyhaulInstance(b *testing.B, c *fakeprocess.Cloud) func() error {
	b.Helper()
	i := newInstance(b, c.Instance)
	key := keyAt(b, i, c.Inside)
	return func() error {
		_, err := key.Encrypt(context.Background(), []byte(benchText), nil)
		return err
	}
}
