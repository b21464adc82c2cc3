package rekey

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func TestWatermarkIsTheLongestFinishedBeginning(t *testing.T) {
	t.Parallel()
	for round := range 200 {
		random := rand.New(rand.NewPCG(1, uint64(round)))
		var w watermark
		var finished []bool
		open := map[int]*step{}
		check := func() {
			want := ""
			for i, done := range finished {
				if !done {
					break
				}
				want = fmt.Sprintf("%04d", i)
			}
			require.Equal(t, want, w.reached())
			require.LessOrEqual(t, w.steps.Len(), 2*len(open), "it grows with what is finished")
		}
		for i := range 100 {
			id := fmt.Sprintf("%04d", i)
			if random.IntN(2) == 0 {
				w.pass(id)
				finished = append(finished, true)
			} else {
				open[i] = w.start(id)
				finished = append(finished, false)
			}
			check()
			for len(open) > random.IntN(20) {
				var under []int
				for at := range open {
					under = append(under, at)
				}
				slices.Sort(under)
				at := under[random.IntN(len(under))]
				w.finish(open[at])
				delete(open, at)
				finished[at] = true
				check()
			}
		}
	}
}

func TestWorkersThatFailTogetherAreOneFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gate
		began := time.Now()
		for range 16 {
			require.NoError(t, g.fail(began, kmsmigrate.ErrThrottled, time.Hour))
		}
		require.LessOrEqual(t, g.left(), firstPause)
		require.Positive(t, g.left())
		require.NoError(t, g.wait(t.Context()))
		for range 20 {
			require.NoError(t, g.fail(time.Now(), kmsmigrate.ErrThrottled, time.Hour))
			require.LessOrEqual(t, g.left(), longPause)
			require.NoError(t, g.wait(t.Context()))
		}
		require.Error(t, g.fail(time.Now(), kmsmigrate.ErrThrottled, time.Minute))
		g.open()
		require.NoError(t, g.waitingFor())
		require.Zero(t, g.left())
	})
}

func TestRecentForgetsTheOldest(t *testing.T) {
	t.Parallel()
	r := recent{keep: time.Hour, last: map[mark]time.Time{}}
	for i := range recentMarks + 10 {
		r.add(mark{id: fmt.Sprint(i)})
	}
	require.Len(t, r.last, recentMarks)
	require.False(t, r.has(mark{id: "9"}))
	require.True(t, r.has(mark{id: "10"}))
	require.True(t, r.has(mark{id: fmt.Sprint(recentMarks + 9)}))
}
