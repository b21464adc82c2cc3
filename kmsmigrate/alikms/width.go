package alikms

import "time"

// width is how many background calls run at once. It falls when answers slow down or fail: a dedicated instance does not
// throttle, it gets slower.
type width struct {
	most    float64 // and never more than so many
	limit   float64
	running float64

	slowed time.Time
	base   time.Duration // latency of an answer when nothing is in its way
	based  time.Time
	smooth time.Duration // latency of late
}

const (
	slowTo       = 0.9 // of the background calls are left after a slow answer
	slowPause    = 100 * time.Millisecond
	slowFactor   = 2
	forgive      = 0.005 // of the base, per second
	slowAllowed  = 5 * time.Millisecond
	smoothFactor = 8
)

func (w *width) full() bool { return w.running+1 > max(1, w.limit) }

func (w *width) slower(now time.Time) {
	if now.Sub(w.slowed) >= slowPause {
		w.slowed = now
		w.limit = max(1, w.limit*slowTo)
	}
}

// answered follows the latency of answers.
func (w *width) answered(now time.Time, took time.Duration) {
	switch {
	case w.base == 0:
		w.base, w.smooth = took, took
	case took < w.base:
		w.base = took
	default: // a service that has become slower for good is forgiven in some minutes
		w.base += time.Duration(float64(w.base) * forgive * now.Sub(w.based).Seconds())
	}
	w.based = now
	w.smooth += (took - w.smooth) / smoothFactor
	if w.smooth > slowFactor*w.base+slowAllowed {
		w.slower(now)
		return
	}
	w.limit = min(w.most, w.limit+1/w.limit)
}
