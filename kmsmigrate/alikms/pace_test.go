package alikms

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// service bears a number of calls a second and takes its time for each.
type service struct {
	limit   *rate.Limiter
	latency atomic.Int64

	served, throttled atomic.Int64
}

func (s *service) call() (time.Duration, error) {
	took := time.Duration(s.latency.Load())
	time.Sleep(took) //nolint:forbidigo // virtual time: this is the service at work
	if s.limit != nil && !s.limit.Allow() {
		s.throttled.Add(1)
		return took, kmsmigrate.ErrThrottled
	}
	s.served.Add(1)
	return took, nil
}

// work keeps workers calling until ctx ends.
func work(ctx context.Context, p *pacer, s *service, workers int, background bool) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p.wait(ctx, background) == nil {
				took, err := s.call()
				p.ended(background, took, err)
			}
		})
	}
	return &wg
}

func limitOf(p *pacer) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.width.limit
}

func pacerOf(t *testing.T, l Limits) *pacer {
	t.Helper()
	l, err := l.defaults()
	require.NoError(t, err)
	return newPacer(l)
}

func TestBackgroundWorkUsesTheWholeRateWhenNobodyElseDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{QPS: 1000})
		s := &service{limit: rate.NewLimiter(1000, 10)}
		s.latency.Store(int64(2 * time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		work(ctx, p, s, 64, true).Wait()
		require.GreaterOrEqual(t, s.served.Load(), int64(9000), "nine tenths of the cap")
		require.Less(t, s.throttled.Load(), s.served.Load()/20, "under a twentieth throttled")
	})
}

// sweepAgainst keeps 64 background workers calling a service for some time, and beside them, where every is not zero, foreground callers. It
// returns how long each foreground call took that was answered, with its repetitions.
func sweepAgainst(t *testing.T, p *pacer, s *service, d, every time.Duration) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	sweep := work(ctx, p, s, 64, true)
	if every == 0 {
		sweep.Wait()
		return nil
	}
	var mu sync.Mutex
	var lasted []time.Duration
	var calls sync.WaitGroup
	for tick := time.Tick(every); ctx.Err() == nil; <-tick {
		calls.Go(func() {
			for start := time.Now(); p.wait(context.Background(), false) == nil; {
				took, err := s.call()
				p.ended(false, took, err)
				if err == nil {
					mu.Lock()
					lasted = append(lasted, time.Since(start))
					mu.Unlock()
					return
				}
				time.Sleep(makeRoom) //nolint:forbidigo // virtual time: the pause before the next attempt, when it is the longest
			}
		})
	}
	calls.Wait()
	sweep.Wait()
	return lasted
}

func TestTheRateFindsACapThatNobodyStated(t *testing.T) {
	t.Parallel()
	const calls = 10_000
	for name, c := range map[string]struct {
		cap     rate.Limit
		burst   int
		latency time.Duration
	}{
		"near":             {1000, 10, 2 * time.Millisecond},
		"far":              {1000, 10, 20 * time.Millisecond},
		"a second's calls": {1000, 1000, 20 * time.Millisecond},
		"small":            {200, 200, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, s := pacerOf(t, Limits{}), &service{limit: rate.NewLimiter(c.cap, c.burst)}
				s.latency.Store(int64(c.latency))
				sweepAgainst(t, p, s, time.Duration(calls/float64(c.cap)*float64(time.Second)), 0)
				served, throttled := float64(s.served.Load()), float64(s.throttled.Load())
				require.GreaterOrEqual(t, served, 0.9*calls)
				require.Less(t, throttled, 0.05*served)
			})
		})
	}
}

func TestForegroundCallsAreAsQuickBesideASweepThatFindsTheCap(t *testing.T) {
	t.Parallel()
	const latency = 20 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		p, s := pacerOf(t, Limits{}), &service{limit: rate.NewLimiter(1000, 1000)}
		s.latency.Store(int64(latency))
		lasted := sweepAgainst(t, p, s, 20*time.Second, 4*time.Millisecond)
		require.GreaterOrEqual(t, len(lasted), 4990)
		slices.Sort(lasted)
		require.LessOrEqual(t, lasted[len(lasted)*99/100], latency*12/10)
		require.GreaterOrEqual(t, s.served.Load(), int64(0.9*20*1000))
		require.Less(t, s.throttled.Load(), s.served.Load()/50)
	})
}

func TestTheRateFollowsACapThatMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := pacerOf(t, Limits{}), &service{limit: rate.NewLimiter(500, 10)}
		s.latency.Store(int64(20 * time.Millisecond))
		sweepAgainst(t, p, s, 5*time.Second, 0)
		for _, c := range []struct {
			cap    rate.Limit
			settle time.Duration
		}{{150, 2 * time.Second}, {600, 25 * time.Second}} {
			s.limit.SetLimit(c.cap)
			sweepAgainst(t, p, s, c.settle, 0)
			before, refused := s.served.Load(), s.throttled.Load()
			sweepAgainst(t, p, s, 10*time.Second, 0)
			require.GreaterOrEqual(t, float64(s.served.Load()-before), 0.9*10*float64(c.cap))
			require.Less(t, s.throttled.Load()-refused, (s.served.Load()-before)/20)
		}
	})
}

func TestARateThatNobodyAsksForDoesNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := pacerOf(t, Limits{}), &service{limit: rate.NewLimiter(1000, 10)}
		s.latency.Store(int64(20 * time.Millisecond))
		sweepAgainst(t, p, s, 2*time.Second, 0)
		found := p.ceiling.rate()
		require.InDelta(t, 1000, found, 100)
		for range 600 {
			require.NoError(t, p.wait(t.Context(), false))
			p.ended(false, 20*time.Millisecond, nil)
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		require.InDelta(t, found, p.ceiling.rate(), 10)
		require.NotZero(t, p.found.rate)
	})
}

// Where others use up the quota, a rate that follows every refusal falls to nothing. Foreground calls go on all the same.
func TestForegroundCallsDoNotStarveWhereOthersUseTheQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{})
		calls := 0
		for start := time.Now(); time.Since(start) < time.Minute; calls++ {
			before := time.Now()
			require.NoError(t, p.wait(t.Context(), false))
			require.LessOrEqual(t, time.Since(before), patience)
			var err error
			if calls%5 == 0 {
				err = kmsmigrate.ErrThrottled
			}
			p.ended(false, 20*time.Millisecond, err)
			time.Sleep(5 * time.Millisecond) //nolint:forbidigo // virtual time
		}
		require.Less(t, p.ceiling.rate(), 50.0, "this is about a rate that fell")
		ctx, cancel := context.WithTimeout(t.Context(), patience/10)
		defer cancel()
		require.NoError(t, p.wait(ctx, false), "a call with less time goes early rather than not at all")
	})
}

func TestWhatWasSentBeforeACutDoesNotCutAgain(t *testing.T) {
	t.Parallel()
	now, took := time.Now(), 20*time.Millisecond
	var c ceiling
	for range 1000 {
		now = now.Add(time.Millisecond)
		c.served(now, took)
	}
	require.False(t, c.refused(now, took), "where no rate is known, it is measured first")
	for range 19 {
		now = now.Add(time.Millisecond)
		c.served(now, took)
		require.Zero(t, c.rate())
	}
	now = now.Add(time.Millisecond)
	require.True(t, c.refused(now, took))
	first := c.rate()
	require.InDelta(t, 1000*(1-dip)*19/21, first, 50)
	for range 20 {
		now = now.Add(time.Millisecond)
		require.False(t, c.refused(now.Add(-time.Microsecond), took), "it was under way already")
	}
	for n := range enough - 1 {
		now = now.Add(time.Millisecond)
		if n%2 == 0 {
			require.False(t, c.refused(now, took), "too few to tell")
		} else {
			c.served(now, took)
		}
	}
	require.True(t, c.refused(now, took))
	require.InDelta(t, first/2*(1-dip), c.rate(), first/10, "half was refused, and so half is borne")
}

func TestForegroundCallsGoBeforeBackgroundWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{QPS: 200})
		s := &service{}
		s.latency.Store(int64(5 * time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		sweep := work(ctx, p, s, 32, true)
		var worst time.Duration
		calls := 0
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // virtual time: 50 foreground calls a second
			start := time.Now()
			if p.wait(ctx, false) != nil {
				break
			}
			worst = max(worst, time.Since(start))
			took, err := s.call()
			p.ended(false, took, err)
			calls++
		}
		sweep.Wait()
		require.LessOrEqual(t, worst, 2*time.Millisecond, "a foreground call finds its token there")
		require.GreaterOrEqual(t, calls, 700)
		require.GreaterOrEqual(t, s.served.Load(), int64(0.9*0.95*200*20), "and the sweep takes all the rest")
	})
}

func TestBackgroundWorkLeavesSlotsToTheForeground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{Concurrency: 10})
		for range 8 {
			require.NoError(t, p.wait(t.Context(), true))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.wait(ctx, true), context.DeadlineExceeded, "the ninth waits: two of ten are the foreground's")
		require.NoError(t, p.wait(ctx, false))
		p.left(true)
		require.NoError(t, p.wait(t.Context(), true), "a slot that came free")
	})
}

func TestBackgroundWorkBacksOffWhenAnswersSlowDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{Concurrency: 100})
		s := &service{}
		s.latency.Store(int64(20 * time.Millisecond))
		ctx, cancel := context.WithCancel(t.Context())
		sweep := work(ctx, p, s, 100, true)
		defer func() { cancel(); sweep.Wait() }()
		time.Sleep(2 * time.Second) //nolint:forbidigo // virtual time
		require.InDelta(t, 80, limitOf(p), 0.5)
		s.latency.Store(int64(400 * time.Millisecond))
		time.Sleep(20 * time.Second) //nolint:forbidigo // virtual time
		require.Less(t, limitOf(p), 10.0)
		s.latency.Store(int64(20 * time.Millisecond))
		time.Sleep(30 * time.Second) //nolint:forbidigo // virtual time
		require.InDelta(t, 80, limitOf(p), 0.5, "and comes back")
	})
}

func TestACallThatCannotHaveItsTurnInTimeFailsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{QPS: 1})
		for p.stated.tokens >= 1 {
			require.NoError(t, p.wait(t.Context(), false))
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.wait(ctx, false), errTurn)
		require.Zero(t, time.Since(start))
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		require.ErrorIs(t, p.wait(ctx, false), context.Canceled)
		require.NoError(t, p.wait(t.Context(), false), "what a call did not use is there for the next")
		require.Less(t, time.Since(start), 1100*time.Millisecond)
	})
}

func TestTheBreakerOpensAndTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{after: 3}
		fail := func() { b.ended(time.Now(), kmsmigrate.ErrUnavailable, true) }
		for range 2 {
			require.NoError(t, b.enter(t.Context(), false))
			fail()
		}
		b.ended(time.Now(), kmsmigrate.ErrThrottled, true)
		for range 3 {
			require.NoError(t, b.enter(t.Context(), false), "an answer of any kind starts the count again")
			fail()
		}
		require.ErrorIs(t, b.enter(t.Context(), false), errBroken)
		start := time.Now()
		require.NoError(t, b.enter(t.Context(), true), "background work waits")
		require.Equal(t, firstBreak, time.Since(start))
		require.ErrorIs(t, b.enter(t.Context(), false), errBroken, "one attempt at a time tells")
		fail()
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, b.enter(ctx, true), errBroken, "not within the deadline")
		require.NoError(t, b.enter(t.Context(), true))
		require.Equal(t, 2*firstBreak, time.Since(start), "longer each time")
		b.ended(time.Now(), nil, true)
		require.NoError(t, b.enter(t.Context(), false))
		require.NoError(t, (&breaker{}).enter(t.Context(), false))
	})
}
