package rekey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

const (
	badAnswers = 4                     // tries at a record whose answers cannot be right, before it is quarantined
	busyTries  = 4                     // tries at a record that is locked, before it is left to who holds it
	busyPause  = 20 * time.Millisecond // after the first; four times as long after each further one
)

// work renews records until there are no more.
func (s *sweep) work() {
	returned := false
	defer func() {
		if !returned { // the store or the codec has called runtime.Goexit, as a test's FailNow does
			s.workers.Go(s.work)
		}
	}()
	for it := range s.tasks {
		s.one(it)
	}
	returned = true
}

// one renews a record and gives back what it holds, also where its goroutine is ended meanwhile.
func (s *sweep) one(it *item) {
	returned := false
	defer func() {
		if !returned {
			s.stop(errExit)
		}
		for _, next := range s.groups.leave(it) {
			s.tasks <- next
		}
		s.room.give(it.bytes)
		s.flying.Done()
	}()
	if s.ctx.Err() == nil && s.renew(it) {
		s.mark.finish(it.at)
		s.report.nOpen.Add(-1)
	}
	returned = true
}

// renew does everything for one record. It returns false where the record is not finished because the sweep stops.
func (s *sweep) renew(it *item) bool {
	var bad, busy int
	var since time.Time // of the first try in this outage
	for {
		if s.gate.wait(s.ctx) != nil || s.pace.turn(s.ctx) != nil {
			return false
		}
		began := time.Now()
		what, err := s.try(it)
		s.pace.done()
		if s.ctx.Err() != nil && err != nil {
			return false
		}
		switch what {
		case kindDone:
			s.gate.open()
			return true
		case kindConflict:
			s.gate.open()
			s.streak.end()
			s.report.conflict()
			s.o.Contended.add(it.rec.ID)
			return true
		case kindRecord:
			s.gate.open()
			s.quarantine(it.rec.ID, it.class, reasonOf(err), err)
			return s.ctx.Err() == nil
		case kindFatal:
			s.stop(fmt.Errorf("rekey: stopped at record %q: %w", it.rec.ID, err))
			return false
		case kindBusy:
			if busy++; busy == busyTries {
				s.report.busy()
				return true
			}
			if sleep(s.ctx, busyPause<<(2*(busy-1))) != nil {
				return false
			}
		case kindOutage, kindStore:
			s.report.retry()
			if what == kindOutage {
				s.o.Fleet.failed(err)
			}
			if errors.Is(err, kmsmigrate.ErrBadAnswer) {
				if bad++; bad == badAnswers {
					s.quarantine(it.rec.ID, it.class, ReasonBadAnswer, err)
					return s.ctx.Err() == nil
				}
			}
			if since.IsZero() {
				since = began
			}
			if reason := s.ofOne(it, what, err, since); reason != "" {
				s.quarantine(it.rec.ID, it.class, reason, err)
				return s.ctx.Err() == nil
			}
			if err := s.gate.fail(began, err, s.o.Patience); err != nil {
				s.stop(err)
				return false
			}
		}
	}
}

// ofOne tells an outage of one key among several, or of one record in the store or at the service, from one of everything:
// others were renewed while this one was tried for as long as patience lasts. It returns the reason to quarantine the record
// for, or "". Where nothing of its key was renewed meanwhile, records of that key are tried once from then on, and do not hold
// up the rest, until one succeeds.
func (s *sweep) ofOne(it *item, what kind, err error, since time.Time) string {
	of := what == kindOutage && it.key != (kmsmigrate.KeyRef{})
	switch {
	case of && s.dead.has(it.key):
		return ReasonKeyDown
	case !of && what != kindStore:
		return ""
	}
	patience := s.o.Patience
	if errors.Is(err, kmsmigrate.ErrDenied) || errors.Is(err, kmsmigrate.ErrKeyState) {
		patience = min(patience, configPatience)
	}
	if time.Since(since) < patience || !s.report.renewedSince(since) {
		return ""
	}
	switch {
	case what == kindStore:
		return ReasonStore
	case s.dead.renewedSince(it.key, since):
		return ReasonService
	}
	s.dead.add(it.key)
	return ReasonKeyDown
}

// kindDone is what try returns for a record that is finished and counted.
const kindDone kind = 255

// try renews and swaps once.
func (s *sweep) try(it *item) (kind, error) {
	// The fleet's turn comes first: the time-out is the record's, and the wait can take longer.
	if it.leads || it.group == ([32]byte{}) {
		if err := s.o.Fleet.turn(s.ctx); err != nil {
			return kindOutage, err
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Timeout)
	defer cancel()
	var renewed kmsmigrate.Renewed
	err := contained(func() (err error) {
		renewed, err = it.codec.Renew(ctx, it.rec.Value, it.rec.Context)
		return err
	})
	switch {
	case errors.Is(err, errPanic):
		return kindFatal, err
	case err != nil:
		return renewKind(err), err
	}
	it.known = true
	if renewed.Ciphertext == nil {
		s.report.alreadyNew(false)
		it.class.count(func(c *ClassCount) { c.AlreadyNew++ })
		s.streak.end()
		return kindDone, nil
	}
	began := time.Now()
	err = contained(func() error {
		return s.batches.swap(ctx, s.store, Swap{ID: it.rec.ID, Prev: it.rec.Value, Next: renewed.Ciphertext})
	})
	s.pace.width.swapped(time.Since(began))
	switch {
	case errors.Is(err, errPanic):
		return kindFatal, err
	case err != nil:
		return swapKind(err), err
	}
	n := s.report.swapped()
	s.dead.renewed(it.key)
	s.streak.end()
	if s.o.ReadBack > 0 && n%int64(s.o.ReadBack) == 1%int64(s.o.ReadBack) {
		if err := s.readBack(ctx, it, renewed.Ciphertext); err != nil {
			s.quarantine(it.rec.ID, it.class, ReasonMismatch, err)
			return kindDone, nil
		}
	}
	s.report.nRenewed.Add(1)
	it.class.count(func(c *ClassCount) { c.Renewed++ })
	return kindDone, nil
}

// rehearse counts what would be done with a record.
func (s *sweep) rehearse(it *item) {
	if it.group == ([32]byte{}) {
		s.report.nBare.Add(1)
	} else {
		s.keys.add(it.group)
	}
	s.report.nStale.Add(1)
	s.report.nBytes.Add(int64(len(it.rec.Value)))
	it.class.count(func(c *ClassCount) { c.Stale++ })
}

// readBack opens what the store holds now. When what was written does not open, the sweep stops. When something else is
// there that does not open, the store has changed it or another writer has, and that is the error.
func (s *sweep) readBack(ctx context.Context, it *item, written []byte) error {
	getter, ok := s.store.(Getter)
	if !ok {
		return nil
	}
	intact := false
	err := contained(func() error {
		rec, err := getter.Get(ctx, it.rec.ID)
		if err != nil || len(rec.Value) == 0 {
			return nil //nolint:nilerr // deleted meanwhile, or the database hiccups: that says nothing of the record
		}
		intact = bytes.Equal(rec.Value, written)
		opened, err := it.codec.Open(ctx, rec.Value, rec.Context)
		clear(opened.Plaintext)
		s.report.nReadBack.Add(1)
		return err
	})
	switch {
	case err == nil || renewKind(err) == kindOutage || errors.Is(err, net.ErrClosed):
	case !intact:
		return err
	default:
		s.stop(fmt.Errorf("rekey: stopped, because the renewed record %q was read back and does not open: %w", it.rec.ID, err))
	}
	return nil
}

// quarantine reports a record that stays as it is, and pauses or stops the sweep where too many in a row do.
func (s *sweep) quarantine(id string, class *class, reason string, err error) {
	class.count(func(c *ClassCount) { c.Quarantined++ })
	q := Quarantined{ID: id, Reason: reason, Err: err.Error(), At: time.Now()}
	s.report.quarantine(q)
	if s.o.Quarantine != nil {
		if err := contained(func() error { s.o.Quarantine(q); return nil }); err != nil {
			s.stop(err)
		}
	}
	n := s.streak.add(reason)
	switch {
	case s.o.MaxInARow <= 0 || n < s.o.MaxInARow:
	case s.o.Pause == nil || s.o.StopInARow || s.o.DryRun:
		s.stop(fmt.Errorf("rekey: stopped after %d records in a row were quarantined (%s): it is not the records that are wrong; the last error: %w", n, reason, err))
	default:
		s.streak.end() // as many again, before the next pause
		s.o.Pause.hold(fmt.Sprintf("paused after %d records in a row were quarantined (%s): it is not the records that are wrong; the last error: %v", n, reason, err))
	}
}

// streak counts records in a row that were quarantined for one reason.
type streak struct {
	mu     sync.Mutex
	reason string
	n      int64
}

func (s *streak) add(reason string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != reason {
		s.reason, s.n = reason, 0
	}
	s.n++
	return s.n
}

// readable says that the headers of records can be read. Of the keys it says nothing, so that it ends no streak of theirs.
func (s *streak) readable() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == ReasonUnreadable || s.reason == ReasonNoCodec {
		s.n = 0
	}
}

func (s *streak) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = 0
}

// deadKeys are keys that are down while others are not.
type deadKeys struct {
	mu   sync.Mutex
	keys map[kmsmigrate.KeyRef]bool
	last map[kmsmigrate.KeyRef]time.Time // when a record of the key was renewed last
}

func (d *deadKeys) has(key kmsmigrate.KeyRef) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys[key]
}

func (d *deadKeys) add(key kmsmigrate.KeyRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		d.keys = map[kmsmigrate.KeyRef]bool{}
	}
	d.keys[key] = true
}

// renewed notes that a record of the key was renewed: it is not down.
func (d *deadKeys) renewed(key kmsmigrate.KeyRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = map[kmsmigrate.KeyRef]time.Time{}
	}
	d.last[key] = time.Now()
	delete(d.keys, key)
}

// renewedSince reports whether a record of the key was renewed after t.
func (d *deadKeys) renewedSince(key kmsmigrate.KeyRef, t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last[key].After(t)
}
