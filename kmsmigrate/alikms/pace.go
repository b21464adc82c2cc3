package alikms

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// pacer decides when an attempt may be sent. It keeps the rate under what the caller states and below what the service
// throttles at, and lets work under kmsmigrate.Background have what foreground calls leave.
//
// The rate is one bucket of tokens. A foreground call takes its token and waits for as long as the bucket is in debt; a
// background call waits until the bucket holds more than the reserve. So foreground calls go first at any rate, and
// background calls get the whole rest of it. The rate falls by a tenth when the service throttles and grows again
// while it does not. The number of background calls at once falls, too, when answers slow down: a dedicated instance
// does not throttle, it gets slower.
type pacer struct {
	share float64 // of the bucket and of the concurrency that background calls leave alone
	top   float64 // the rate that is never exceeded; 0 where none was stated
	most  float64 // background calls at once

	turn chan struct{} // held by the one background call that waits at the head of the queue
	free chan struct{} // told when a background call ended

	mu       sync.Mutex
	rate     float64 // tokens per second; 0: no limit
	tokens   float64
	last     time.Time // of the refill
	cut      time.Time // when the rate fell
	afterCut float64   // what it fell to

	running float64 // background calls at once
	limit   float64 // how many may be
	slowed  time.Time
	base    time.Duration // latency of an answer when nothing is in its way
	based   time.Time
	smooth  time.Duration // latency of late

	window       time.Time // of one second, for the rate that the service bore
	now, earlier float64   // answers in this window and the one before
}

const (
	headroom     = 0.95                   // of the stated rate, so that two clocks may differ
	burst        = 0.01                   // of a second's tokens fit the bucket
	cutTo        = 0.9                    // of the rate is left after a throttled answer
	growth       = 0.01                   // per second, times the square of the seconds without throttling
	mostGrowth   = 1                      // per second
	leastRate    = 20                     // below it the pauses between attempts do; the smallest quota of a crypto operation is 200
	cutPause     = 300 * time.Millisecond // answers throttled within this are of one and the same excess
	slowTo       = 0.9                    // of the background calls are left after a slow answer
	slowPause    = 100 * time.Millisecond
	slowFactor   = 2
	forgive      = 0.005 // of the base, per second
	slowAllowed  = 5 * time.Millisecond
	forgetCutAt  = 20 // times the rate after a cut: no limit is known any more
	smoothFactor = 8

	shortestPause = 10 * time.Microsecond // a smaller part of a token is an error of rounding
)

func newPacer(limits Limits) *pacer {
	p := &pacer{share: limits.ForegroundShare, top: limits.QPS * headroom, turn: make(chan struct{}, 1), free: make(chan struct{}, 1)}
	p.rate = p.top
	p.most = max(1, float64(limits.Concurrency)*(1-p.share))
	p.limit = p.most
	p.last = time.Now()
	p.tokens = p.size()
	return p
}

// size is how many tokens the bucket holds.
func (p *pacer) size() float64 { return max(2, p.rate*burst) }

// refill adds the tokens of the time that has passed, and lets the rate grow.
func (p *pacer) refill(now time.Time) {
	seconds := now.Sub(p.last).Seconds()
	p.last = now
	if p.rate == 0 || seconds <= 0 {
		return
	}
	if !p.cut.IsZero() {
		calm := 1 + now.Sub(p.cut).Seconds()
		p.rate *= 1 + min(1, seconds)*min(mostGrowth, growth*calm*calm)
		switch {
		case p.top > 0 && p.rate >= p.top:
			p.rate, p.cut = p.top, time.Time{}
		case p.top == 0 && p.rate > forgetCutAt*p.afterCut:
			p.rate, p.cut = 0, time.Time{}
			return
		}
	}
	p.tokens = min(p.size(), p.tokens+seconds*p.rate)
}

// errTurn says that a call would have had to wait for its turn longer than its deadline allows.
var errTurn = errors.New("its turn would come after its deadline")

// wait returns when an attempt may be sent. Each wait that returns nil must be followed by one ended or left.
func (p *pacer) wait(ctx context.Context, background bool) error {
	if background {
		return p.waitBehind(ctx)
	}
	p.mu.Lock()
	p.refill(time.Now())
	if p.rate == 0 {
		p.mu.Unlock()
		return nil
	}
	p.tokens--
	debt := time.Duration(-p.tokens / p.rate * float64(time.Second))
	p.mu.Unlock()
	if debt <= 0 {
		return nil
	}
	err := sleep(ctx, debt)
	if err != nil {
		p.mu.Lock()
		p.tokens++
		p.mu.Unlock()
	}
	return err
}

// waitBehind is wait for background calls.
func (p *pacer) waitBehind(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		p.mu.Lock()
		p.refill(time.Now())
		reserve := 1 + p.share*p.size()
		short := reserve - p.tokens
		full := p.running+1 > max(1, p.limit)
		if !full && (p.rate == 0 || short <= 0) {
			if p.rate > 0 {
				p.tokens--
			}
			p.running++
			p.mu.Unlock()
			return nil
		}
		pause := time.Hour
		if !full {
			pause = max(shortestPause, time.Duration(short/p.rate*float64(time.Second)))
		}
		p.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.free:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// sleep waits, or fails at once where the deadline comes first.
func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return errTurn
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended records how an attempt went and how long it took.
func (p *pacer) ended(background bool, took time.Duration, err error) {
	p.left(background)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, kmsmigrate.ErrThrottled):
		p.throttled(now)
	case errors.Is(err, kmsmigrate.ErrUnavailable):
		p.slower(now)
	case err == nil:
		p.answered(now, took)
	default: // a refusal comes back sooner than an answer, and would make every answer look slow
		p.borne(now)
		p.now++
	}
}

// left is ended for an attempt that says nothing about the endpoint: it was not sent, or its caller gave up.
func (p *pacer) left(background bool) {
	if !background {
		return
	}
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
	select {
	case p.free <- struct{}{}:
	default:
	}
}

// throttled lowers the rate, to less than what the service has borne lately.
func (p *pacer) throttled(now time.Time) {
	p.slower(now)
	p.refill(now)
	if now.Sub(p.cut) < cutPause {
		return
	}
	was := p.rate
	if borne := p.borne(now); was == 0 || was > 2*borne {
		was = borne // the rate was far above what is really sent, so lowering it would change nothing
	}
	p.rate = max(leastRate, was*cutTo)
	if p.top > 0 {
		p.rate = min(p.rate, p.top)
	}
	p.cut, p.afterCut = now, p.rate
	p.tokens = min(p.tokens, 0)
}

// slower lowers the number of background calls at once.
func (p *pacer) slower(now time.Time) {
	if now.Sub(p.slowed) >= slowPause {
		p.slowed = now
		p.limit = max(1, p.limit*slowTo)
	}
}

// answered counts an answer and follows its latency.
func (p *pacer) answered(now time.Time, took time.Duration) {
	p.borne(now)
	p.now++
	switch {
	case p.base == 0:
		p.base, p.smooth = took, took
	case took < p.base:
		p.base = took
	default: // a service that has become slower for good is forgiven in some minutes
		p.base += time.Duration(float64(p.base) * forgive * now.Sub(p.based).Seconds())
	}
	p.based = now
	p.smooth += (took - p.smooth) / smoothFactor
	if p.smooth > slowFactor*p.base+slowAllowed {
		p.slower(now)
		return
	}
	p.limit = min(p.most, p.limit+1/p.limit)
}

// borne returns how many answers a second came of late.
func (p *pacer) borne(now time.Time) float64 {
	switch passed := now.Sub(p.window); {
	case passed >= 2*time.Second:
		p.window, p.earlier, p.now = now, 0, 0
	case passed >= time.Second:
		p.window, p.earlier, p.now = now, p.now, 0
	}
	part := min(1, now.Sub(p.window).Seconds())
	if p.earlier == 0 {
		return p.now / max(part, 0.1) // nothing came before this window
	}
	return p.earlier*(1-part) + p.now
}
