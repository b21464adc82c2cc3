package kmstest

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// maxBody is the size in bytes from which an instance answers 413 without a body.
const maxBody = 3 << 20

// reply is a whole answer.
type reply struct {
	status      int
	contentType string
	header      map[string]string
	body        []byte
	slow        time.Duration // how long the body takes
}

// call is a request that was read but not yet judged, in one of the two protocols.
type call interface {
	run() reply                // authenticate, work, answer
	fail(e *model.Error) reply // an error in this protocol's format
	keyHint() string           // the key that is asked for, found without judging the request; may be empty
}

// exchange is one request on its way through a face. Its record becomes evidence at the end.
type exchange struct {
	face   *face
	http   *http.Request
	body   []byte
	record Request
	start  time.Time     // when the request's headers were read
	skew   time.Duration // of the clock that judges its time stamp
}

// inTime takes time stamps within 15 minutes of now.
func (x *exchange) inTime(t time.Time) bool { return time.Since(t.Add(-x.skew)).Abs() <= maxSkew }

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{face: f, http: r, start: time.Now()}
	x.record = Request{Time: f.cloud.Now(), Region: f.door.Region.ID, Host: r.Host, TLS: r.TLS != nil, RequestID: model.NewUUID()}
	x.record.Instance = f.instanceID()
	body, err := readBody(w, r)
	x.body = body
	x.record.BytesIn = len(body) + len(r.URL.RawQuery)
	c := x.open()
	var answer reply
	drop := false
	if err != nil {
		answer = reply{status: http.StatusRequestEntityTooLarge}
	} else {
		answer, drop = x.answer(c)
	}
	if x.record.KeyID == "" {
		x.record.KeyID = c.keyHint()
	}
	x.record.Status = answer.status
	x.record.BytesOut = len(answer.body)
	x.record.Duration = time.Since(x.start)
	f.cloud.evidence.add(x.record)
	if drop {
		dropConnection(w)
		return
	}
	x.write(w, answer)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil // the SDK's usual request: everything is in the query
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// open picks the protocol by what the request is: an instance speaks both on one address.
func (x *exchange) open() call {
	if i := x.face.door.Instance; i != nil && (i.OldImage || isProtobuf(x.http)) {
		x.record.Face = Protobuf
		return openProtobuf(x)
	}
	x.record.Face = Gateway
	if x.face.door.Instance != nil {
		x.record.Face = InstanceRPC
	}
	return openRPC(x)
}

// answer does the work between the faults that stand before it and those that stand after. It reports whether the connection is to be
// dropped instead of answering.
func (x *exchange) answer(c call) (answer reply, drop bool) {
	faults := &x.face.cloud.faults
	if faults.active.Load() > 0 {
		x.record.KeyID = c.keyHint() // rules may ask for it
	}
	plan := faults.pick(&x.record)
	if !plan.any() {
		return c.run(), false
	}
	x.record.Faulted = true
	x.skew = plan.skew()
	ctx, cancel := x.face.shutdownContext(x.http)
	defer cancel()
	if !plan.delay(ctx, x.start) {
		return reply{}, true
	}
	if a, drop, over := plan.before(ctx, c); over {
		return a, drop
	}
	return plan.after(c.run())
}

func (x *exchange) write(w http.ResponseWriter, a reply) {
	h := w.Header()
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	for k, v := range a.header {
		h[k] = []string{v} // as spelled: the real header names are lower case
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if a.slow > 0 {
		x.trickle(w, a)
		return
	}
	_, _ = w.Write(a.body) // who went away does not want to know
}

// trickle sends the body in a few pieces, evenly spread.
func (x *exchange) trickle(w http.ResponseWriter, a reply) {
	ctx, cancel := x.face.shutdownContext(x.http)
	defer cancel()
	const pieces = 8
	flush := http.NewResponseController(w)
	tick := time.NewTicker(a.slow / pieces)
	defer tick.Stop()
	for i := range pieces {
		if flush.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if _, err := w.Write(a.body[len(a.body)*i/pieces : len(a.body)*(i+1)/pieces]); err != nil {
			return
		}
	}
}

// dropConnection ends the connection with a reset, as a crashing peer or a firewall would.
func dropConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http closes the connection on this, quietly
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	reset(conn)
}
