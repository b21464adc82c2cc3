package kmsmigrate

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// PhaseSwitch is a [PhaseSource] that can be changed while the application runs, for every Client that has it. The zero
// value is in phase OldOnly. It is safe for concurrent use.
type PhaseSwitch struct {
	mu      sync.Mutex // held by whoever changes the phase, so that two steps at once cannot make a jump
	current atomic.Uint32
}

// NewPhaseSwitch returns a switch that starts in phase p, which is the caller's to know: a process that starts late
// starts in the phase of the fleet. It fails with [ErrPhase] when p is none of the five phases.
func NewPhaseSwitch(p Phase) (*PhaseSwitch, error) {
	s := new(PhaseSwitch)
	return s, s.Jump(p)
}

// Current returns the phase that the switch is in.
func (s *PhaseSwitch) Current() Phase { return Phase(s.current.Load()) }

// Set moves to the phase before or after the current one. Setting the current phase does nothing. These steps it refuses
// with [ErrPhase]:
//   - over a neighbour, because processes two phases apart cannot read each other's data;
//   - into NewOnly, which needs a census with nothing left on the old side, and from ReadBoth back to OldOnly, which needs
//     one with nothing on the new side: use [PhaseSwitch.SetProven].
func (s *PhaseSwitch) Set(p Phase) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.Current()
	if err := step(from, p); err != nil {
		return err
	}
	if _, ok := gives(from, p); ok {
		return fmt.Errorf("kmsmigrate: from %s to %s needs a census: take one and call SetProven: %w", from, p, ErrPhase)
	}
	s.current.Store(uint32(p))
	return nil
}

// SetProven is Set for the two steps that give up reading a side: into NewOnly, and from ReadBoth back to OldOnly. It takes a
// census of every place that holds ciphertext of the keys: each table, each column, each store. Which those are only the
// application knows, and one that is left out can lose its data with the key. Each census must be complete, must have
// begun after since, the moment at which the last process of the fleet stopped writing to that side, and must show nothing
// left there and nothing that no key owns; together they must count at least one record, because a census of the
// wrong place finds nothing too. Otherwise the step is refused with [ErrPhase], and the error says what stands in the way.
func (s *PhaseSwitch) SetProven(p Phase, since time.Time, censuses ...Census) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.Current()
	if err := step(from, p); err != nil {
		return err
	}
	if side, ok := gives(from, p); ok {
		var records int64
		for _, census := range censuses {
			if since.IsZero() || !census.Started.After(since) {
				return fmt.Errorf("kmsmigrate: from %s to %s: the census began before every process had stopped writing to the %s side: %w", from, p, side, ErrPhase)
			}
			if err := census.Clear(side); err != nil {
				return fmt.Errorf("kmsmigrate: from %s to %s: %w: %w", from, p, err, ErrPhase)
			}
			records += census.Records
		}
		if records == 0 {
			return fmt.Errorf("kmsmigrate: from %s to %s: no census has counted a record: are they of the right tables? Where there is nothing, Jump: %w", from, p, ErrPhase)
		}
	}
	s.current.Store(uint32(p))
	return nil
}

// Jump moves to any phase, with no questions asked, for who knows better: a test, or a process that was told late. It
// fails with [ErrPhase] only when p is none of the five phases.
func (s *PhaseSwitch) Jump(p Phase) error {
	if err := p.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(uint32(p))
	return nil
}

// step refuses unknown phases and jumps.
func step(from, to Phase) error {
	if err := to.check(); err != nil {
		return err
	}
	if to > from+1 || from > to+1 {
		return fmt.Errorf("kmsmigrate: from %s to %s jumps over a phase: go one step at a time, and let every process arrive before the next: %w", from, to, ErrPhase)
	}
	return nil
}

// gives returns the side that a step gives up reading.
func gives(from, to Phase) (Side, bool) {
	switch {
	case from == to:
		return SideUnknown, false
	case to == NewOnly:
		return SideOld, true
	case to == OldOnly:
		return SideNew, true
	default:
		return SideUnknown, false
	}
}
