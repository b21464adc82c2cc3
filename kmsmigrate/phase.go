package kmsmigrate

import (
	"fmt"
	"strings"
)

// Phase says which side a process writes with, which sides it reads, and whether it rewrites what it reads. Phases are
// ordered. Two processes that are at most one phase apart can share their data.
//
//	Phase     writes  reads  rewrites
//	OldOnly   old     old    no
//	ReadBoth  old     both   no
//	WriteNew  new     both   no
//	Rewrite   new     both   yes
//	NewOnly   new     new    no
//
// A Phase is its own [PhaseSource], so a constant can be used where a source is asked for.
type Phase uint8

// The phases, in the order in which a migration goes through them.
const (
	OldOnly  Phase = iota // nothing has changed yet
	ReadBoth              // every process can read what the next phase writes
	WriteNew              // new data goes to the new key
	Rewrite               // old data follows it, as it is read and by a sweep
	NewOnly               // the old key is no longer asked; entered on a census that shows nothing left
)

var phaseNames = [...]string{"old-only", "read-both", "write-new", "rewrite", "new-only"}

// ParsePhase returns the phase of its text form: old-only, read-both, write-new, rewrite or new-only.
func ParsePhase(text string) (Phase, error) {
	for i, name := range phaseNames {
		if text == name {
			return Phase(i), nil
		}
	}
	return OldOnly, fmt.Errorf("kmsmigrate: unknown phase %q: use one of %s: %w", text, strings.Join(phaseNames[:], ", "), ErrInvalid)
}

// String returns the text form: "write-new".
func (p Phase) String() string {
	if !p.Valid() {
		return fmt.Sprintf("phase(%d)", uint8(p))
	}
	return phaseNames[p]
}

// MarshalText returns the text form; it fails for a phase that is none of the five.
func (p Phase) MarshalText() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads the text form, so that a Phase can stand in JSON, YAML, flags and environment variables.
func (p *Phase) UnmarshalText(text []byte) error {
	parsed, err := ParsePhase(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}

// Valid reports whether p is one of the five phases.
func (p Phase) Valid() bool { return int(p) < len(phaseNames) }

// Current returns p: a Phase is a PhaseSource that never changes.
func (p Phase) Current() Phase { return p }

// Reads reports whether a process in phase p asks side s to open ciphertext.
func (p Phase) Reads(s Side) bool {
	switch s {
	case SideOld:
		return p < NewOnly
	case SideNew:
		return p > OldOnly
	default:
		return false
	}
}

// Writes returns the side that a process in phase p encrypts with.
func (p Phase) Writes() Side {
	if p >= WriteNew {
		return SideNew
	}
	return SideOld
}

// Rewrites reports whether a process in phase p moves what it reads from the old side to the new one.
func (p Phase) Rewrites() bool { return p == Rewrite }

func (p Phase) check() error {
	if p.Valid() {
		return nil
	}
	return fmt.Errorf("kmsmigrate: %s is none of the five phases: %w", p, ErrPhase)
}

// PhaseSource tells the phase that a process is in. Clients read it once for each operation, so it must not block. One
// source can serve any number of Clients. [PhaseSwitch] is one that can be changed at run time.
type PhaseSource interface {
	Current() Phase
}
