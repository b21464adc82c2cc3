package rekeysql_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// BenchmarkCappedSweep sweeps a table through a gateway that takes 1,000 calls a second of each operation, 20 ms away, and refuses
// the rest, while the application makes 10,000 calls of its own at 400 a second. It reports how much of the cap was used (where
// the endpoint is told of one, that is 1,000 calls of all operations together; else it is that of Decrypt, of which a record
// needs most) and how much was throttled, how many calls a renewed record cost, and how long the application's calls took beside the sweep and without it, in
// turns, so that both see the same machine; the least p99 of each is compared.
func BenchmarkCappedSweep(b *testing.B) {
	const qps, rounds, calls, every, records = 1000, 10, 1000, 2500 * time.Microsecond, 15_000
	for name, stated := range map[string]float64{"unstated": 0, "stated": qps} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				cloud := fakeprocess.Start(b, 20*time.Millisecond)
				config := cloud.Gateway
				config.Limits.QPS = stated
				gateway, err := alikms.NewGateway(config)
				require.NoError(b, err)
				defer func() { require.NoError(b, gateway.Close()) }()
				was, err := gateway.Key(cloud.Key)
				require.NoError(b, err)
				will, err := gateway.Key(cloud.Next)
				require.NoError(b, err)
				client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: was, New: will})
				require.NoError(b, err)
				d := databases[0]
				db, table := benchTable(b, d)
				require.NoError(b, d.fill(b.Context(), db, table, func(i int) any { return i }, encrypted(b, was, records), false))
				store, err := rekeysql.Open(b.Context(), db, rekeysql.Table{Name: table, Key: []string{"k"}, Value: "v"})
				require.NoError(b, err)

				cloud.Ask(fakeprocess.Order{Quota: qps})
				var alone, beside [2][]time.Duration // p50 and p99 of each round
				var swept time.Duration
				var saw fakeprocess.Evidence
				renewed := int64(0)
				for range rounds {
					took := foreground(b, client, calls, every)
					alone[0], alone[1] = append(alone[0], percentile(took, 0.5)), append(alone[1], percentile(took, 0.99))
					cloud.Ask(fakeprocess.Order{Reset: true})
					start := time.Now()
					ctx, stop := context.WithCancel(b.Context())
					ended := make(chan rekey.Report, 1)
					go func() {
						report, err := rekey.Sweep(ctx, client, store, rekey.Options{Workers: 64})
						if err != nil && !errors.Is(err, context.Canceled) {
							b.Error(err)
						}
						ended <- report
					}()
					took = foreground(b, client, calls, every)
					swept += time.Since(start)
					now := cloud.Ask(fakeprocess.Order{})
					stop()
					report := <-ended
					require.False(b, report.Complete, "the sweep must last as long as the calls beside it")
					renewed += report.Renewed
					beside[0], beside[1] = append(beside[0], percentile(took, 0.5)), append(beside[1], percentile(took, 0.99))
					saw.Calls, saw.Good, saw.Throttled = saw.Calls+now.Calls, saw.Good+now.Good, saw.Throttled+now.Throttled
					saw.Decrypted += now.Decrypted
				}
				used := saw.Good
				if stated == 0 {
					used = saw.Decrypted
				}
				b.ReportMetric(100*float64(used)/(qps*swept.Seconds()), "%cap")
				b.ReportMetric(100*float64(saw.Throttled)/float64(saw.Calls), "%throttled")
				b.ReportMetric(float64(saw.Good-rounds*calls)/float64(renewed), "calls/record")
				b.ReportMetric(slices.Min(alone[0]).Seconds()*1e3, "alone-p50-ms")
				b.ReportMetric(slices.Min(beside[0]).Seconds()*1e3, "beside-p50-ms")
				b.ReportMetric(slices.Min(alone[1]).Seconds()*1e3, "alone-p99-ms")
				b.ReportMetric(slices.Min(beside[1]).Seconds()*1e3, "beside-p99-ms")
				b.ReportMetric(slices.Min(beside[1]).Seconds()/slices.Min(alone[1]).Seconds(), "p99-ratio")
			}
		})
	}
}

// encrypted makes so many records.
func encrypted(b *testing.B, key kmsmigrate.Key, n int) [][]byte {
	b.Helper()
	values := make([][]byte, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range next {
				value, err := key.Encrypt(b.Context(), fmt.Appendf(nil, "record %d", i), nil)
				if err != nil {
					b.Error(err)
				}
				values[i] = value
			}
		})
	}
	for i := range values {
		next <- i
	}
	close(next)
	wg.Wait()
	return values
}

// foreground makes calls at a steady rate and returns how long each took.
func foreground(b *testing.B, client *kmsmigrate.Client, calls int, every time.Duration) []time.Duration {
	b.Helper()
	lasted := make([]time.Duration, calls)
	var wg sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := range lasted {
		<-tick.C
		wg.Go(func() {
			start := time.Now()
			if _, err := client.Encrypt(b.Context(), []byte("a call of the application"), nil); err != nil {
				b.Error(err)
			}
			lasted[n] = time.Since(start)
		})
	}
	wg.Wait()
	return lasted
}

func percentile(lasted []time.Duration, part float64) time.Duration {
	slices.Sort(lasted)
	return lasted[min(len(lasted)-1, int(part*float64(len(lasted))))]
}
