package rekey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

const (
	firstPause = 200 * time.Millisecond
	longPause  = 30 * time.Second
	// configPatience is how long a denied permission or a disabled key is waited for. Only people end those, and they
	// should hear of it soon.
	configPatience = 30 * time.Second
)

// gate is where all workers wait while a service or the store is down. Its zero value is open.
type gate struct {
	shut   atomic.Bool // read without the lock: open is the normal state
	mu     sync.Mutex
	until  time.Time // when the next try is due
	pauses int       // without a success between them
	since  time.Time // of the first of them
	cause  error     // of the last
}

// wait blocks until a try is due.
func (g *gate) wait(ctx context.Context) error {
	for {
		left := g.left()
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// left is how long the gate stays shut.
func (g *gate) left() time.Duration {
	if !g.shut.Load() {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.until)
}

// open says that a try succeeded.
func (g *gate) open() {
	if !g.shut.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut.Store(false)
	g.until, g.pauses, g.since, g.cause = time.Time{}, 0, time.Time{}, nil
}

// fail says that a try which began then failed. Tries that were under way when the gate shut say nothing new: sixteen
// workers that fail together are one failure. It returns an error when patience has run out.
func (g *gate) fail(began time.Time, cause error, patience time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.pauses == 0 {
		g.since = now
	} else if began.Before(g.until) {
		return nil
	}
	if errors.Is(cause, kmsmigrate.ErrDenied) || errors.Is(cause, kmsmigrate.ErrKeyState) {
		patience = min(patience, configPatience)
	}
	if lasted := now.Sub(g.since); lasted >= patience {
		return fmt.Errorf("rekey: stopped after trying for %s: %w", lasted.Round(time.Second), cause)
	}
	pause := min(firstPause<<min(g.pauses, 16), longPause)
	g.pauses++
	g.cause = cause
	g.until = now.Add(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter, no secret
	g.shut.Store(true)
	return nil
}

// waitingFor tells what shut the gate, nil when it is open.
func (g *gate) waitingFor() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// sleep waits for d or for ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
