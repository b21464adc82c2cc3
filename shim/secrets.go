package shim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Secrets says which secrets are read from the new side already. The zero value says none. It is safe for concurrent use.
//
// A secret is switched after its copy was made and compared; Transport.SwitchSecret compares and switches. Until then every operation on it
// goes to the old side, also in a phase that reads both: a source that was rotated makes a copy stale, and nobody notices. For that reason a
// write that a shim sends to the old side, back in phase OldOnly, makes it forget that the secret was switched.
//
// Each process holds its own Secrets, and none hears of another's: switch in all of them, or name the secrets in the migration file, before
// any of them writes the secret.
type Secrets struct {
	mu       sync.RWMutex
	all      bool
	switched map[string]bool
	apart    map[string]bool // forgotten since SwitchAll
}

// Switch makes the new side answer for secrets of these names, without comparing anything.
func (s *Secrets) Switch(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.switched == nil {
		s.switched = map[string]bool{}
	}
	for _, name := range names {
		s.switched[name] = true
		delete(s.apart, name)
	}
}

// SwitchBack makes the old side answer again for secrets of these names.
func (s *Secrets) SwitchBack(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = false
	for _, name := range names {
		delete(s.switched, name)
	}
}

// SwitchAll makes the new side answer for every secret, also those that nobody named.
func (s *Secrets) SwitchAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.apart = true, nil
}

// Switched returns the names given to Switch, in order.
func (s *Secrets) Switched() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.switched))
}

func (s *Secrets) has(name string) bool {
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all && !s.apart[name] || s.switched[name]
}

// forget makes one secret what it was before it was switched, by its name or with all.
func (s *Secrets) forget(name string) {
	if !s.has(name) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.switched, name)
	if s.apart == nil {
		s.apart = map[string]bool{}
	}
	s.apart[name] = true
}

// readsSecret reports whether an operation on a secret changes nothing.
func readsSecret(action string) bool {
	return strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "List")
}

// canSwitch refuses to compare before the new side is read at all: what is written after that goes to the old side alone.
func canSwitch(phase kmsmigrate.Phase) error {
	if phase == kmsmigrate.OldOnly {
		return fmt.Errorf("shim: no secret is switched in phase old-only, whose writes go to the old side: go to read-both first: %w", kmsmigrate.ErrPhase)
	}
	return nil
}

// secretSide is the side that owns a secret now.
func (r *router) secretSide(phase kmsmigrate.Phase, name string) kmsmigrate.Side {
	if phase == kmsmigrate.NewOnly || r.secrets.has(name) && phase != kmsmigrate.OldOnly {
		return kmsmigrate.SideNew
	}
	return kmsmigrate.SideOld
}

// switchSecret compares the copy of a secret with its source and, where they agree, switches it.
func (r *router) switchSecret(ctx context.Context, name string) error {
	if r.secrets == nil {
		return invalid("Config.Secrets is nil, so there is nothing to switch")
	}
	if err := canSwitch(r.phase.Current()); err != nil {
		return err
	}
	if r.sides[kmsmigrate.SideOld] == nil || r.sides[kmsmigrate.SideNew] == nil {
		return invalid("comparing a secret needs both sides")
	}
	var got [3]*answer
	for _, s := range []kmsmigrate.Side{kmsmigrate.SideOld, kmsmigrate.SideNew} {
		got[s] = r.send(ctx, s, false, "GetSecretValue", params{"SecretName": name})
		if !got[s].ok() {
			return fmt.Errorf("shim: secret %q on the %s side: %s", clip(name), s, got[s].text("Code"))
		}
	}
	for _, field := range []string{"SecretData", "SecretDataType", "SecretType", "VersionId"} {
		if got[kmsmigrate.SideOld].text(field) != got[kmsmigrate.SideNew].text(field) {
			return fmt.Errorf("shim: secret %q: the %s of the copy differs from the source's; copy it again", clip(name), field)
		}
	}
	r.secrets.Switch(name)
	return nil
}
