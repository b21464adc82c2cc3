package plan_test

import (
	"fmt"
	"testing"

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
