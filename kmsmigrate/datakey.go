package kmsmigrate

import (
	"context"
	"fmt"
)

// DataKeyGenerator is an optional part of a [Key]: one whose service makes data keys from its own random numbers, which some
// policies ask for. It changes where data keys come from, never what opens.
type DataKeyGenerator interface {
	// GenerateDataKey has the service make a data key of n random bytes, 1 to 1024, and encrypt it under ec. plaintext is exactly
	// what Decrypt of ciphertext returns from then on: for the KMS the base64 text of the n bytes, padded, in the standard
	// alphabet. A nil error comes with both.
	GenerateDataKey(ctx context.Context, n int, ec EncryptionContext) (plaintext, ciphertext []byte, err error)
}

// GenerateDataKey has the key that the phase writes with make a data key of n random bytes, 1 to 1024 (the limit of the KMS's
// NumberOfBytes), in one call, and returns what Decrypt will return of it, for the KMS its base64 text, and the raw
// ciphertext. It fails with [ErrInvalid] where n is out of range and where that Key is no [DataKeyGenerator], else as Encrypt does.
func (c *Client) GenerateDataKey(ctx context.Context, n int, ec EncryptionContext) (plaintext, ciphertext []byte, err error) {
	const op = "generate data key"
	p, err := c.ready(ctx, op)
	if err != nil {
		return nil, nil, err
	}
	if n < 1 || n > 1024 {
		return nil, nil, &Error{Op: op, Err: fmt.Errorf("a data key has 1 to 1024 bytes, not %d: %w", n, ErrInvalid)}
	}
	key, err := c.writer(op, p)
	if err != nil {
		return nil, nil, err
	}
	side := p.Writes()
	generator, ok := key.(DataKeyGenerator)
	if !ok {
		return nil, nil, &Error{Op: op, Side: side, Err: fmt.Errorf("this key makes no data keys; have them made locally: %w", ErrInvalid)}
	}
	err = c.observe(ctx, Event{Op: op, Side: side}, func(ctx context.Context) (KeyRef, error) {
		plaintext, ciphertext, err = generator.GenerateDataKey(ctx, n, ec)
		if err != nil {
			return KeyRef{}, sideError(op, side, KeyRef{}, err)
		}
		ref, owned := key.Owns(ciphertext)
		if len(plaintext) < n || len(ciphertext) == 0 || owned == Foreign {
			clear(plaintext)
			return ref, &Error{Op: op, Side: side, Key: ref, Err: ErrBadAnswer}
		}
		return ref, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return plaintext, ciphertext, nil
}

// writer returns the key that phase p writes with.
func (c *Client) writer(op string, p Phase) (Key, error) {
	pair := c.pairs[c.home]
	key := pair.Old
	if p.Writes() == SideNew {
		key = pair.New
	}
	if isNil(key) {
		return nil, &Error{Op: op, Side: p.Writes(), Err: fmt.Errorf("no key is configured to write with in phase %s; use Client.For to choose a pair: %w", p, ErrNoKey)}
	}
	return key, nil
}
