package kmsmigrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Checked is what [Client.Check] found out about one pair of keys.
type Checked struct {
	Pair     string // Pair.Name; empty for Config.Old and Config.New
	Old, New CheckedKey
}

// CheckedKey is what Check found out about one key.
type CheckedKey struct {
	Key KeyRef // the version that encrypted the canary, as far as known
	// Works is nil where the key encrypted a canary and decrypted it again, else why not.
	Works error
	// Offered is what the key answered to the other side's canary. ErrForeign is as it should be, also where there was
	// nothing to offer. Nil means that it opened
	// it: the two are clones of one key, and records of the old side need no rewriting. Anything else means that this
	// service says "not mine" in a way that nobody has told the Key about, and that records of unknown keys will not be
	// looked for on the other side.
	Offered error
}

// Check has each side of each pair encrypt a canary, decrypt it again, and try the other side's: about six KMS calls a pair,
// marked as background. It is for before OldOnly is left, with the credentials that the application will have: it shows
// missing permissions and endpoints that cannot be reached while nothing depends on them. A pair without one of its keys is
// checked as far as it goes.
//
// The error joins what stands in the way, and is nil when nothing does. It does not look at the phase.
func (c *Client) Check(ctx context.Context) ([]Checked, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "check", Err: err}
	}
	ctx = Background(ctx)
	var all []Checked
	var wrong []error
	for _, pair := range c.pairs {
		if isNil(pair.Old) && isNil(pair.New) {
			continue
		}
		checked := Checked{Pair: pair.Name}
		var old, next []byte
		old, checked.Old = c.canary(ctx, pair.Old, SideOld)
		next, checked.New = c.canary(ctx, pair.New, SideNew)
		checked.Old.Offered = c.offer(ctx, pair.Old, checked.Old, SideOld, next)
		checked.New.Offered = c.offer(ctx, pair.New, checked.New, SideNew, old)
		if at := checked.Old.Key; at.KeyID != "" && at.SameKey(checked.New.Key) {
			wrong = append(wrong, fmt.Errorf("kmsmigrate: the old and the new key are one and the same %s: %w", at, ErrInvalid))
		}
		for _, k := range []CheckedKey{checked.Old, checked.New} {
			if k.Works != nil {
				wrong = append(wrong, k.Works)
			}
			if k.Offered != nil && !errors.Is(k.Offered, ErrForeign) {
				wrong = append(wrong, fmt.Errorf("the other side's ciphertext was not recognised as foreign: %w", k.Offered))
			}
		}
		all = append(all, checked)
	}
	return all, errors.Join(wrong...)
}

// canary encrypts and decrypts a value that nobody needs.
func (c *Client) canary(ctx context.Context, key Key, side Side) ([]byte, CheckedKey) {
	if isNil(key) {
		return nil, CheckedKey{}
	}
	text := []byte("keyhaul canary")
	blob, err := c.encrypt(ctx, key, side, text, nil)
	if err != nil {
		return nil, CheckedKey{Works: err}
	}
	again, err := c.decrypt(ctx, Event{Op: "decrypt", Side: side}, key, blob, nil)
	ref, _ := key.Owns(blob)
	if err == nil && !bytes.Equal(again, text) {
		err = &Error{Op: "decrypt", Side: side, Key: ref, Err: fmt.Errorf("the key does not give back what it was given: %w", ErrBadAnswer)}
	}
	return blob, CheckedKey{Key: ref, Works: err}
}

// offer has a key try the other side's canary. Where there is none, or the key does not even open its own, there is nothing
// to learn.
func (c *Client) offer(ctx context.Context, key Key, own CheckedKey, side Side, theirs []byte) error {
	if isNil(key) || theirs == nil || own.Works != nil {
		return ErrForeign
	}
	_, err := c.decrypt(ctx, Event{Op: "decrypt", Side: side, Trial: true}, key, theirs, nil)
	return err
}
