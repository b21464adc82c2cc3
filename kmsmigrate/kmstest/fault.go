package kmstest

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// Body replaces the body of an answer.
type Body string

// The bodies that gateways and proxies have been seen to send instead of an answer.
const (
	BodyEmpty       Body = "empty"        // nothing at all
	BodyObject      Body = "object"       // {}
	BodyNull        Body = "null"         // null
	BodyHTML        Body = "html"         // a load balancer's page
	BodyXMLError    Body = "xml-error"    // an error in XML, whatever format was asked for
	BodyNumericCode Body = "numeric-code" // an error whose Code is a JSON number
	BodyTruncated   Body = "truncated"    // the first half of the real answer
)

// Reset ends the connection without an answer.
type Reset string

// A reset comes before the work, so that nothing happened, or after it, so that everything happened and nobody knows.
const (
	ResetBefore Reset = "before"
	ResetAfter  Reset = "after"
)

// Fault is a rule: what goes wrong, and where. Fields combine: latency comes first, then the rest. The zero Match is everywhere.
type Fault struct {
	Match Match
	// Chance is the share of matching requests that are hit, 0 to 1. Zero: all of them.
	Chance float64
	// Times is how many requests are hit before the rule falls silent. Zero: no end.
	Times int

	// Latency delays the work until so long after the request's arrival. On an instance it is what overload looks like, for a dedicated gateway does not throttle.
	Latency time.Duration
	// Status and Code answer with an error in the face's own format, without doing the work. Status alone has the code that goes with it:
	// 429 Rejected.Throttling, 503 ServiceUnavailableTemporary, 413 no body, any other InternalFailure.
	// With Body, Status is the status of that body; zero is 200, or the one that belongs to the body.
	Status  int
	Code    string
	Message string
	// Body replaces the answer's body. The work has been done.
	Body Body
	// Reset drops the connection with a TCP reset.
	Reset Reset
	// Hang accepts the request and never answers it, until the client gives up.
	Hang bool
	// Before runs just before the work, and After between the work and the answer, on the request's goroutine: rotate or disable a key
	// there to see what happens between two calls.
	Before, After func()
	// ClockSkew judges the request's time stamp by a clock that is off by so much. Beyond 15 minutes either way it is refused.
	ClockSkew time.Duration
	// SlowBody sends the headers at once and the body in pieces, spread over this time.
	SlowBody time.Duration
	// Outage takes an address off the network: new connections are reset before a byte is read, and open ones at their next request. It is
	// matched by region and instance alone; a region without an instance is its gateway and all its instances.
	Outage bool
	// WrongCertificate makes new TLS connections see a certificate of a CA that nobody trusts. It is matched by region and instance alone.
	WrongCertificate bool
}

type rule struct {
	Fault
	left int // -1: no end
}

// faults holds the rules of a cloud.
type faults struct {
	active atomic.Int32 // how many rules there are; none is the usual case

	mu    sync.Mutex
	rules []*rule
	dice  *rand.Rand
}

func (f *faults) seed(n uint64) {
	f.dice = rand.New(rand.NewPCG(n, n)) //nolint:gosec // dice that repeat are wanted
}

// Inject adds a rule and returns the call that removes it.
func (c *Cloud) Inject(f Fault) (remove func()) {
	r := &rule{Fault: f, left: -1}
	if f.Times > 0 {
		r.left = f.Times
	}
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.rules = append(c.faults.rules, r)
	c.faults.active.Store(int32(len(c.faults.rules)))
	return func() {
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		c.faults.rules = slices.DeleteFunc(c.faults.rules, func(o *rule) bool { return o == r })
		c.faults.active.Store(int32(len(c.faults.rules)))
	}
}

// pick takes the rules that hit this request.
func (f *faults) pick(r *Request) plan {
	if f.active.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var p plan
	for _, u := range f.rules {
		if u.Outage && u.Match.place().fits("", r.Region, r.Instance, "", "") {
			p = append(p, Fault{Reset: ResetBefore})
			continue
		}
		if !u.WrongCertificate && u.Match.fits(r.Face, r.Region, r.Instance, r.Action, r.KeyID) && f.hits(u) {
			p = append(p, u.Fault)
		}
	}
	return p
}

func (f *faults) hits(u *rule) bool {
	if u.left == 0 || u.Chance > 0 && f.dice.Float64() >= u.Chance {
		return false
	}
	if u.left > 0 {
		u.left--
	}
	return true
}

// place is what is known of a connection before there is a request.
func (m Match) place() Match { return Match{Region: m.Region, Instance: m.Instance} }

func (f *faults) wrongCertificate(at *face) bool {
	return f.connection(at, func(u *rule) bool { return u.WrongCertificate })
}

func (f *faults) outage(at *face) bool {
	return f.connection(at, func(u *rule) bool { return u.Outage })
}

func (f *faults) connection(at *face, is func(*rule) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.rules {
		if is(u) && u.Match.place().fits("", at.door.Region.ID, at.instanceID(), "", "") && f.hits(u) {
			return true
		}
	}
	return false
}

// plan is the faults that hit one request, in the order in which they were injected.
type plan []Fault

func (p plan) any() bool { return len(p) > 0 }

// delay waits for the latencies of all faults, counted from when the request arrived, and reports false when the client went away meanwhile.
func (p plan) delay(ctx context.Context, arrived time.Time) bool {
	var d time.Duration
	for _, f := range p {
		d += f.Latency
	}
	if d -= time.Since(arrived); d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// skew is how far off the clock is that judges the request.
func (p plan) skew() (d time.Duration) {
	for _, f := range p {
		d += f.ClockSkew
	}
	return d
}

// before applies what comes before the work. over means that there will be no work.
func (p plan) before(ctx context.Context, c call) (answer reply, drop, over bool) {
	for _, f := range p {
		if f.Before != nil {
			f.Before()
		}
		switch {
		case f.Hang:
			<-ctx.Done()
			return reply{}, true, true
		case f.Reset == ResetBefore:
			return reply{}, true, true
		case f.Body == "" && (f.Status != 0 || f.Code != ""):
			answer := f.error(c)
			answer.slow = f.SlowBody
			return answer, false, true
		}
	}
	return reply{}, false, false
}

// after applies what comes between the work and the answer.
func (p plan) after(answer reply) (reply, bool) {
	for _, f := range p {
		if f.After != nil {
			f.After()
		}
		if f.Reset == ResetAfter {
			return reply{}, true
		}
		if f.Body != "" {
			answer = f.replace(answer)
		}
		answer.slow = max(answer.slow, f.SlowBody)
	}
	return answer, false
}

func (f Fault) error(c call) reply {
	e := &model.Error{Status: f.Status, Code: f.Code, Message: f.Message}
	if e.Code == "" {
		switch f.Status {
		case http.StatusRequestEntityTooLarge:
			return reply{status: f.Status}
		case http.StatusTooManyRequests:
			e = model.Throttled()
		case http.StatusServiceUnavailable:
			e = model.ServiceUnavailable()
		default:
			e = model.Internal()
			e.Status = f.Status
		}
	}
	e.Status = cmp.Or(e.Status, http.StatusInternalServerError)
	return c.fail(e)
}
