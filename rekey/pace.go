package rekey

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Pause stops sweeps and lets them go on again, from anywhere in the program. Its zero value lets them run. One Pause can
// serve any number of sweeps.
type Pause struct{ on atomic.Bool }

// Set pauses (true) or resumes (false). What is under way is finished.
func (p *Pause) Set(paused bool) { p.on.Store(paused) }

// Paused reports whether sweeps are paused.
func (p *Pause) Paused() bool { return p != nil && p.on.Load() }

// Window is a part of the day. The zero value is all of it.
type Window struct {
	From, To time.Duration  // since midnight; From after To is a window over midnight
	In       *time.Location // nil: local time
	Days     []time.Weekday // on which it begins; none: every day
}

// open reports whether t is inside.
func (w Window) open(t time.Time) bool {
	if w.From == w.To && len(w.Days) == 0 {
		return true
	}
	if w.In != nil {
		t = t.In(w.In)
	}
	// By the wall clock, so that a day with a change of summer time has its window at the usual hours.
	at := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	began := t.Weekday()
	switch {
	case w.From == w.To:
	case w.From < w.To:
		if at < w.From || at >= w.To {
			return false
		}
	case at >= w.From:
	case at < w.To:
		began = (began + 6) % 7 // yesterday
	default:
		return false
	}
	if len(w.Days) == 0 {
		return true
	}
	for _, day := range w.Days {
		if day == began {
			return true
		}
	}
	return false
}

// check refuses a window that no clock can be in.
func (w Window) check() error {
	const day = 24 * time.Hour
	if w.From < 0 || w.From > day || w.To < 0 || w.To > day {
		return fmt.Errorf("a window from %s to %s after midnight", w.From, w.To)
	}
	return nil
}

// pace holds workers back for reasons of their own: a pause, the hour, the database's load, a ceiling.
type pace struct {
	pause   *Pause
	window  Window
	load    func(context.Context) error
	limiter *rate.Limiter // nil: no ceiling

	mu       sync.Mutex
	tooHigh  string // why the load holds the sweep back; empty when it does not
	measured bool
}

// paceCheck is how often a worker that is held back looks again.
const paceCheck = 200 * time.Millisecond

func newPace(o Options) *pace {
	p := &pace{pause: o.Pause, window: o.Window, load: o.Load}
	if o.PerSecond > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(o.PerSecond), int(math.Max(1, o.PerSecond/10)))
	}
	return p
}

// held says why the sweep should not move now, or "".
func (p *pace) held() string {
	switch {
	case p.pause.Paused():
		return "paused"
	case !p.window.open(time.Now()):
		return "outside of its hours"
	case p.load == nil:
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.measured { // until the load is known it counts as too high
		return "the load is not known yet"
	}
	return p.tooHigh
}

// wait blocks while the sweep is held back.
func (p *pace) wait(ctx context.Context) error {
	for p.held() != "" {
		if err := sleep(ctx, paceCheck); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// turn is wait, and then waits for the ceiling.
func (p *pace) turn(ctx context.Context) error {
	if err := p.wait(ctx); err != nil || p.limiter == nil {
		return err
	}
	return p.limiter.Wait(ctx)
}

// measure asks for the load again and again. It fails closed: a question that fails, panics or does not come back in time
// is an answer, and the sweep waits.
func (p *pace) measure(ctx context.Context, every time.Duration) {
	if p.load == nil {
		return
	}
	var late chan error // of a question that was not answered in time: a load that ignores its context is not asked again
	for ctx.Err() == nil {
		err := fmt.Errorf("no answer within %s", every)
		if len(late) > 0 { // too late to say anything of now
			late = nil
		}
		if late == nil {
			asking, cancel := context.WithTimeout(ctx, every)
			answer := p.ask(asking)
			select {
			case err = <-answer:
			case <-asking.Done():
				late = answer
			}
			cancel()
		}
		p.mu.Lock()
		p.measured, p.tooHigh = true, ""
		if err != nil {
			p.tooHigh = "load: " + err.Error()
		}
		p.mu.Unlock()
		if sleep(ctx, every) != nil {
			return
		}
	}
}

// ask puts the question on a goroutine of its own, which always answers.
func (p *pace) ask(ctx context.Context) chan error {
	answer := make(chan error, 1)
	go func() {
		err := errExit
		defer func() { answer <- err }()
		err = contained(func() error { return p.load(ctx) })
	}()
	return answer
}
