package alikms

import (
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
	budget       retryBudget
	foreign      map[string]bool
	sdkError     func(report, int) error
}

// operation is one call as the endpoint sees it.
type operation struct {
	name    string // the action: "Encrypt"
	key     string // the key id, as far as the call names one
	decrypt bool   // the codes of the table mean ErrForeign
	once    bool   // not to be repeated unless it surely was not carried out: it creates something
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
	ctx, cancel := context.WithTimeout(ctx, e.limits.Call)
	defer cancel()
	for attempt := 1; ; attempt++ {
		again, err := e.attempt(ctx, op)
		if err == nil {
			e.budget.succeeded()
			return nil
		}
		if !again || attempt >= e.limits.Attempts || !e.budget.take() || !pause(ctx, attempt) {
			return err
		}
	}
}

// attempt sends the operation once. again says whether another attempt can help.
func (e *endpoint) attempt(ctx context.Context, op operation) (again bool, err error) {
	if err := e.lanes.enter(ctx); err != nil {
		f, _ := connection(ctx, err)
		return false, e.failed(op, 0, report{}, f, false)
	}
	defer e.lanes.leave()
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
	said := op.secrets().redact(readReport(got.body))
	retryable, sentinel := class(said.code, got.status)
	if op.decrypt && e.foreign[said.code] {
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

// pause waits before the next attempt. It reports false, at once, where the context will not live that long: then the
// error that is already known says more than a time-out would.
func pause(ctx context.Context, attempt int) bool {
	d := rand.N(min(firstPause<<(attempt-1), mostPause)) //nolint:gosec // jitter keeps no secret
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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
	return e, nil
}

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
}
