package kmstest

import (
	"slices"
	"sync"
	"time"
)

// Face is a way into the cloud.
type Face string

// The faces. Gateway is a region's shared gateway, http or https. An instance has two on one address.
const (
	Gateway     Face = "gateway"
	Protobuf    Face = "protobuf"
	InstanceRPC Face = "instance-rpc"
)

// Request is the evidence of one request: where it went, what it did, how it ended. It holds no plaintext, no signature and no secret.
type Request struct {
	Time     time.Time     // on the cloud's clock
	Duration time.Duration // from the request's last byte to the answer's first
	Face     Face
	Region   string
	Instance string // empty on the shared gateway
	Host     string // the Host header
	TLS      bool
	// AccessKeyID is the access key or ClientKey that signed, once the signature was found good.
	AccessKeyID string
	Action      string
	KeyID       string // the key used, or the one asked for when none was used; empty when neither is known
	// KeyVersionID is the version that encrypted or decrypted; empty when none did.
	KeyVersionID string
	BytesIn      int // query and body
	BytesOut     int // body
	// PlaintextIn and PlaintextOut are how many bytes of plaintext, data keys or secrets the request and the answer carried.
	PlaintextIn, PlaintextOut int
	// PlaintextInURL says that the plaintext stood in the query string, where proxies and access logs see it.
	PlaintextInURL bool
	Status         int    // HTTP status; 0 when the connection was dropped
	Code           string // error code; empty on success
	RequestID      string
	Faulted        bool // a Fault had a hand in it
}

// Match selects requests, for counting and for faults. Every field that is set must agree; the zero Match selects all.
type Match struct {
	Face     Face
	Region   string
	Instance string
	Action   string
	KeyID    string
	Code     string // of the answer; has no meaning in a Fault
	// OK selects requests that succeeded; has no meaning in a Fault.
	OK bool
}

func (m Match) fits(face Face, region, instance, action, key string) bool {
	return (m.Face == "" || m.Face == face) && (m.Region == "" || m.Region == region) &&
		(m.Instance == "" || m.Instance == instance) && (m.Action == "" || m.Action == action) && (m.KeyID == "" || m.KeyID == key)
}

func (m Match) fitsRequest(r *Request) bool {
	return m.fits(r.Face, r.Region, r.Instance, r.Action, r.KeyID) && (m.Code == "" || m.Code == r.Code) && (!m.OK || r.ok())
}

func (r *Request) ok() bool { return r.Code == "" && r.Status >= 200 && r.Status < 300 }

// counted is what counters tell apart.
type counted struct {
	face                                Face
	region, instance, action, key, code string
	ok                                  bool
}

// evidence holds the latest requests and the counters of all of them.
type evidence struct {
	keep int

	mu       sync.Mutex
	requests []Request // a ring once full
	next     int
	counts   map[counted]tally
}

// tally is what is added up.
type tally struct{ requests, plaintext int }

func (e *evidence) add(r Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts == nil {
		e.counts = map[counted]tally{}
	}
	at := counted{r.Face, r.Region, r.Instance, r.Action, r.KeyID, r.Code, r.ok()}
	sum := e.counts[at]
	e.counts[at] = tally{sum.requests + 1, sum.plaintext + r.PlaintextIn + r.PlaintextOut}
	if len(e.requests) < e.keep {
		e.requests = append(e.requests, r)
		return
	}
	e.requests[e.next] = r
	e.next = (e.next + 1) % e.keep
}

// Requests returns the requests that fit, oldest first, in the order in which they were answered. At most Config.KeepRequests are remembered.
func (c *Cloud) Requests(m Match) []Request {
	e := &c.evidence
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Request
	for i := range e.requests {
		r := &e.requests[(e.next+i)%len(e.requests)]
		if m.fitsRequest(r) {
			out = append(out, *r)
		}
	}
	return out
}

// Count returns how many requests fitted since Start or ResetEvidence. It is exact, however many there were.
func (c *Cloud) Count(m Match) int { return c.sum(m).requests }

// PlaintextBytes returns how many bytes of plaintext, data keys and secrets crossed in the requests that fit, in either direction. Zero shows
// that a face was never trusted with any: ReEncrypt on one side, ciphertext-only work on the other.
func (c *Cloud) PlaintextBytes(m Match) int { return c.sum(m).plaintext }

func (c *Cloud) sum(m Match) tally {
	e := &c.evidence
	e.mu.Lock()
	defer e.mu.Unlock()
	var out tally
	for k, v := range e.counts {
		if m.fits(k.face, k.region, k.instance, k.action, k.key) && (m.Code == "" || m.Code == k.code) && (!m.OK || k.ok) {
			out.requests += v.requests
			out.plaintext += v.plaintext
		}
	}
	return out
}

// ResetEvidence forgets all requests, counters and connection counts. What is under way is counted when it ends.
func (c *Cloud) ResetEvidence() {
	e := &c.evidence
	e.mu.Lock()
	e.requests, e.next, e.counts = nil, 0, nil
	e.mu.Unlock()
	for _, f := range c.openFaces() {
		f.opened.Store(0)
		f.handshakes.Store(0)
	}
}

func (c *Cloud) openFaces() []*face {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.faces)
}

// Connections counts what clients did below HTTP.
type Connections struct {
	Opened     int // TCP connections accepted
	Handshakes int // TLS handshakes completed, resumed ones included
}

// Connections sums the connections of the addresses that fit by region, instance and face. Both faces of an instance share an address.
func (c *Cloud) Connections(m Match) Connections {
	var out Connections
	for _, f := range c.openFaces() {
		instance, face := "", Gateway
		if f.door.Instance != nil {
			instance, face = f.door.Instance.ID, m.Face
			if face == Gateway {
				continue
			}
		}
		if m.fits(face, f.door.Region.ID, instance, m.Action, m.KeyID) {
			out.Opened += int(f.opened.Load())
			out.Handshakes += int(f.handshakes.Load())
		}
	}
	return out
}
