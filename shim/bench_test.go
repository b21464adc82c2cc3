package shim_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/shim"
)

// BenchmarkShim compares the official client, one that all goroutines share as applications have it, with the shim's Client: over https,
// with the defaults of both.
func BenchmarkShim(b *testing.B) {
	f := fakeprocess.Start(b, 0)
	official, err := kms.NewClientWithOptions(f.Gateway.Region, sdk.NewConfig().WithScheme("HTTPS"), credentials.NewAccessKeyCredential(f.Gateway.AccessKeyID, f.Gateway.AccessKeySecret))
	require.NoError(b, err)
	official.Domain = f.Gateway.Endpoint
	official.SetHTTPSInsecure(true) // the fake's CA is its own, and this is how the SDK's users do it
	next := f.Gateway
	next.Region = "cn-shanghai"
	next.Endpoint = f.Gateway.Endpoint
	ours, err := shim.NewMigratingClient(shim.Config{Old: f.Gateway, New: next, Phase: kmsmigrate.ReadBoth, Keys: kmsmigrate.KeyMap{Default: "alias/none"}})
	require.NoError(b, err)
	defer func() { require.NoError(b, ours.Close()) }()
	for name, encrypt := range map[string]func(*kms.EncryptRequest) (*kms.EncryptResponse, error){"official-sdk": official.Encrypt, "keyhaul": ours.Encrypt} {
		for _, c := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/c%d", name, c), func(b *testing.B) {
				share(b, c, func() error {
					request := kms.CreateEncryptRequest()
					request.KeyId, request.Plaintext = f.Key, "cGxhaW4="
					_, err := encrypt(request)
					return err
				})
			})
		}
	}
}

// share makes b.N calls from c goroutines.
func share(b *testing.B, c int, call func() error) {
	b.Helper()
	work := make(chan struct{}, c)
	failures := make(chan error, c)
	var wait sync.WaitGroup
	b.ResetTimer()
	for range c {
		wait.Go(func() {
			for range work {
				if err := call(); err != nil {
					select {
					case failures <- err:
					default:
					}
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	select {
	case err := <-failures:
		b.Fatal(err)
	default:
	}
}
