package alikms

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// pacer decides when an attempt may be sent. It keeps the rate under what the caller states and near what the service was
// found to bear, and lets work under kmsmigrate.Background have what foreground calls leave.
//
// Each of the two rates is a bucket of tokens. A foreground call takes its token and waits only while a bucket is in debt; a
// background call waits until both hold more than the reserve. So foreground calls go first at any rate, and background
// calls get the whole rest of it.
type pacer struct {
	share float64 // of the buckets and of the concurrency that background calls leave alone

	turn chan struct{} // held by the one background call that waits at the head of the queue
	free chan struct{} // told when a background call ended

	mu      sync.Mutex
	stated  bucket // the rate that is never exceeded
	found   bucket // the rate of ceiling
	ceiling ceiling
	width   width
	held    time.Time // background calls wait until then
}

const (
	headroom = 0.95 // of the stated rate, so that two clocks may differ
	burst    = 0.01 // of a second's tokens fit a bucket

	// patience is the longest that a foreground call waits for the rate that was found. Where others use up a quota, each
	// refusal makes that rate smaller, without its being our calls that are too many: background work must give way
	// then, and foreground calls must not starve.
	patience = 250 * time.Millisecond
	// makeRoom is how long background calls are held back when a foreground call was throttled, which is then repeated.
	makeRoom = 25 * time.Millisecond

	shortestPause = 10 * time.Microsecond // a smaller part of a token is an error of rounding
)

func newPacer(limits Limits) *pacer {
	now := time.Now()
	p := &pacer{share: limits.ForegroundShare, turn: make(chan struct{}, 1), free: make(chan struct{}, 1)}
	p.stated = bucket{rate: limits.QPS * headroom, last: now}
	p.stated.tokens = p.stated.size()
	p.width.most = max(1, float64(limits.Concurrency)*(1-p.share))
	p.width.limit = p.width.most
	return p
}

// refill adds the tokens of the time that has passed, and lets the rate that was found grow.
func (p *pacer) refill(now time.Time) {
	p.stated.fill(now)
	p.ceiling.grow(p.found.fill(now))
	if p.found.rate = p.ceiling.rate(); p.stated.rate > 0 && p.found.rate >= p.stated.rate {
		p.ceiling.forget()
		p.found.rate = 0
	}
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
	p.stated.tokens--
	p.found.tokens--
	must, may := p.stated.until(0), min(patience, p.found.until(-p.found.size()))
	p.found.tokens = max(p.found.tokens, -p.found.size()-p.found.rate*patience.Seconds())
	p.mu.Unlock()
	err := sleep(ctx, must)
	if err == nil {
		if err = sleep(ctx, may-must); errors.Is(err, errTurn) {
			err = nil // it goes early rather than not at all
		}
	}
	if err != nil {
		p.mu.Lock()
		p.stated.tokens++
		p.found.tokens++
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
		now := time.Now()
		p.refill(now)
		pause := max(p.held.Sub(now), p.stated.until(1+p.share*p.stated.size()), p.found.until(1+p.share*p.found.size()))
		full := p.width.full()
		if !full && pause <= 0 {
			p.stated.tokens--
			p.found.tokens--
			p.width.running++
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if full {
			pause = time.Hour
		}
		timer := time.NewTimer(max(shortestPause, pause))
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
	if d <= 0 {
		return nil
	}
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
		p.refill(now)
		if p.ceiling.refused(now, took) {
			p.found = bucket{rate: p.ceiling.rate(), tokens: min(0, p.found.tokens), last: now}
		}
		if !background {
			p.held = now.Add(makeRoom)
		}
	case errors.Is(err, kmsmigrate.ErrUnavailable):
		p.width.slower(now)
	default:
		p.ceiling.served(now, took)
		if err == nil { // a refusal comes back sooner than an answer, and would make every answer look slow
			p.width.answered(now, took)
		}
	}
}

// left is ended for an attempt that says nothing about the endpoint: it was not sent, or its caller gave up.
func (p *pacer) left(background bool) {
	if !background {
		return
	}
	p.mu.Lock()
	p.width.running--
	p.mu.Unlock()
	select {
	case p.free <- struct{}{}:
	default:
	}
}

// roomMade reports whether there is background work that makes room for a foreground call that was throttled.
func (p *pacer) roomMade() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.width.running > 0
}

// bucket holds the tokens of one rate. One whose rate is zero limits nothing.
type bucket struct {
	rate   float64 // tokens per second
	tokens float64
	last   time.Time // of the fill
}

func (b *bucket) size() float64 { return max(2, b.rate*burst) }

// fill adds the tokens of the time that has passed, and returns that time where it did not fill the bucket: then calls
// wanted as much as there was.
func (b *bucket) fill(now time.Time) (short time.Duration) {
	passed := now.Sub(b.last)
	b.last = now
	if b.rate == 0 || passed <= 0 {
		return 0
	}
	b.tokens += passed.Seconds() * b.rate
	if b.tokens >= b.size() {
		b.tokens = b.size()
		return 0
	}
	return passed
}

// until returns how long it takes until so many tokens are there.
func (b *bucket) until(tokens float64) time.Duration {
	if b.rate == 0 {
		return 0
	}
	return max(0, time.Duration((tokens-b.tokens)/b.rate*float64(time.Second)))
}
