package kmsmigrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Ledger remembers what became of ciphertext that was renewed: a hash of what the old key had encrypted, and the ciphertext
// for the new key that took its place. With it, a restored backup, a message that waited in a queue or an export opens with
// the new key alone, after the old one is gone. Where records have data keys it holds one entry for each wrapped data key, not
// for each record. It is as worthy of protection as the records: who can change it can make one ciphertext stand for another.
//
// Package rekeysql keeps one in a table of the user's database. A Ledger is safe for concurrent use; it neither keeps nor changes the slices it is given.
type Ledger interface {
	// Find returns the ciphertext that was added under id ([LedgerID] of what it replaces); nil and no error where none was.
	Find(ctx context.Context, id [32]byte) (ciphertext []byte, err error)
	// Add keeps ciphertext under id before it returns, in place of what may be there. The last is as good as any when two processes renew the
	// same wrapped key, for both results are proven; and it is the only good one after a new key that was given up for another.
	Add(ctx context.Context, id [32]byte, ciphertext []byte) error
}

// LedgerID is the name under which a [Ledger] keeps what replaced raw ciphertext: a hash, SHA-256 with a prefix of its own. For
// a wrapped data key it is the [Copy]'s Group.
func LedgerID(ciphertext []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("keyhaul wrapped data key\x00"))
	h.Write(ciphertext)
	var id [32]byte
	h.Sum(id[:0])
	return id
}

// errNotThere says that the ledger has nothing for a ciphertext. Callers of this package never see it.
var errNotThere = errors.New("not in the ledger")

// find returns what took the place of ciphertext, or errNotThere.
func (c *Client) find(ctx context.Context, op string, ciphertext []byte) ([]byte, error) {
	if isNil(c.ledger) {
		return nil, errNotThere
	}
	next, err := c.ledger.Find(ctx, LedgerID(ciphertext))
	switch {
	case err != nil:
		return nil, &Error{Op: op, Retryable: true, Err: fmt.Errorf("looking into the ledger: %w: %w", ErrUnavailable, err)}
	case len(next) == 0:
		return nil, errNotThere
	}
	return next, nil
}

// maxLinks is how many migrations long the chain of entries may be that leads to a key of today. It has an end so that
// entries which name each other do too.
const maxLinks = 8

// openFromLedger opens, with the new side, what took the place of ciphertext, and returns that too. What an earlier
// migration added may have been renewed since, under an entry of its own.
func (c *Client) openFromLedger(ctx context.Context, op string, ciphertext []byte, ec EncryptionContext) (Opened, int, []byte, error) {
	direct := *c
	direct.ledger = nil
	next := ciphertext
	for range maxLinks {
		var err error
		if next, err = c.find(ctx, op, next); err != nil {
			return Opened{}, 0, nil, err
		}
		opened, pair, err := direct.open(ctx, NewOnly, next, ec)
		if err == nil || !errors.Is(err, ErrRetired) {
			return opened, pair, next, err
		}
	}
	return Opened{}, 0, nil, errNotThere
}

// renewFromLedger returns what took the place of ciphertext before, after the new side has opened it once more and fits has
// accepted it. It returns errNotThere also for an entry that cannot be used, so that the old key is asked as if there were none.
func (c *Client) renewFromLedger(ctx context.Context, from KeyRef, ciphertext []byte, ec EncryptionContext, fits func([]byte) error) (Renewed, error) {
	opened, _, next, err := c.openFromLedger(ctx, "renew", ciphertext, ec)
	switch {
	case errors.Is(err, ErrInvalid):
		return Renewed{}, errNotThere
	case err != nil:
		return Renewed{}, err
	}
	defer clear(opened.Plaintext)
	if fits(opened.Plaintext) != nil {
		return Renewed{}, errNotThere
	}
	return Renewed{Ciphertext: next, From: from, To: opened.Key}, nil
}

// remember adds a renewal to the ledger. Where that fails the renewal fails, because a ledger with gaps is found out when
// the old key is gone; the record is still what it was. The error
// is that of a service which is down: it says nothing of the record.
func (c *Client) remember(ctx context.Context, ciphertext, renewed []byte) error {
	if isNil(c.ledger) {
		return nil
	}
	if err := c.ledger.Add(ctx, LedgerID(ciphertext), renewed); err != nil {
		return &Error{Op: "renew", Retryable: true, Err: fmt.Errorf("adding to the ledger: %w: %w", ErrUnavailable, err)}
	}
	return nil
}
