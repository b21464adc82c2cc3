package shim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Transport is an http.RoundTripper that answers the requests of an unmodified *kms.Client:
//
//	transport, err := shim.NewTransport(shim.Config{…})
//	client.SetTransport(transport)
//
// Every form of every operation passes through it: plain, WithChan, WithCallback, ProcessCommonRequest, and the operations that the
// transfer SDK leaves to the client it embeds. RoundTrip never returns an error, because the SDK would make one of it that quotes
// the URL and with it the plaintext; what fails is an error answer with a documented code, which the SDK returns as
// *errors.ServerError, and it comes before the SDK's own time-out.
//
// The signature of a request is not checked and its access key is not used: the request comes from this process. Each side is called with
// its own access key. Timeouts, proxies and HTTPSInsecure of the client have no effect below the Transport, but for the read
// time-out, which bounds the call.
//
// A Transport is safe for concurrent use. The *kms.Client above it is not, by itself, and nothing below it can make it so: it writes
// to its fields on every call. Give each goroutine a client of its own, all with one Transport, or use a [Client].
type Transport struct {
	router *router
}

// NewTransport checks cfg and makes a Transport of it, without a call. It fails with kmsmigrate.ErrInvalid where a field that is needed is
// missing, an endpoint is malformed, or Keys leads one key two ways.
func NewTransport(cfg Config) (*Transport, error) {
	r, err := newRouter(cfg)
	if err != nil {
		return nil, err
	}
	return &Transport{router: r}, nil
}

// RoundTrip answers a request. The answer's header X-Keyhaul-Side says who answered: old, new, or local for a signature that was verified
// here; X-Keyhaul-Stale: true marks a Decrypt whose ciphertext is still the old side's, in phase Rewrite. An SDK's response has them
// in GetHttpHeaders.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := readBody(request)
	var q asked
	if err == nil {
		q, err = readRequest(request, body)
	}
	var a *answer
	switch {
	case err != nil:
		a = failed(http.StatusBadRequest, "ParseRequestParameterException", "Failed to parse the request parameters.")
	case q.version != apiVersion && q.version != "":
		a = failed(http.StatusBadRequest, "UnsupportedOperation", fmt.Sprintf("This action is not supported: the shim answers for version %s of the KMS API, not for %s. Use a client of its own for another service.", apiVersion, clip(q.version)))
	case q.action == "":
		a = failed(http.StatusBadRequest, "MissingParameter", `The parameter "Action" is needed but not provided.`)
	default:
		a = t.router.do(request.Context(), q.action, q.params)
	}
	if !a.ok() {
		q.format = "JSON" // the SDK reads no error in XML: it would have neither code nor message
	}
	return a.response(request, q.action, q.format), nil
}

func (a *answer) response(request *http.Request, action, format string) *http.Response {
	body, contentType := a.render(action, format)
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header(contentType), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: request,
	}
}

func (a *answer) header(contentType string) http.Header {
	h := http.Header{"Content-Type": {contentType}}
	if a.side != "" {
		h.Set("X-Keyhaul-Side", a.side)
	}
	if a.stale {
		h.Set("X-Keyhaul-Stale", "true")
	}
	return h
}

// Stats returns what was counted since the Transport was made.
func (t *Transport) Stats() Stats { return t.router.stats.stats() }

// SwitchSecret compares the current value of a secret on both sides and, where data, type and version agree, makes the new side
// answer for it from now on: see Config.Secrets. It fails with kmsmigrate.ErrPhase in phase OldOnly. The error says what differs, and holds no value.
func (t *Transport) SwitchSecret(ctx context.Context, name string) error {
	return t.router.switchSecret(ctx, name)
}

// Close ends calls and renewals that are under way and returns when no connection is left. Calls that come after it are answered with
// ServiceUnavailableTemporary. The error is always nil.
func (t *Transport) Close() error {
	t.router.close()
	return nil
}
