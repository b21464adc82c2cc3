package alikms

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// lanes carries the calls of one endpoint. A lane is a transport of one connection, used by one call at a time. One
// shared transport would open more connections than there are calls: it dials for a waiting call also when another call
// is about to give its connection back, which is what makes the official SDKs shake hands all the time.
type lanes struct {
	slots   chan struct{} // as many as calls may run at once
	dialer  net.Dialer
	connect time.Duration
	// under is done when the endpoint is closed; it ends dials and calls.
	under context.Context
	end   context.CancelFunc
	users sync.WaitGroup // calls and dials under way

	mu     sync.Mutex
	idle   []*lane // the one used last is at the end, and taken first, so that the rest can time out
	tls    *tls.Config
	age    int // counts changes of tls
	closed bool
}

type lane struct {
	transport *http.Transport
	age       int
}

// idleTimeout is shorter than the idle time-outs of common load balancers, so that a call seldom meets a connection that
// the other end is closing.
const idleTimeout = 50 * time.Second

// maxAnswer bounds what is read of an answer. The largest, a page of secrets, has some 100 KB.
const maxAnswer = 4 << 20

func newLanes(concurrency int, connect time.Duration, secure *tls.Config) *lanes {
	l := &lanes{slots: make(chan struct{}, concurrency), connect: connect, tls: secure}
	l.dialer.Timeout = connect
	l.under, l.end = context.WithCancel(context.Background())
	return l
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

var (
	errClosed   = errors.New("the endpoint is closed")
	errTooLarge = errors.New("the answer is too large")
)

// with returns a context that also ends when the endpoint is closed.
func (l *lanes) with(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.under, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// do sends one request, under a context of with, and reads the whole answer. Its errors are those of net/http's transport, which hold no URL;
// http.Client would put the URL, and with it the plaintext, into every one, and would follow redirects.
func (l *lanes) do(ctx context.Context, request *http.Request) (answer, error) {
	lane, err := l.take()
	if err != nil {
		return answer{}, err
	}
	got, err := exchange(ctx, lane.transport, request)
	l.put(lane, err == nil)
	return got, err
}

func exchange(ctx context.Context, transport *http.Transport, request *http.Request) (answer, error) {
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(body) > maxAnswer {
		return answer{}, errTooLarge
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// enter waits for one of the slots.
func (l *lanes) enter(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lanes) leave() { <-l.slots }

func (l *lanes) take() (*lane, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	l.users.Add(1)
	if n := len(l.idle); n > 0 {
		taken := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return taken, nil
	}
	return &lane{age: l.age, transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         l.dial,
		TLSClientConfig:     l.tls,
		TLSHandshakeTimeout: l.connect,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1, as the official SDKs
		DisableCompression:  true,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     idleTimeout,
	}}, nil
}

// put gives a lane back. One whose call failed can have a dial or an answer under way, and is given up.
func (l *lanes) put(used *lane, good bool) {
	l.mu.Lock()
	keep := good && !l.closed && used.age == l.age
	if keep {
		l.idle = append(l.idle, used)
	}
	l.mu.Unlock()
	if !keep {
		used.transport.CloseIdleConnections()
	}
	l.users.Done()
}

// dial also ends when the endpoint is closed: a transport lets a dial go on after its call has ended.
func (l *lanes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed
	}
	l.users.Add(1)
	l.mu.Unlock()
	defer l.users.Done()
	ctx, stop := l.with(ctx)
	defer stop()
	return l.dialer.DialContext(ctx, network, address)
}

// run runs f on a goroutine that close waits for. After close it does not: whoever waits for f has a context of with.
func (l *lanes) run(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.users.Go(f)
	}
}

// present offers another client certificate on new connections, without resuming sessions of the old one, and drops the
// idle connections; calls under way end on theirs.
func (l *lanes) present(cert *tls.Certificate) {
	l.mu.Lock()
	unchecked := l.tls.InsecureSkipVerify
	l.tls = tlsConfig(l.tls.RootCAs)
	l.tls.InsecureSkipVerify = unchecked
	l.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	l.age++
	dropped := l.idle
	l.idle = nil
	l.mu.Unlock()
	closeAll(dropped)
}

// close ends calls under way and returns when none is left.
func (l *lanes) close() {
	l.mu.Lock()
	l.closed = true
	dropped := l.idle
	l.idle = nil
	l.mu.Unlock()
	l.end()
	closeAll(dropped)
	l.users.Wait()
}

func closeAll(dropped []*lane) {
	for _, lane := range dropped {
		lane.transport.CloseIdleConnections()
	}
}
