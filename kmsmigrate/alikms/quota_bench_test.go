package alikms_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// BenchmarkQuota has 64 goroutines of background work share a gateway with 10,000 foreground calls. The gateway takes 1,000 calls
// a second, 20 ms away, and says 429 to the rest; in one run the endpoint is told so, in the other nobody states it. It reports how
// much of the cap was used and how much was throttled, from the first call on, and how long foreground calls took beside
// the sweep and without it. The two take ten turns, so that both see the same machine, and the least p99 of each is compared.
func BenchmarkQuota(b *testing.B) {
	const qps, rounds, calls, every = 1000, 10, 1000, 2500 * time.Microsecond
	for name, stated := range map[string]float64{"unstated": 0, "stated": qps} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				cloud := fakeprocess.Start(b, 20*time.Millisecond)
				config := cloud.Gateway
				config.Limits.QPS = stated
				g := newGateway(b, config)
				k := keyAt(b, g, cloud.Key)
				foreground(b, k, 200, every) // opens connections
				cloud.Ask(fakeprocess.Order{Quota: qps})
				var alone, beside []time.Duration // the p99 of each round
				var slowest, swept time.Duration
				var saw fakeprocess.Evidence
				for range rounds {
					alone = append(alone, percentile(foreground(b, k, calls, every), 0.99))
					cloud.Ask(fakeprocess.Order{Reset: true})
					start, stop := time.Now(), sweep(b, k, 64)
					lasted := foreground(b, k, calls, every)
					stop()
					swept += time.Since(start)
					beside, slowest = append(beside, percentile(lasted, 0.99)), max(slowest, percentile(lasted, 1))
					now := cloud.Ask(fakeprocess.Order{})
					saw.Calls, saw.Good, saw.Throttled = saw.Calls+now.Calls, saw.Good+now.Good, saw.Throttled+now.Throttled
				}
				b.ReportMetric(100*float64(saw.Good)/(qps*swept.Seconds()), "%cap")
				b.ReportMetric(100*float64(saw.Throttled)/float64(saw.Calls), "%throttled")
				b.ReportMetric(slices.Min(alone).Seconds()*1e3, "alone-p99-ms")
				b.ReportMetric(slices.Min(beside).Seconds()*1e3, "beside-p99-ms")
				b.ReportMetric(slices.Min(beside).Seconds()/slices.Min(alone).Seconds(), "p99-ratio")
				b.ReportMetric(slowest.Seconds()*1e3, "beside-max-ms")
			}
		})
	}
}

// foreground makes calls at a steady rate and returns how long each took.
func foreground(b *testing.B, k kmsmigrate.Key, calls int, every time.Duration) []time.Duration {
	b.Helper()
	lasted := make([]time.Duration, calls)
	var wg sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := range lasted {
		<-tick.C
		wg.Go(func() {
			start := time.Now()
			if _, err := k.Encrypt(b.Context(), []byte(benchText), nil); err != nil {
				b.Error(err)
			}
			lasted[n] = time.Since(start)
		})
	}
	wg.Wait()
	return lasted
}

// sweep starts background work and returns the call that ends it.
func sweep(b *testing.B, k kmsmigrate.Key, workers int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(kmsmigrate.Background(b.Context()))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := k.Encrypt(ctx, []byte(benchText), nil); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func percentile(lasted []time.Duration, part float64) time.Duration {
	slices.Sort(lasted)
	return lasted[min(len(lasted)-1, int(part*float64(len(lasted))))]
}
