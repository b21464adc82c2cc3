package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Handler is the shim as an http.Handler, for applications in other languages: they point their SDK's endpoint at it. It checks the
// signature of every request, takes no request twice, and routes as a [Transport] does.
//
// It knows a request by its signature, for as long as the time stamp is good: 15 minutes. It remembers 4,194,304 of each caller, with some 40
// bytes each, which is 4,600 a second; what comes beyond is refused with Rejected.Throttling, and Stats.Unremembered counts. An
// application that asks more often has several Callers. It remembers in memory: another process, or the next, takes what this one took.
//
// Requests are taken over a Unix socket or a loopback address, and from anywhere else only over TLS with a client certificate that the
// server verified (tls.RequireAndVerifyClientCert): what passes here is plaintext. Use it with an http.Server that has time-outs.
type Handler struct {
	router  *router
	callers map[string]*caller
	aliases *aliases
}

// NewHandler checks cfg and callers and makes a Handler of them, without a call. It fails with kmsmigrate.ErrInvalid as NewTransport does,
// for a caller without a usable access key, with one that another has, or with no Actions, and for callers that would read each other's
// ciphertext because their different old keys get one new key, unless they are said to: Caller.SharesNewKeys.
func NewHandler(cfg Config, callers ...Caller) (*Handler, error) {
	known := map[string]*caller{}
	for i, c := range callers {
		if err := c.check(i, cfg); err != nil {
			return nil, err
		}
		if known[c.AccessKeyID] != nil {
			return nil, invalid("caller %d has the AccessKeyID of another", i+1)
		}
		known[c.AccessKeyID] = newCaller(c, cfg)
	}
	if len(known) == 0 {
		return nil, invalid("there are no callers")
	}
	if err := checkShared(callers, cfg); err != nil {
		return nil, err
	}
	r, err := newRouter(cfg)
	if err != nil {
		return nil, err
	}
	return &Handler{router: r, callers: known, aliases: newAliases(r)}, nil
}

// ServeHTTP answers one request of the KMS OpenAPI, in JSON or XML as it asks, signed in either of the two ways.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	var q asked
	if err == nil {
		q, err = readRequest(r, body)
	}
	if q.common["Format"] == "" && !isACS3(r) && !strings.Contains(r.Header.Get("Accept"), "json") {
		q.format = "XML" // the default of the RPC style
	}
	a := h.answer(r, q, body, err)
	text, contentType := a.render(q.action, q.format)
	for name, values := range a.header(contentType) {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(text) //nolint:gosec // JSON or XML with every value escaped, and no browser asks; who does not listen any more gets nothing
}

func (h *Handler) answer(r *http.Request, q asked, body []byte, unreadable error) *answer {
	if !trusted(r) {
		return failed(http.StatusForbidden, "Forbidden.NoPermission", "This operation is forbidden by permission system: the shim listens to a Unix socket, to loopback, or to clients with a verified certificate.")
	}
	switch {
	case unreadable != nil || q.doubled:
		return failed(http.StatusBadRequest, "ParseRequestParameterException", "Failed to parse the request parameters.")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return failed(http.StatusForbidden, "UnsupportedHTTPMethod", "This http method is not supported.")
	case !plain(q.action):
		return failed(http.StatusBadRequest, "MissingParameter", `The parameter "Action" is needed but not provided.`)
	case q.version != apiVersion:
		return failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "Version" is not valid.`)
	}
	who, refused := h.authenticate(r, q, body)
	if refused != nil {
		return refused
	}
	if refused := h.mayAsk(r.Context(), who, q.action, q.params); refused != nil {
		return refused
	}
	ctx := context.WithValue(r.Context(), openerKey{}, opener(func(ctx context.Context, key string) *answer { return h.mayUse(ctx, who, key) }))
	a := h.router.do(ctx, q.action, q.params)
	if a.ok() && q.action == "ReEncrypt" { // its answer names the key that decrypted, and carries nothing but new ciphertext
		if refused := h.mayUse(r.Context(), who, a.text("KeyId")); refused != nil {
			return refused
		}
	}
	return a
}

func forbidden() *answer {
	return failed(http.StatusForbidden, "Forbidden.NoPermission", "This operation is forbidden by permission system: the shim's Caller lists the actions, keys and secrets that are allowed.")
}

// trusted reports whether a request came a way on which nobody listens.
func trusted(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	switch at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr); at := at.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return at.IP.IsLoopback()
	default:
		return false
	}
}

// Listen opens what a Handler takes requests from without a client certificate: "unix:" and a path, or host:port of a loopback address.
// It refuses every other address with kmsmigrate.ErrInvalid.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, invalid("%q is neither unix:<path> nor a loopback address with a port: elsewhere serve with mutual TLS", clip(address))
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return nil, errors.Join(invalid("%q does not lead to a loopback address", clip(address)), l.Close())
	}
	return l, nil
}

// Stats returns what was counted since the Handler was made.
func (h *Handler) Stats() Stats { return h.router.stats.stats() }

// SwitchSecret is that of [Transport].
func (h *Handler) SwitchSecret(ctx context.Context, name string) error {
	return h.router.switchSecret(ctx, name)
}

// Close ends calls and renewals that are under way and returns when no connection is left. The error is always nil.
func (h *Handler) Close() error {
	h.router.close()
	return nil
}
