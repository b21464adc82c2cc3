package rekey

import (
	"sync"
	"time"
)

// recentMarks bounds how many records a Rekeyer remembers to have tried.
const recentMarks = 8192

// recent remembers for a while which records were tried, so that a hot record whose rewrite fails costs no KMS calls on
// every read, and a late reader of bytes that were just replaced costs none at all. It forgets the oldest when full.
type recent struct {
	keep time.Duration
	last map[mark]time.Time
	ring []mark // in order of arrival, from oldest
	next int    // where the oldest is once the ring is full
}

func (r *recent) has(m mark) bool {
	at, ok := r.last[m]
	if !ok {
		return false
	}
	return time.Since(at) < r.keep
}

func (r *recent) add(m mark) {
	if _, ok := r.last[m]; !ok {
		if len(r.ring) < recentMarks {
			r.ring = append(r.ring, m)
		} else {
			delete(r.last, r.ring[r.next])
			r.ring[r.next] = m
			r.next = (r.next + 1) % recentMarks
		}
	}
	r.last[m] = time.Now()
}

// Contended remembers which records of one store others are writing, so that neither lazy rewrites nor sweeps spend KMS calls
// on them for a while, whatever they hold by now. Give one to everything in a process that works on the store: it is
// Config.Contended and Options.Contended. It holds some eight thousand ids at most, and forgets the oldest. The zero
// value is ready. It is safe for concurrent use.
type Contended struct {
	// For is how long a record is left alone. Zero means one minute.
	For time.Duration

	mu     sync.Mutex
	recent recent
}

// has reports whether a record is to be left alone; of nil, no.
func (c *Contended) has(id string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.has(mark{id: id})
}

// add notes a conflict.
func (c *Contended) add(id string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent.last == nil {
		c.recent.last = map[mark]time.Time{}
		c.recent.keep = c.For
		orDefault(&c.recent.keep, time.Minute)
	}
	c.recent.add(mark{id: id})
}
