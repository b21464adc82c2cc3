package alikms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// failure stands in the Err of a *kmsmigrate.Error. It prints the sentinel and some words of ours, and keeps what errors.As may
// look for behind it, because the texts of those are not ours.
type failure struct {
	sentinel error
	text     string
	behind   []error
}

func (f *failure) Error() string {
	switch {
	case f.text == "":
		return f.sentinel.Error()
	case f.sentinel == nil:
		return f.text
	default:
		return f.sentinel.Error() + ": " + f.text
	}
}

func (f *failure) Unwrap() []error {
	if f.sentinel == nil {
		return f.behind
	}
	return append([]error{f.sentinel}, f.behind...)
}

// DefaultForeignCodes returns the error codes of Decrypt that are taken to mean that the ciphertext is another key's.
// Alibaba documents none for it: the not-found codes are what an unknown key version is believed to get, and the two for
// invalid parameters are believed to be shared with corrupt ciphertext and a wrong encryption context. Taking one of those
// for "not mine" costs a call to the other side, whose answer then stands beside this one in the error.
func DefaultForeignCodes() []string {
	return []string{"Forbidden.KeyNotFound", "Forbidden.KeyVersionNotFound", "InvalidParameter", "InvalidParam"}
}

// report is what a service's error answer says, in any of its formats, checked and redacted.
type report struct {
	code, message, requestID, hostID string
}

// classes are the error codes by their beginning, in the order in which they are looked at (API reference, common error
// codes; instance API, error codes). The not-found codes are called Forbidden.… and come with 404, so the longer
// beginnings come first. Alibaba's own pages misspell one.
var classes = []struct {
	sentinel  error
	retryable bool
	codes     []string
}{
	{kmsmigrate.ErrThrottled, true, []string{"Rejected.Throttling", "Throttling"}},
	{kmsmigrate.ErrUnavailable, true, []string{"InternalFailure", "InternalError", "ServiceUnavailable", "SerivceUnavailable"}},
	{kmsmigrate.ErrKeyState, false, []string{"Rejected.Disabled", "Rejected.Pending", "Rejected.Unavailable", "Rejected.StateModifiedFailed"}},
	{kmsmigrate.ErrNoKey, false, []string{"Forbidden.KeyNotFound", "Forbidden.KeyVersionNotFound", "Forbidden.AliasNotFound", "Forbidden.ResourceNotFound"}},
	{kmsmigrate.ErrInvalid, false, []string{"Forbidden.OnlySymmetricKey"}},
	{kmsmigrate.ErrDenied, false, []string{
		"Forbidden", "InvalidAccessKeyId", "InvalidSecurityToken", "MissingSecurityToken", "Signature", "IncompleteSignature",
		"InvalidTimeStamp", "IllegalTimestamp", "RequestTimeTooSkewed", "AccessDenied", "NoPermission", "Unauthorized",
	}},
}

// class returns the sentinel of an error answer and whether the same call can succeed later. The code goes before the
// status, for throttling comes with 400 as well as with 429.
func class(code string, status int) (retryable bool, sentinel error) {
	for _, c := range classes {
		for _, beginning := range c.codes {
			if strings.HasPrefix(code, beginning) {
				return c.retryable, c.sentinel
			}
		}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return true, kmsmigrate.ErrThrottled
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return false, kmsmigrate.ErrDenied
	case status >= 500:
		return true, kmsmigrate.ErrUnavailable
	case status >= 400 && (code != "" || status == http.StatusRequestEntityTooLarge):
		return false, kmsmigrate.ErrInvalid
	default:
		// A redirect, a load balancer's page: nothing that a KMS says.
		return false, kmsmigrate.ErrBadAnswer
	}
}

// connection explains an error of the transport without quoting it: net/http puts what the server sent, and what a proxy
// is called, into some of its texts.
func connection(ctx context.Context, err error) (f *failure, retryable bool) {
	f = &failure{sentinel: kmsmigrate.ErrUnavailable}
	var dns *net.DNSError
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case ctx.Err() != nil:
		return done(ctx), false
	case errors.Is(err, errClosed):
		return closedFailure(), false
	case errors.Is(err, errTooLarge):
		return &failure{sentinel: kmsmigrate.ErrBadAnswer, text: errTooLarge.Error()}, false
	case errors.As(err, &unknown):
		f.text = "the server's certificate is of an unknown authority: is CAPEM the CA of this instance?"
		f.behind = []error{unknown}
		return f, false
	case errors.As(err, &verify):
		f.text = "the server's certificate is not valid for this endpoint"
		return f, false
	case errors.As(err, &record):
		f.text = "the server does not speak TLS on this port"
		return f, false
	case errors.As(err, &alert):
		f.text = "the TLS handshake failed: " + alert.Error()
		return f, false
	case errors.As(err, &dns):
		f.text = "the host name cannot be resolved"
		return f, !dns.IsNotFound
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		f.text = "the connection ended before the answer"
	case errors.As(err, &op) && op.Op == "dial":
		f.text = "no connection" + reason(op)
	case errors.As(err, &op):
		f.text = "the connection broke before the answer" + reason(op)
	case timedOut(err):
		f.text = "no connection in time"
	default:
		f.text = "the connection failed before the answer"
	}
	return f, true
}

func reason(op *net.OpError) string {
	if op.Timeout() {
		return " in time"
	}
	var errno interface {
		error
		Temporary() bool
	}
	if errors.As(op.Err, &errno) {
		return ": " + errno.Error()
	}
	return ""
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// done is the failure of a call whose context ended.
func done(ctx context.Context) *failure {
	if errors.Is(context.Cause(ctx), errClosed) {
		return closedFailure()
	}
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{sentinel: kmsmigrate.ErrUnavailable, text: "no answer in time", behind: []error{err}}
	}
	return &failure{text: "the call was cancelled", behind: []error{err}}
}

func closedFailure() *failure {
	return &failure{sentinel: kmsmigrate.ErrUnavailable, text: errClosed.Error(), behind: []error{net.ErrClosed}}
}

// secrets are the values of one request that no error may show.
type secrets []string

// show returns text of a server if it is safe to show, and nothing otherwise. A service that refuses a signature quotes
// the string to sign, which holds the whole request in two layers of escapes, so texts with escapes are out at once.
func (s secrets) show(text string) string {
	const most = 300
	if text == "" || len(text) > most || strings.ContainsAny(text, `%&\`) || strings.Contains(text, "://") || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	if s.within(text, shares) {
		return ""
	}
	return text
}

// within reports whether tells finds one of the secrets in text, in any of the forms that a service may quote it in. Case does not count.
func (s secrets) within(text string, tells func(text, secret string) bool) bool {
	text = strings.ToLower(text)
	for _, secret := range s {
		if secret == "" {
			continue
		}
		for _, form := range [...]string{
			secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)),
		} {
			if tells(text, strings.ToLower(form)) {
				return true
			}
		}
	}
	return false
}

// shares tells whether text has all of a secret in it, or any part of it that is long enough to tell something: services cut
// what they quote.
func shares(text, secret string) bool {
	const enough = 8
	for at := 0; at+enough < len(secret); at++ {
		if strings.Contains(text, secret[at:at+enough]) {
			return true
		}
	}
	return strings.Contains(text, secret[max(0, len(secret)-enough):])
}

// usual are the characters of codes and ids.
const usual = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// code is show for error codes. Those that the API reference has are no quotations, though a context value of a few characters may
// well be a part of one.
func (s secrets) code(text string) string {
	const most = 80
	if slices.Contains(documentedCodes, text) {
		return text
	}
	if len(text) > most || strings.Trim(text, usual) != "" {
		return ""
	}
	return s.show(text)
}

// id is show for the ids of requests, where a few characters are found by chance and tell nothing.
func (s secrets) id(text string) string {
	const most, few = 80, 4
	if len(text) > most || strings.Trim(text, usual) != "" || s.within(text, func(text, secret string) bool {
		return text == secret || len(secret) > few && shares(text, secret)
	}) {
		return ""
	}
	return text
}

// documentedCodes are the codes that may be expected (API reference, common error codes; instance API, error codes).
var documentedCodes = []string{
	"Forbidden", "Forbidden.AliasNotFound", "Forbidden.KeyNotFound", "Forbidden.KeyVersionNotFound", "Forbidden.NoPermission", "Forbidden.OnlySymmetricKey",
	"Forbidden.RAM", "Forbidden.ResourceNotFound", "IllegalTimestamp", "IncompleteSignature", "InternalError", "InternalFailure", "InvalidAccessKeyId",
	"InvalidAccessKeyId.Inactive", "InvalidAccessKeyId.NotFound", "InvalidParam", "InvalidParameter", "InvalidSecurityToken.Expired",
	"InvalidSecurityToken.Malformed", "InvalidSecurityToken.MismatchWithAccessKey", "InvalidTimeStamp.Expired", "MissingParameter", "MissingSecurityToken",
	"Rejected.Disabled", "Rejected.PendingDeletion", "Rejected.PendingImport", "Rejected.PendingRotation", "Rejected.ResourceExist", "Rejected.StateModifiedFailed",
	"Rejected.Throttling", "Rejected.Unavailable", "RequestTimeTooSkewed", "ServiceUnavailable", "ServiceUnavailableTemporary", "SignatureDoesNotMatch",
	"SignatureNonceUsed", "Throttling", "Throttling.Api", "Throttling.User", "Unauthorized", "UnsupportedOperation",
}

// documented matches the messages of the API reference. Of an operation whose answers are secret nobody knows, when it
// fails, what must not be shown, so nothing else is.
var documented = regexp.MustCompile(`^(` + strings.Join([]string{
	`The parameter "[A-Za-z.]{1,40}" is needed but not provided`,
	`The specified parameter "[A-Za-z.]{1,40}" is not valid`,
	`The specified [A-Za-z ]{1,40} is not found`,
	`This action is not supported`,
	`This operation is forbidden by permission system`,
	`Request was denied due to request throttling`,
	`QPS Limit Exceeded`,
	`The request was rejected because the key state is [A-Za-z]{1,20}`,
}, `|`) + `)\.?$`)

// redact keeps of a report what is safe to show. reveals says that the operation's answers are secret.
func (s secrets) redact(r report, reveals bool) report {
	kept := report{code: s.code(r.code), requestID: s.id(r.requestID), message: s.show(r.message), hostID: s.show(r.hostID)}
	if reveals && !documented.MatchString(kept.message) {
		kept.message = ""
	}
	return kept
}
