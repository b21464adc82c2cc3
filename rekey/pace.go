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
type Pause struct{ why atomic.Pointer[string] } // nil: they run

// Set pauses (true) or resumes (false), whoever has paused. What is under way is finished.
func (p *Pause) Set(paused bool) {
	if !paused {
		p.why.Store(nil)
		return
	}
	why := "paused"
	p.why.Store(&why)
}

// Paused reports whether sweeps are paused.
func (p *Pause) Paused() bool { return p.Why() != "" }

// Why says why sweeps are paused: "paused" after Set, or what a sweep of Options.MaxInARow has found. Empty where they run.
func (p *Pause) Why() string {
	if p == nil {
		return ""
	}
	if why := p.why.Load(); why != nil {
		return *why
	}
	return ""
}

// hold pauses for a reason, where nobody has paused before.
func (p *Pause) hold(why string) { p.why.CompareAndSwap(nil, &why) }

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
	steer   func(context.Context, Pressure) (float64, error)
	width   *steering     // nil: nobody steers
	limiter *rate.Limiter // nil: no ceiling

	mu       sync.Mutex
	tooHigh  string // why the load holds the sweep back; empty when it does not
	measured bool
}

// paceCheck is how often a worker that is held back looks again.
const paceCheck = 200 * time.Millisecond

func newPace(o Options) *pace {
	p := &pace{pause: o.Pause, window: o.Window, load: o.Load, steer: o.Steer}
	if o.Steer != nil {
		p.width = newSteering(o.Workers)
	}
	if o.PerSecond > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(o.PerSecond), int(math.Max(1, o.PerSecond/10)))
	}
	return p
}

// held says why the sweep should not move now, or "".
func (p *pace) held() string {
	why := p.pause.Why()
	switch {
	case why != "":
		return why
	case !p.window.open(time.Now()):
		return "outside of its hours"
	}
	if why = p.width.shut(); why != "" || p.load == nil {
		return why
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

// turn is wait, and then waits for the ceiling and for a place, which done gives back.
func (p *pace) turn(ctx context.Context) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	if p.limiter != nil {
		if err := p.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	return p.width.enter(ctx)
}

func (p *pace) done() { p.width.leave() }

// measure asks for the load again and again, and waits where it is not known.
func (p *pace) measure(ctx context.Context, every time.Duration) {
	var asking sync.WaitGroup
	if p.load != nil {
		asking.Go(func() {
			poll(ctx, every, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.load(ctx) }, func(_ struct{}, err error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.measured, p.tooHigh = true, ""
				if err != nil {
					p.tooHigh = "load: " + err.Error()
				}
			})
		})
	}
	if p.steer != nil {
		asking.Go(func() {
			poll(ctx, every, func(ctx context.Context) (float64, error) { return p.steer(ctx, p.width.pressure()) }, p.width.hear)
		})
	}
	asking.Wait()
}
