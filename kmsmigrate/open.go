package kmsmigrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// Opened is a decrypted value and where it came from.
type Opened struct {
	Plaintext []byte // the caller's to keep and to overwrite
	Side      Side   // the side that opened it
	Stale     bool   // the phase rewrites, and Renew would: the value is still the old side's
	Key       KeyRef // the key version that opened it, as far as known
}

// String describes o without its plaintext.
func (o Opened) String() string {
	return fmt.Sprintf("Opened(%d bytes, %s side, %s, stale %t)", len(o.Plaintext), o.Side, o.Key, o.Stale)
}

// GoString returns what String returns, so that %#v does not leak either.
func (o Opened) GoString() string { return o.String() }

// MarshalJSON returns what String returns, as a string: what is logged as JSON must not leak either.
func (o Opened) MarshalJSON() ([]byte, error) { return json.Marshal(o.String()) }

// LogValue returns what String returns.
func (o Opened) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Open decrypts raw ciphertext that any configured key encrypted, given the encryption context it was encrypted under. A
// CiphertextBlob string must go through [DecodeBlob] first.
//
// A key that owns the ciphertext is asked alone. Where no key can tell, the sides are tried: the old one first until
// WriteNew, the new one first from then on; only [ErrForeign] leads to the next. The error of a ciphertext that nobody
// opens wraps [ErrNoKey] and what each key answered. In NewOnly it wraps [ErrRetired], and the old side is not asked; there, what
// Config.Ledger holds for the ciphertext is opened in its place, with the new key.
func (c *Client) Open(ctx context.Context, ciphertext []byte, ec EncryptionContext) (Opened, error) {
	p, err := c.begin(ctx, "decrypt", ciphertext)
	if err != nil {
		return Opened{}, err
	}
	opened, _, err := c.open(ctx, p, ciphertext, ec)
	return opened, err
}

// open is Open in phase p. It also returns the pair that the key belongs to.
func (c *Client) open(ctx context.Context, p Phase, ciphertext []byte, ec EncryptionContext) (Opened, int, error) {
	if looksEncoded(ciphertext) {
		return Opened{}, 0, &Error{Op: "decrypt", Err: fmt.Errorf("this is a CiphertextBlob string, not ciphertext: pass it through DecodeBlob: %w", ErrInvalid)}
	}
	r := c.route(p, ciphertext)
	var answers []error
	for _, at := range r.ask {
		k := c.keys[at.key]
		plaintext, err := c.decrypt(ctx, Event{Op: "decrypt", Side: k.side, Key: at.ref, Trial: at.owned == Unknown}, k.key, ciphertext, ec)
		if err == nil {
			ref, _ := k.key.Owns(ciphertext)
			return Opened{Plaintext: plaintext, Side: k.side, Stale: p.Rewrites() && k.side == SideOld, Key: ref}, c.pairOf(k), nil
		}
		if !errors.Is(err, ErrForeign) {
			return Opened{}, 0, err
		}
		answers = append(answers, err)
		if at.owned == Unknown {
			if err := c.wasted.Wait(ctx); err != nil {
				return Opened{}, 0, &Error{Op: "decrypt", Side: k.side, Err: fmt.Errorf("waiting after ciphertext that nobody knows: %w: %w", ErrThrottled, err)}
			}
		}
	}
	if p == NewOnly {
		if opened, pair, _, err := c.openFromLedger(ctx, "decrypt", ciphertext, ec); err != errNotThere { //nolint:errorlint // never wrapped
			return opened, pair, err
		}
	}
	return Opened{}, 0, c.unopened(p, r, answers)
}

// unopened explains why nobody opened a ciphertext.
func (c *Client) unopened(p Phase, r route, answers []error) error {
	e := &Error{Op: "decrypt", Key: r.ref}
	switch {
	case p == NewOnly:
		e.Err = fmt.Errorf("the new side does not open it, and phase %s asks no other: %w", p, ErrRetired)
	case r.skipped != SideUnknown:
		e.Err = fmt.Errorf("the %s side owns it, and phase %s does not read that side: %w", r.skipped, p, ErrNoKey)
	default:
		e.Err = fmt.Errorf("it is of another key, region or account, is damaged, or has another encryption context: %w", ErrNoKey)
	}
	if len(answers) > 0 {
		e.Err = fmt.Errorf("%w; answers: %w", e.Err, errors.Join(answers...))
	}
	return e
}

// pairOf returns the pair whose New takes over from k.
func (c *Client) pairOf(k sideKey) int {
	if k.pair < 0 {
		return c.home
	}
	return k.pair
}
