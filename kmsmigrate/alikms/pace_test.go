package alikms

import (
	"context"
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
	return p.limit
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

func TestTheRateFindsACapThatNobodyStated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacerOf(t, Limits{})
		s := &service{limit: rate.NewLimiter(1000, 10)}
		s.latency.Store(int64(2 * time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		work(ctx, p, s, 64, true).Wait()
		require.GreaterOrEqual(t, s.served.Load(), int64(0.85*60*1000))
		require.Less(t, s.throttled.Load(), s.served.Load()/20)
	})
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
		for p.tokens >= 1 {
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
