package alikms_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// BenchmarkQuota has 64 goroutines of background work share a gateway that takes 1,000 calls a second and says 429 to the
// rest, with nobody having told the endpoint so. It reports how much of the cap was used and how much was throttled, after two
// seconds in which the rate is found. Beside them, a foreground caller makes ten calls a second.
func BenchmarkQuota(b *testing.B) {
	const qps, settle, measured = 1000, 2 * time.Second, 5 * time.Second
	for range b.N {
		w := newWorld(b, kmstest.Config{})
		key := makeKey(b, w.region.CreateKey, kmstest.KeySpec{})
		g := newGateway(b, w.gatewayConfig())
		k := keyAt(b, g, key.ID())
		_, err := k.Encrypt(b.Context(), []byte("warm"), nil)
		require.NoError(b, err)
		w.region.SetQuotas(kmstest.Quotas{kmstest.Symmetric: qps})

		ctx, stop := context.WithCancel(kmsmigrate.Background(b.Context()))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = k.Encrypt(ctx, []byte("background"), nil)
				}
			})
		}
		var slowest atomic.Int64
		wg.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				start := time.Now()
				if _, err := k.Encrypt(b.Context(), []byte("foreground"), nil); err == nil && ctx.Err() == nil {
					slowest.Store(max(slowest.Load(), int64(time.Since(start))))
				}
			}
		})
		<-time.After(settle)
		w.cloud.ResetEvidence()
		slowest.Store(0)
		<-time.After(measured)
		all := w.cloud.Count(kmstest.Match{Action: "Encrypt"})
		good := w.cloud.Count(kmstest.Match{Action: "Encrypt", OK: true})
		stop()
		wg.Wait()
		b.ReportMetric(100*float64(good)/(qps*measured.Seconds()), "%cap")
		b.ReportMetric(100*float64(all-good)/float64(max(all, 1)), "%throttled")
		b.ReportMetric(float64(slowest.Load())/1e6, "foreground-max-ms")
	}
}
