package rekey

import (
	"container/list"
	"context"
	"sync"
)

// groups holds back records that share a wrapped data key until the first of them is renewed, so that the workers are busy
// with different data keys and each of them costs its KMS calls once.
type groups struct {
	mu      sync.Mutex
	waiting map[[32]byte][]*item // an entry exists while a leader is under way
}

// enter reports whether the item may go now. Otherwise leave will return it.
func (g *groups) enter(it *item) bool {
	if it.group == ([32]byte{}) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if rest, led := g.waiting[it.group]; led {
		g.waiting[it.group] = append(rest, it)
		return false
	}
	it.leads = true
	g.waiting[it.group] = nil
	return true
}

// leave returns who may go now that it is done: all that waited where its data key was renewed, else one, the next leader.
func (g *groups) leave(it *item) []*item {
	if !it.leads {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	rest := g.waiting[it.group]
	if it.known || len(rest) == 0 {
		delete(g.waiting, it.group)
		return rest
	}
	rest[0].leads = true
	g.waiting[it.group] = rest[1:]
	return rest[:1]
}

// room bounds what is in flight. One record is always let in, however large.
type room struct {
	mu      sync.Mutex
	records int
	bytes   int64
	used    int
	usedB   int64
	freed   chan struct{} // holds one token when something was given back
}

func (r *room) take(ctx context.Context, bytes int64) error {
	for {
		r.mu.Lock()
		if r.used == 0 || r.used < r.records && r.usedB+bytes <= r.bytes {
			r.used++
			r.usedB += bytes
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		select {
		case <-r.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *room) give(bytes int64) {
	r.mu.Lock()
	r.used--
	r.usedB -= bytes
	r.mu.Unlock()
	select {
	case r.freed <- struct{}{}:
	default: // only the reader waits, and one token is enough for it
	}
}

// watermark knows the id up to which every record is finished. It holds a step for each record in flight and at most one
// for what is finished between two of them, so it does not grow with what was scanned.
type watermark struct {
	mu    sync.Mutex
	after string
	steps list.List // of *step, in the order of the scan
}

type step struct {
	id   string
	done bool
	at   *list.Element
}

// start adds a record that is not finished.
func (w *watermark) start(id string) *step {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &step{id: id}
	s.at = w.steps.PushBack(s)
	return s
}

// pass adds a record that is finished already.
func (w *watermark) pass(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.steps.Back()
	if last == nil {
		w.after = id
		return
	}
	if s := stepAt(last); s.done {
		s.id = id
		return
	}
	s := &step{id: id, done: true}
	s.at = w.steps.PushBack(s)
}

// finish says that the record of s is finished.
func (w *watermark) finish(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.done = true
	if prev := s.at.Prev(); prev != nil && stepAt(prev).done {
		w.steps.Remove(prev)
	}
	if next := s.at.Next(); next != nil && stepAt(next).done {
		w.steps.Remove(s.at)
	}
	for first := w.steps.Front(); first != nil && stepAt(first).done; first = w.steps.Front() {
		w.after = stepAt(first).id
		w.steps.Remove(first)
	}
}

func stepAt(e *list.Element) *step {
	s, _ := e.Value.(*step) // nothing else is put in
	return s
}

func (w *watermark) reached() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.after
}
