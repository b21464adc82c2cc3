package shim

import (
	"context"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// aside does work beside the calls that applications wait for: so much at once, and from the part of each endpoint's rate that those leave.
type aside struct {
	slots  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed, so that none starts after close began to wait
	closed bool
	wait   sync.WaitGroup
}

func newAside(atOnce int) *aside {
	ctx, cancel := context.WithCancel(kmsmigrate.Background(context.Background()))
	return &aside{slots: make(chan struct{}, atOnce), ctx: ctx, cancel: cancel}
}

// start runs work on another goroutine, unless it is closed or all slots are taken. full says that the latter is why it did not.
func (a *aside) start(work func()) (full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	select {
	case a.slots <- struct{}{}:
	default:
		return true
	}
	a.wait.Add(1)
	go func() {
		defer a.wait.Done()
		defer func() { <-a.slots }()
		work()
	}()
	return false
}

// returns calls f, of the application, and reports whether it came back without a panic: one here would end the process for a copy.
func returns(f func()) (ok bool) {
	defer func() { ok = recover() == nil }()
	f()
	return
}

// close ends the work's context and returns when none is left.
func (a *aside) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.wait.Wait()
}
