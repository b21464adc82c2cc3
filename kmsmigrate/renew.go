package kmsmigrate

import (
	"bytes"
	"context"
	"fmt"
)

// Renewed is what Renew made of a ciphertext. The caller stores it, with a compare-and-swap on what it read.
type Renewed struct {
	Ciphertext []byte // for the new key, and proven to open under it; nil when there is nothing to do
	From, To   KeyRef // the key versions before and after, as far as known
}

// Renew moves raw ciphertext from the old side to the new: it opens it, encrypts the plaintext with the new key of the same
// pair, has the new key decrypt the result, and compares. That is three calls to the KMS, and none for ciphertext that is
// known to be the new side's, for which it returns a Renewed with a nil Ciphertext.
//
// It works in phase Rewrite only: in an earlier phase it fails with [ErrPhase], so that a sweep which nobody meant to start does
// not pass for one that found nothing to do, and in NewOnly with [ErrRetired]. Other errors are those of Open and Encrypt,
// and [ErrBadAnswer] where the new key does not give back what it was given.
func (c *Client) Renew(ctx context.Context, ciphertext []byte, ec EncryptionContext) (Renewed, error) {
	return c.renew(ctx, ciphertext, ec, nil)
}

// RenewIf is Renew for who can tell whether what the old key gave back is right: a data key that does not open the record it
// stands in, say, must not be wrapped anew, or the record is lost with the old copy. It asks fits before anything is encrypted;
// an error of it ends the renewal and is returned as it is. fits must not keep the plaintext, and its error must not show it.
//
// With a Config.Ledger, what was renewed before costs one call: the new key opens what the ledger holds, and fits has
// the last word. So the copies in a restored backup are renewed also when the old key is gone. Renew does not do this, because
// without fits nothing but the old key can say what the plaintext was.
func (c *Client) RenewIf(ctx context.Context, ciphertext []byte, ec EncryptionContext, fits func(plaintext []byte) error) (Renewed, error) {
	if fits == nil {
		return Renewed{}, &Error{Op: "renew", Err: fmt.Errorf("fits is nil; Renew asks nobody: %w", ErrInvalid)}
	}
	return c.renew(ctx, ciphertext, ec, fits)
}

// renew is RenewIf, and Renew where fits is nil.
func (c *Client) renew(ctx context.Context, ciphertext []byte, ec EncryptionContext, fits func(plaintext []byte) error) (Renewed, error) {
	p, err := c.begin(ctx, "renew", ciphertext)
	if err != nil {
		return Renewed{}, err
	}
	side, ref := c.owner(ciphertext)
	switch {
	case side == SideNew && p.Reads(SideNew):
		return Renewed{From: ref, To: ref}, nil
	case p == NewOnly:
		return Renewed{}, &Error{Op: "renew", Side: side, Key: ref, Err: ErrRetired}
	case !p.Rewrites():
		return Renewed{}, &Error{Op: "renew", Side: side, Key: ref, Err: fmt.Errorf("phase %s does not rewrite: move to %s first: %w", p, Rewrite, ErrPhase)}
	}
	if fits != nil {
		if renewed, err := c.renewFromLedger(ctx, ref, ciphertext, ec, fits); err != errNotThere { //nolint:errorlint // never wrapped
			return renewed, err
		}
	}
	opened, pair, err := c.open(ctx, p, ciphertext, ec)
	if err != nil {
		return Renewed{}, err
	}
	defer clear(opened.Plaintext)
	if opened.Side == SideNew {
		return Renewed{From: opened.Key, To: opened.Key}, nil
	}
	if fits != nil {
		if err := fits(opened.Plaintext); err != nil {
			return Renewed{}, err
		}
	}
	key := c.pairs[pair].New
	if isNil(key) {
		return Renewed{}, &Error{Op: "renew", Side: SideNew, Err: fmt.Errorf("no new key takes over from %s: %w", opened.Key, ErrNoKey)}
	}
	renewed, err := c.encrypt(ctx, key, SideNew, opened.Plaintext, ec)
	if err != nil {
		return Renewed{}, err
	}
	to, err := c.verify(ctx, key, renewed, opened.Plaintext, ec)
	if err != nil {
		return Renewed{}, err
	}
	if err := c.remember(ctx, ciphertext, renewed); err != nil {
		return Renewed{}, err
	}
	return Renewed{Ciphertext: renewed, From: opened.Key, To: to}, nil
}

// verify has the new key open what it has just encrypted. Nothing is replaced without it: a service that answers with a
// ciphertext it cannot decrypt again, as the transfer SDK's GenerateDataKey does across a rotation, would cost the data.
func (c *Client) verify(ctx context.Context, key Key, renewed, plaintext []byte, ec EncryptionContext) (KeyRef, error) {
	ref, _ := key.Owns(renewed)
	again, err := c.decrypt(ctx, Event{Op: "verify", Side: SideNew, Key: ref}, key, renewed, ec)
	if err != nil {
		return ref, err
	}
	defer clear(again)
	if !bytes.Equal(again, plaintext) {
		return ref, &Error{Op: "verify", Side: SideNew, Key: ref, Err: fmt.Errorf("the new key does not give back what it was given: %w", ErrBadAnswer)}
	}
	ref, _ = key.Owns(renewed)
	return ref, nil
}
