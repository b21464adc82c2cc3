package alikms

import "time"

// ceiling is the rate that the service was found to bear. There is none until it throttles: then the rate falls a little below
// the one at which that happened, comes near to it again quickly, lingers there for some seconds, and only then looks for more,
// faster and faster. That is the curve of TCP CUBIC (RFC 9438), of the rate instead of the window. As there, a cut is made once
// per round trip: what was sent before a cut says nothing about the rate after it. Where a good part of what was sent after it is
// refused all the same, the part that was not is what the service bears, and the next cut goes there (as in DCTCP, RFC 8257).
type ceiling struct {
	low, peak float64       // the rate after the last cut, and the one before it; 0: nobody knows
	calm      time.Duration // since the cut, as far as calls wanted as much as there was
	cut       time.Time

	good, bad float64   // answers since then to what was sent since the cut
	counted   time.Time // from the cut on, or from when throttling began where nobody knew a rate
}

const (
	dip       = 0.07            // of the peak is given up at a cut
	regain    = 5 * time.Second // until the rate is at the peak again
	enough    = 20              // answers tell what part of them is refused; fewer do after half of
	longest   = 2 * time.Second
	leastRate = 20 // per second; below it the pauses between attempts do. The smallest quota of a crypto operation is 200.
	forgetAt  = 20 // times the peak without throttling: there is no limit any more
)

func (c *ceiling) rate() float64 {
	if c.peak == 0 {
		return 0
	}
	x := c.calm.Seconds()/regain.Seconds() - 1
	return max(leastRate, c.peak+(c.peak-c.low)*x*x*x)
}

// grow lets time pass in which calls were held up by the rate. A rate that nobody asks for does not grow: it was not tried.
func (c *ceiling) grow(short time.Duration) {
	if c.calm += short; c.rate() > forgetAt*c.peak {
		c.forget()
	}
}

func (c *ceiling) forget() { c.low, c.peak, c.calm = 0, 0, 0 }

// served counts an answer that is no throttling.
func (c *ceiling) served(now time.Time, took time.Duration) {
	if !now.Add(-took).Before(c.cut) {
		c.good++
	}
}

// refused counts a throttled answer and reports whether it made the rate fall.
func (c *ceiling) refused(now time.Time, took time.Duration) bool {
	if now.Add(-took).Before(c.cut) {
		return false
	}
	passed := now.Sub(c.counted)
	if c.peak == 0 && passed > longest {
		c.counted, c.good, c.bad = now, 0, 1
		return false
	}
	c.bad++
	all := c.good + c.bad
	if passed < took || all < enough && passed < longest/2 {
		return false
	}
	was, over := c.rate(), passed-took // answers began to come one round trip after the cut
	if was == 0 {
		was, over = max(leastRate, all/max(passed, time.Millisecond).Seconds()), passed
	}
	borne := was * c.good / all
	if passed < longest/2 { // soon again: count what came through, for after a cut calls come back slowly
		borne = min(borne, c.good/max(over, time.Millisecond).Seconds())
	}
	*c = ceiling{low: borne * (1 - dip), peak: was, cut: now, counted: now}
	return true
}
