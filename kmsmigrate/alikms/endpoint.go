package alikms

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// endpoint is what a Gateway and an Instance have in common: one host, its limits, and the way of making a call.
type endpoint struct {
	scheme, host string
	ref          kmsmigrate.KeyRef // Endpoint, Account, Region, Instance
	limits       Limits
	lanes        *lanes
	pacer        *pacer
	breaker      breaker
	budget       retryBudget
	observer     Observer
	side         kmsmigrate.Side
	foreign      map[string]bool
	sdkError     func(report, int) error
}

// operation is one call as the endpoint sees it.
type operation struct {
	name    string // the action: "Encrypt"
	key     string // the key id, as far as the call names one
	decrypt bool   // the codes of the table mean ErrForeign
	reveals bool   // its answers hold what must stay secret
	once    bool   // not to be repeated unless it surely was not carried out: it creates something
	// attempts, where it is not zero, takes the place of Limits.Attempts.
	attempts int
	// sign makes a fresh, signed request. It is called for every attempt: a signature holds a time and a nonce.
	sign func(ctx context.Context) (*http.Request, error)
	// read takes a 2xx answer with a body. Its error says what cannot be right; it is wrapped in ErrBadAnswer.
	read func(answer) error
	// secrets returns what no error may show. It is called only when a call failed.
	secrets func() secrets
}

// call carries out an operation, with as many attempts as make sense. Its errors are *kmsmigrate.Errors.
func (e *endpoint) call(ctx context.Context, op operation) error {
	if ctx.Err() != nil {
		return e.failed(op, 0, report{}, done(ctx), false)
	}
	ctx, stop := e.lanes.with(ctx)
	defer stop()
	background := kmsmigrate.IsBackground(ctx)
	// The time of a call runs from its beginning, but for background work only while an attempt is under way: a sweep
	// may have to wait long for its turn.
	deadline := time.Now().Add(e.limits.Call)
	for attempt := 1; ; attempt++ {
		again, err := e.observed(ctx, op, attempt, background, deadline)
		if err == nil {
			e.budget.succeeded()
			return nil
		}
		if !again || attempt >= cmp.Or(op.attempts, e.limits.Attempts) {
			return err
		}
		// The budget is for a service that is down. Background work that is throttled becomes slower instead.
		throttled := errors.Is(err, kmsmigrate.ErrThrottled)
		if (!background || !throttled) && !e.budget.take() {
			return err
		}
		if background {
			deadline = time.Now().Add(e.limits.Call)
		}
		longest := min(firstPause<<(attempt-1), mostPause)
		if attempt == 1 && throttled && !background && e.pacer.roomMade() {
			longest = makeRoom
		}
		if !pause(ctx, deadline, longest) {
			return err
		}
	}
}

// observed is one attempt, with an Observer told of it.
func (e *endpoint) observed(ctx context.Context, op operation, number int, background bool, deadline time.Time) (again bool, err error) {
	if e.observer == nil {
		again, _, _, err = e.attempt(ctx, op, background, deadline)
		return again, err
	}
	a := Attempt{Side: e.side, Op: op.name, Key: e.ref, Number: number, Background: background}
	a.Key.KeyID = op.key
	ctx = e.observer.Start(ctx, a)
	again, a.Waited, a.Duration, err = e.attempt(ctx, op, background, deadline)
	a.Err = err
	e.observer.End(ctx, a)
	return again, err
}

// attempt waits for its turn and sends the operation once. again says whether another attempt can help.
func (e *endpoint) attempt(ctx context.Context, op operation, background bool, deadline time.Time) (again bool, waited, took time.Duration, err error) {
	start, caller := time.Now(), ctx
	if !background {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(caller, deadline)
		defer cancel()
	}
	if err := e.admit(ctx, background); err != nil {
		return false, time.Since(start), 0, e.failed(op, 0, report{}, e.notAdmitted(ctx, err), errors.Is(err, errTurn) || errors.Is(err, errBroken))
	}
	defer e.lanes.leave()
	sent := time.Now()
	if background {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(caller, e.limits.Call)
		defer cancel()
	}
	again, err = e.send(ctx, op)
	took = time.Since(sent)
	gaveUp := err != nil && caller.Err() != nil
	e.breaker.ended(time.Now(), err, !gaveUp)
	if gaveUp {
		e.pacer.left(background)
	} else {
		e.pacer.ended(background, took, err)
	}
	return again, sent.Sub(start), took, err
}

// admit waits until an attempt may be sent. After nil, the caller must tell breaker and pacer of the end, and leave the lanes.
func (e *endpoint) admit(ctx context.Context, background bool) error {
	if err := e.pacer.wait(ctx, background); err != nil {
		return err
	}
	err := e.lanes.enter(ctx)
	if err == nil {
		if err = e.breaker.enter(ctx, background); err == nil {
			return nil
		}
		e.lanes.leave()
	}
	e.pacer.left(background)
	return err
}

// notAdmitted is the failure of a call that was never sent.
func (e *endpoint) notAdmitted(ctx context.Context, err error) *failure {
	switch {
	case errors.Is(err, errTurn):
		return &failure{sentinel: kmsmigrate.ErrThrottled, text: "it was not sent: " + errTurn.Error()}
	case errors.Is(err, errBroken):
		return &failure{sentinel: kmsmigrate.ErrUnavailable, text: "it was not sent: " + errBroken.Error()}
	default:
		f, _ := connection(ctx, err)
		return f
	}
}

// send sends the operation once.
func (e *endpoint) send(ctx context.Context, op operation) (again bool, err error) {
	request, err := op.sign(ctx)
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			f = &failure{sentinel: kmsmigrate.ErrInvalid, text: err.Error()}
		}
		return false, e.failed(op, 0, report{}, f, false)
	}
	got, err := e.lanes.do(ctx, request)
	if err != nil {
		f, retryable := connection(ctx, err)
		return retryable && (!op.once || neverSent(err)), e.failed(op, 0, report{}, f, retryable)
	}
	if got.status < 200 || got.status >= 300 {
		return e.refused(op, got)
	}
	if len(got.body) == 0 {
		err = errors.New("the answer has no body")
	} else {
		err = op.read(got)
	}
	if err != nil {
		return false, e.failed(op, got.status, report{}, &failure{sentinel: kmsmigrate.ErrBadAnswer, text: err.Error()}, false)
	}
	return false, nil
}

// refused makes the error of an answer that is no success.
func (e *endpoint) refused(op operation, got answer) (again bool, err error) {
	heard := readReport(got.body)
	said := op.secrets().redact(heard, op.reveals || op.decrypt)
	// What the code means does not depend on whether it can be shown: a context value may well be a part of it.
	retryable, sentinel := class(heard.code, got.status)
	if op.decrypt && e.foreign[heard.code] {
		retryable, sentinel = false, kmsmigrate.ErrForeign
	}
	f := &failure{sentinel: sentinel, text: said.words(got.status), behind: []error{e.sdkError(said, got.status)}}
	throttled := errors.Is(sentinel, kmsmigrate.ErrThrottled) // and so surely not carried out
	return retryable && (!op.once || throttled), e.failed(op, got.status, said, f, retryable)
}

func (e *endpoint) failed(op operation, status int, said report, f *failure, retryable bool) error {
	ref := e.ref
	ref.KeyID = op.key
	return &kmsmigrate.Error{Op: op.name, Key: ref, Code: said.code, HTTPStatus: status, RequestID: said.requestID, Retryable: retryable, Err: f}
}

// bad is the error of a successful answer that the caller of call found to be wrong.
func (e *endpoint) bad(op, key, text string) error {
	return e.failed(operation{name: op, key: key}, 0, report{}, &failure{sentinel: kmsmigrate.ErrBadAnswer, text: text}, false)
}

// wrong is the error of input that is not worth a call.
func (e *endpoint) wrong(op, key string, sentinel error, text string) error {
	return e.failed(operation{name: op, key: key}, 0, report{}, &failure{sentinel: sentinel, text: text}, false)
}

// neverSent reports whether a request surely did not reach the service.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// The pauses between attempts: full jitter under a limit that doubles (Alibaba's sample doubles from 200 ms).
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
)

// pause waits before the next attempt. It reports false, at once, where the call will not live that long: then the error
// that is already known says more than a time-out would.
func pause(ctx context.Context, deadline time.Time, longest time.Duration) bool {
	d := rand.N(longest) //nolint:gosec // jitter keeps no secret
	return time.Until(deadline) > d && sleep(ctx, d) == nil
}

// retryable reports whether an error says that the same call can succeed later.
func retryable(err error) bool {
	var typed *kmsmigrate.Error
	return errors.As(err, &typed) && typed.Retryable
}

var hostShape = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// checkHost checks host[:port] and returns it as a KeyRef shows it, without the port that goes without saying.
func checkHost(host string, plain bool) (shown string, err error) {
	if strings.Contains(host, "://") {
		return "", invalid("Endpoint %q has a scheme: give the host, and a port where it is not 443", clip(host))
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return "", invalid("Endpoint %q has a port that is none", clip(host))
	}
	if _, notIP := netip.ParseAddr(name); notIP != nil && !hostShape.MatchString(name) {
		return "", invalid("Endpoint %q is not host or host:port", clip(host))
	}
	if plain && !loopback(name) {
		return "", invalid("PlainHTTP is for loopback addresses only, and %s is none: the KMS takes HTTPS alone", clip(name))
	}
	if port == "443" && !plain {
		return name, nil
	}
	return host, nil
}

func loopback(name string) bool {
	address, err := netip.ParseAddr(name)
	return err == nil && address.IsLoopback() || name == "localhost"
}

// fakeCredentials begins the credentials that package kmstest makes up.
const fakeCredentials = "KMSTEST"

// refuseFake keeps credentials of a fake, and with them the data of a test, on this machine.
func (e *endpoint) refuseFake(id string) error {
	name, _, err := net.SplitHostPort(e.host)
	if err != nil {
		name = e.host
	}
	if strings.HasPrefix(id, fakeCredentials) && !loopback(name) {
		return invalid("the credentials are of a fake KMS (package kmstest), and %s is not on this machine", clip(name))
	}
	return nil
}

// newEndpoint checks what both kinds of endpoint have in common.
func newEndpoint(host string, plain bool, roots *x509.CertPool, limits Limits, foreign []string) (*endpoint, error) {
	shown, err := checkHost(host, plain)
	if err != nil {
		return nil, err
	}
	limits, err = limits.defaults()
	if err != nil {
		return nil, err
	}
	if foreign == nil {
		foreign = DefaultForeignCodes()
	}
	e := &endpoint{scheme: "https", host: host, limits: limits, foreign: map[string]bool{}}
	e.ref.Endpoint = shown
	if plain {
		e.scheme = "http"
	}
	for _, code := range foreign {
		if code == "" {
			return nil, invalid("ForeignCodes holds an empty code")
		}
		e.foreign[code] = true
	}
	e.lanes = newLanes(limits.Concurrency, limits.Connect, tlsConfig(roots))
	e.pacer = newPacer(limits)
	e.breaker.after = limits.BreakAfter
	return e, nil
}

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
}
