package alikms

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// breaker stops sending to an endpoint that has failed many times in a row, and tries again with one attempt at a time.
// Foreground calls fail at once meanwhile, so that callers do not pile up; background calls wait.
type breaker struct {
	after int // failures in a row; 0: never

	mu      sync.Mutex
	failed  int
	until   time.Time
	pause   time.Duration
	probing bool
}

const (
	firstBreak = 250 * time.Millisecond
	mostBreak  = 5 * time.Second
)

var errBroken = errors.New("the endpoint failed many times in a row and is left alone for a moment")

// enter returns nil when an attempt may be sent.
func (b *breaker) enter(ctx context.Context, background bool) error {
	for {
		wait := b.try(time.Now())
		if wait <= 0 {
			return nil
		}
		if !background {
			return errBroken
		}
		if err := sleep(ctx, wait); err != nil {
			if errors.Is(err, errTurn) {
				return errBroken
			}
			return err
		}
	}
}

// try returns zero when an attempt may be sent now, else how long to wait.
func (b *breaker) try(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.after == 0 || b.failed < b.after:
		return 0
	case now.Before(b.until):
		return b.until.Sub(now)
	case b.probing:
		return firstBreak
	default:
		b.probing = true
		return 0
	}
}

// ended records how an attempt went. told is false where it says nothing about the endpoint: the caller gave up first.
func (b *breaker) ended(now time.Time, err error, told bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	probed := b.probing
	b.probing = false
	switch {
	case !told:
		return
	case !errors.Is(err, kmsmigrate.ErrUnavailable):
		b.failed, b.pause = 0, 0
		return
	}
	b.failed++
	if b.failed == b.after || probed && b.failed > b.after {
		b.pause = min(max(firstBreak, 2*b.pause), mostBreak)
		b.until = now.Add(b.pause)
	}
}
