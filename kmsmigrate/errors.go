package kmsmigrate

import (
	"errors"
	"fmt"
	"strings"
)

// What a caller can branch on, with errors.Is.
var (
	// ErrForeign says that the ciphertext belongs to another key. It is the only error that leads to the other side.
	ErrForeign = errors.New("the ciphertext belongs to another key")
	// ErrNoKey says that no configured key opens the ciphertext, or that none is configured for what was asked.
	ErrNoKey = errors.New("no configured key fits")
	// ErrRetired says that the ciphertext needs the old side, and the phase, NewOnly, no longer asks it.
	ErrRetired = errors.New("the old key is retired")
	// ErrPhase says that the phase does not allow what was asked, or that a step from one phase to another is refused.
	ErrPhase = errors.New("the phase does not allow it")
	// ErrThrottled says that the service refused the call for its rate. Retryable.
	ErrThrottled = errors.New("throttled")
	// ErrDenied says that credentials or permissions do not allow the call.
	ErrDenied = errors.New("denied")
	// ErrKeyState says that the key is disabled, pending deletion, pending import or otherwise not usable.
	ErrKeyState = errors.New("the key's state does not allow it")
	// ErrUnavailable says that the service did not answer, or answered that it could not serve. Retryable.
	ErrUnavailable = errors.New("unavailable")
	// ErrBadAnswer says that the service answered with success and the answer cannot be right: empty, truncated, or of
	// another key. The official SDKs return such answers as empty values with a nil error.
	ErrBadAnswer = errors.New("the answer is empty or cannot be right")
	// ErrInvalid says that the caller's input cannot be used: empty, malformed, or not as configured.
	ErrInvalid = errors.New("invalid input")
)

// Error is a failed operation on a key, for people and for logs. It wraps one of the sentinels above through Err. It holds
// no plaintext, ciphertext, context value or credential.
type Error struct {
	Op         string // what was asked: "encrypt", "decrypt", "verify", …
	Side       Side   // on which side
	Key        KeyRef // of which key, as far as known
	Code       string // the service's error code: "Rejected.Throttling"
	HTTPStatus int    // 0 where there was no answer
	RequestID  string // the service's request id, for a support ticket
	Retryable  bool   // the same call can succeed later, unchanged
	Err        error  // a sentinel, or what the Key returned
}

// Error returns one line: what was tried, where, and what came back.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("kmsmigrate: " + e.Op)
	if e.Side != SideUnknown {
		b.WriteString(" on the " + e.Side.String() + " side")
	}
	if e.Key != (KeyRef{}) {
		b.WriteString(" with " + e.Key.String())
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.HTTPStatus != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.HTTPStatus)
	}
	if e.RequestID != "" {
		b.WriteString(", request " + e.RequestID)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// sideError says on which side an operation failed. A Key's own *Error keeps its fields; anything else is wrapped.
func sideError(op string, side Side, key KeyRef, err error) error {
	// Not errors.As: what wraps an *Error says more than the *Error alone, and must not be cut off.
	if known, ok := err.(*Error); ok { //nolint:errorlint
		e := *known
		e.Op, e.Side = op, side
		if e.Key == (KeyRef{}) {
			e.Key = key
		}
		return &e
	}
	return &Error{Op: op, Side: side, Key: key, Err: err}
}
