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
	// that, nor more than calls at one time. Zero: 128.
	Concurrency int
}

func (l Limits) defaults() (Limits, error) {
	if l.Connect < 0 || l.Call < 0 || l.Attempts < 0 || l.Concurrency < 0 {
		return l, invalid("Limits: a field is negative")
	}
	l.Connect = cmp.Or(l.Connect, 3*time.Second)
	l.Call = cmp.Or(l.Call, 10*time.Second)
	l.Attempts = cmp.Or(l.Attempts, 4)
	l.Concurrency = cmp.Or(l.Concurrency, 128)
	return l, nil
}
