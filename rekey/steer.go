package rekey

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// Pressure is what a sweep has noticed since Options.Steer was last asked.
type Pressure struct {
	Swaps int64         // swaps that the store answered, whatever it said
	Mean  time.Duration // how long one took, the wait for a lock included; 0 without swaps
	Width int           // how many records may be renewed at once now
}

// steering widens and narrows a sweep by what Options.Steer says: wider by an eighth of the workers while the load can be
// borne, half as wide at once when it cannot, and shut when that is not enough or nobody knows.
type steering struct {
	most int // Options.Workers

	mu      sync.Mutex
	width   int
	used    int
	why     string        // it is shut; empty where it is not
	changed chan struct{} // closed, and made anew, when somebody may go

	swaps int64 // since the last question
	took  time.Duration
}

func newSteering(most int) *steering {
	return &steering{most: most, why: "the load is not known yet", changed: make(chan struct{})}
}

// enter waits for a place among those that are under way.
func (s *steering) enter(ctx context.Context) error {
	if s == nil {
		return nil
	}
	for {
		s.mu.Lock()
		if s.used < s.width {
			s.used++
			s.mu.Unlock()
			return ctx.Err()
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave gives the place back.
func (s *steering) leave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.wake()
}

func (s *steering) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// swapped notes how long a swap took.
func (s *steering) swapped(took time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swaps++
	s.took += took
}

// pressure returns what was noticed since it was called last.
func (s *steering) pressure() Pressure {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Pressure{Swaps: s.swaps, Width: s.width}
	if s.swaps > 0 {
		p.Mean = s.took / time.Duration(s.swaps)
	}
	s.swaps, s.took = 0, 0
	return p
}

// hear takes an answer.
func (s *steering) hear(load float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.width, s.why = 0, "load: "+err.Error()
	case math.IsNaN(load) || load < 0:
		s.width, s.why = 0, fmt.Sprintf("load: %v is no load", load)
	case load > 1:
		s.width /= 2
		s.why = fmt.Sprintf("load: %.2f of what can be borne", load)
	default:
		s.width = min(s.most, s.width+max(1, s.most/8))
	}
	if s.width > 0 {
		s.why = ""
		s.wake()
	}
}

// shut says why nothing may go, or "".
func (s *steering) shut() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// now returns the width, 0 where nobody steers.
func (s *steering) now() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width
}

// poll asks a question again and again until ctx is done. It fails closed: a question that fails, panics or does not come
// back in time is an error, and one that ignores its context is not asked a second time beside itself.
func poll[T any](ctx context.Context, every time.Duration, question func(context.Context) (T, error), hear func(T, error)) {
	type answer struct {
		value T
		err   error
	}
	ask := func(ctx context.Context) chan answer {
		answers := make(chan answer, 1)
		go func() {
			a := answer{err: errExit}
			defer func() { answers <- a }()
			a.err = contained(func() (err error) { a.value, err = question(ctx); return err })
		}()
		return answers
	}
	var late chan answer // of a question that was not answered in time
	for ctx.Err() == nil {
		a := answer{err: fmt.Errorf("no answer within %s", every)}
		if len(late) > 0 { // too late to say anything of now
			late = nil
		}
		if late == nil {
			asking, cancel := context.WithTimeout(ctx, every)
			answers := ask(asking)
			select {
			case a = <-answers:
			case <-asking.Done():
				late = answers
			}
			cancel()
		}
		hear(a.value, a.err)
		if sleep(ctx, every) != nil {
			return
		}
	}
}
