package alikms

import (
	"cmp"
	"time"
)

// Limits bounds the calls of one endpoint. Every zero field means its default.
type Limits struct {
	// Connect bounds the opening of a connection, and once more the TLS handshake. Zero: 3 seconds.
	Connect time.Duration
	// Call bounds a whole call: waiting for its turn, all attempts and the pauses between them. A shorter deadline of the
	// caller's context goes before it. Zero: 10 seconds.
	Call time.Duration
	// Attempts is how often one call is sent at most. Only throttling, 5xx and connections that failed before the answer are
	// repeated, after a random pause that grows. Zero: 4. One: nothing is repeated.
	Attempts int
	// Concurrency is how many calls run at once; the rest wait for their turn. There are never more connections than
	// that, nor more than calls at one time. Another is opened as a rule only after one was closed by the service, timed out while
	// idle or in its handshake, or carried a call that got no whole answer. Zero: 128.
	Concurrency int
	// QPS is how many calls a second this process may make, retries included: its part of the quota, which the service
	// counts per account and region on the shared gateway (1,000 for symmetric operations) and per instance on a
	// dedicated one; 0.95 of it is used. Zero: as many as the service bears. Below it, and without it, the rate falls when
	// the service throttles, and grows again while it does not: background work then keeps to that rate, and foreground calls
	// do so for up to 250 ms each, for what is throttled may be the doing of others.
	QPS float64
	// ForegroundShare is the part of QPS and Concurrency, 0 to 1, that work under kmsmigrate.Background leaves free, so
	// that other calls find room at once. Background work has what they do not use. Zero: 0.2.
	ForegroundShare float64
	// BreakAfter is how many failures in a row stop calls to the endpoint for a moment, 250 ms to 5 s, after which one
	// attempt tells. Only failures that are ErrUnavailable count. Calls fail at once meanwhile; background calls wait.
	// Zero: 20. Negative: never.
	BreakAfter int
}

func (l Limits) defaults() (Limits, error) {
	if l.Connect < 0 || l.Call < 0 || l.Attempts < 0 || l.Concurrency < 0 || l.QPS < 0 {
		return l, invalid("Limits: a field is negative")
	}
	if !(l.ForegroundShare >= 0 && l.ForegroundShare <= 0.95) {
		return l, invalid("Limits.ForegroundShare is %g, and must be 0 to 0.95: background work would stand still", l.ForegroundShare)
	}
	l.Connect = cmp.Or(l.Connect, 3*time.Second)
	l.Call = cmp.Or(l.Call, 10*time.Second)
	l.Attempts = cmp.Or(l.Attempts, 4)
	l.Concurrency = cmp.Or(l.Concurrency, 128)
	l.ForegroundShare = cmp.Or(l.ForegroundShare, 0.2)
	l.BreakAfter = max(0, cmp.Or(l.BreakAfter, 20))
	return l, nil
}
