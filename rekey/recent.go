package rekey

import "time"

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
