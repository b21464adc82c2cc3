package plan_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// The cost of assessing and planning grows with the number of keys, not faster: compare ns/key over the sizes.
func BenchmarkAssessAndBuild(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			inv, goal := made(n), everywhere()
			b.ReportAllocs()
			for b.Loop() {
				a, err := plan.Assess(inv, goal)
				require.NoError(b, err)
				_, err = plan.Build(a, plan.BuildConfig{})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
	}
}

// What an assessment and a plan hold, and what making them allocates, is so much for each key, however many there are. The limits are absolute:
// 100,000 keys stay under 250 MB at any time, and what is left of them under 150 MB.
func TestMemoryIsBoundedByTheNumberOfKeys(t *testing.T) { //nolint:paralleltest // it measures the heap of the process
	type cost struct{ live, peak, allocated float64 } // bytes for each key
	measure := func(n int) cost {
		inv, goal := made(n), everywhere()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		highest, stop, stopped := before.HeapAlloc, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for tick := time.NewTicker(time.Millisecond); ; {
				select {
				case <-stop:
					return
				case <-tick.C:
					var now runtime.MemStats
					runtime.ReadMemStats(&now)
					highest = max(highest, now.HeapAlloc)
				}
			}
		}()
		a, err := plan.Assess(inv, goal)
		require.NoError(t, err)
		p, err := plan.Build(a, plan.BuildConfig{})
		require.NoError(t, err)
		require.NoError(t, p.Markdown(io.Discard, plan.RunbookConfig{Assessment: &a}))
		close(stop)
		<-stopped
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(a)
		runtime.KeepAlive(p)
		runtime.KeepAlive(inv)
		per := func(bytes uint64) float64 { return float64(bytes) / float64(n) }
		return cost{per(after.HeapAlloc - before.HeapAlloc), per(highest - before.HeapAlloc), per(after.TotalAlloc - before.TotalAlloc)}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that the highest heap is what is needed, not what the collector has not looked at yet
	small, large := measure(10_000), measure(100_000)
	t.Logf("bytes for each key, of 10,000 and of 100,000: live %.0f, %.0f; highest %.0f, %.0f; allocated %.0f, %.0f", small.live, large.live, small.peak, large.peak, small.allocated, large.allocated)
	require.Less(t, large.live, 1500.0)
	require.Less(t, large.peak, 2500.0)
	require.Less(t, large.live, small.live*1.25, "live memory grows faster than the number of keys")
	require.Less(t, large.allocated, small.allocated*1.25, "allocations grow faster than the number of keys")
}
