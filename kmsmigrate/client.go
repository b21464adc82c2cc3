package kmsmigrate

import (
	"context"
	"fmt"
	"reflect"

	"golang.org/x/time/rate"
)

// Config is what [NewClient] joins. Its zero value is not usable: at least the key that the phase writes with is needed.
type Config struct {
	// Phase says which side is written and which are read. Nil means OldOnly, so that shipping the library changes nothing.
	Phase PhaseSource
	// Old and New are the two ends of the migration. Old may be nil where Phase is the constant NewOnly, New where it is
	// nil or the constant OldOnly.
	Old, New Key
	// Older are keys of migrations before this one: read like Old, never written.
	Older []Key
	// Pairs are the further keys of an application that has several. A ciphertext that the old key of a pair wrote is
	// renewed with the new key of that pair. KeyMap.Pairs makes them from a map of ids.
	Pairs []Pair
	// Observer is told of every operation on a key. Nil means nobody.
	Observer Observer
	// Ledger remembers what Renew made of ciphertext, so that copies of it which turn up later, in a restored backup or a
	// queue, open in NewOnly with the new key. Nil means that nothing is remembered.
	Ledger Ledger
	// WastedTrialsPerSecond bounds the calls that asked a side for a ciphertext which turned out not to be its own. They
	// happen only for ids that no Key knows; because the id in a blob is not authenticated, whoever can plant blobs could
	// otherwise double every call. Above it, operations wait. Zero means 100, negative means no bound.
	WastedTrialsPerSecond float64
}

// Pair is one old key and the new key that takes its place.
type Pair struct {
	// Name is what the application calls the pair: the old key's id, alias or ARN. Client.For takes it. It must be unique.
	Name string
	// Old and New are as in Config. Several pairs may share a New.
	Old, New Key
}

// Client decrypts what either side encrypted and encrypts with the side that the phase asks for. It is safe for
// concurrent use. It caches nothing: package envelope does, where records have data keys.
type Client struct {
	phase    PhaseSource
	observer Observer
	ledger   Ledger
	keys     []sideKey // every key once, new side first
	pairs    []Pair    // pairs[0] is Old and New
	home     int       // the pair that Encrypt writes with
	wasted   *rate.Limiter
}

// sideKey is a key and what it is to the migration.
type sideKey struct {
	key  Key
	side Side
	pair int // the pair whose New takes over; -1 for Older, which the client's own pair takes over
}

// NewClient checks cfg and makes a Client of it, without a call to the KMS. It fails with [ErrInvalid] where a key that
// the phase can need is missing, where one Key stands on both sides, and where two pairs have one name or one old Key. Two Keys
// that lead to the same KMS key are not found here; Check finds them.
func NewClient(cfg Config) (*Client, error) {
	c := &Client{phase: cfg.Phase, observer: cfg.Observer, ledger: cfg.Ledger}
	if isNil(c.phase) {
		c.phase = OldOnly
	}
	current := c.phase.Current()
	if err := current.check(); err != nil {
		return nil, err
	}
	c.pairs = append(c.pairs, Pair{Old: cfg.Old, New: cfg.New})
	names := map[string]bool{}
	for i, pair := range cfg.Pairs {
		if pair.Name == "" {
			return nil, fmt.Errorf("kmsmigrate: Pairs[%d] has no Name: %w", i, ErrInvalid)
		}
		if names[pair.Name] {
			return nil, fmt.Errorf("kmsmigrate: two Pairs are named %q: %w", pair.Name, ErrInvalid)
		}
		names[pair.Name] = true
		c.pairs = append(c.pairs, pair)
	}
	constant, fixed := c.phase.(Phase)
	for i, pair := range c.pairs {
		what := "Config"
		if i > 0 {
			what = fmt.Sprintf("Pairs[%d] (%q)", i-1, pair.Name)
		} else if len(c.pairs) > 1 && isNil(pair.Old) && isNil(pair.New) {
			continue // only pairs, no default
		}
		if isNil(pair.Old) && (!fixed || constant != NewOnly) {
			return nil, fmt.Errorf("kmsmigrate: %s.Old is nil; only a Client that stays in new-only can do without: %w", what, ErrInvalid)
		}
		if isNil(pair.New) && (!fixed || constant != OldOnly) {
			return nil, fmt.Errorf("kmsmigrate: %s.New is nil; only a Client that stays in old-only can do without: %w", what, ErrInvalid)
		}
	}
	if err := c.index(cfg.Older); err != nil {
		return nil, err
	}
	switch perSecond := cfg.WastedTrialsPerSecond; {
	case perSecond < 0:
		c.wasted = rate.NewLimiter(rate.Inf, 0)
	case perSecond == 0:
		c.wasted = rate.NewLimiter(100, 100)
	default:
		c.wasted = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
	}
	return c, nil
}

// index lists every key once. The new side comes first: a clone that was restored from a backup is known to both sides,
// and then the record needs no rewriting.
func (c *Client) index(older []Key) error {
	seen := map[Key]Side{}
	add := func(key Key, side Side, pair int) error {
		if isNil(key) {
			return nil
		}
		if reflect.ValueOf(key).Comparable() {
			switch was, ok := seen[key]; {
			case ok && was != side:
				return fmt.Errorf("kmsmigrate: one and the same Key is on the old and on the new side: %w", ErrInvalid)
			case ok && side == SideOld:
				return fmt.Errorf("kmsmigrate: one and the same old Key is configured twice: %w", ErrInvalid)
			case ok:
				return nil
			}
			seen[key] = side
		}
		c.keys = append(c.keys, sideKey{key: key, side: side, pair: pair})
		return nil
	}
	for i, pair := range c.pairs {
		if err := add(pair.New, SideNew, i); err != nil {
			return err
		}
	}
	for i, pair := range c.pairs {
		if err := add(pair.Old, SideOld, i); err != nil {
			return err
		}
	}
	for i, key := range older {
		if isNil(key) {
			return fmt.Errorf("kmsmigrate: Older[%d] is nil: %w", i, ErrInvalid)
		}
		if err := add(key, SideOld, -1); err != nil {
			return err
		}
	}
	return nil
}

// For returns a Client that writes with the pair of that name and is otherwise the same: it opens and renews whatever c
// does. It fails with [ErrNoKey] when no pair has the name.
func (c *Client) For(name string) (*Client, error) {
	for i, pair := range c.pairs {
		if i > 0 && pair.Name == name {
			view := *c
			view.home = i
			return &view, nil
		}
	}
	return nil, fmt.Errorf("kmsmigrate: no pair is named %q; Config.Pairs lists them: %w", name, ErrNoKey)
}

// At returns a Client that stays in phase p and is otherwise the same, for an operation of several steps that must see one
// phase throughout. It fails when p is none of the five phases.
func (c *Client) At(p Phase) (*Client, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	view := *c
	view.phase = p
	return &view, nil
}

// Phase returns the phase that the client is in now.
func (c *Client) Phase() Phase { return c.phase.Current() }

// Encrypt encrypts plaintext, 1 byte to 6 KB, under ec with the key that the phase writes with, and returns raw ciphertext
// ([EncodeBlob] makes the string that SDKs return). Errors are [*Error]s; [ErrInvalid] for an empty plaintext.
func (c *Client) Encrypt(ctx context.Context, plaintext []byte, ec EncryptionContext) ([]byte, error) {
	p, err := c.begin(ctx, "encrypt", plaintext)
	if err != nil {
		return nil, err
	}
	key, err := c.writer("encrypt", p)
	if err != nil {
		return nil, err
	}
	return c.encrypt(ctx, key, p.Writes(), plaintext, ec)
}

// begin makes the checks that every operation starts with and reads the phase, once.
func (c *Client) begin(ctx context.Context, op string, input []byte) (Phase, error) {
	if err := ctx.Err(); err != nil {
		return 0, &Error{Op: op, Err: err}
	}
	if len(input) == 0 {
		return 0, &Error{Op: op, Err: fmt.Errorf("nothing was given to %s: %w", op, ErrInvalid)}
	}
	return c.ready(ctx, op)
}

// ready is begin for an operation without input.
func (c *Client) ready(ctx context.Context, op string) (Phase, error) {
	if err := ctx.Err(); err != nil {
		return 0, &Error{Op: op, Err: err}
	}
	p := c.phase.Current()
	if err := p.check(); err != nil {
		return 0, &Error{Op: op, Err: err}
	}
	return p, nil
}

// encrypt makes one call and refuses an answer that cannot be right.
func (c *Client) encrypt(ctx context.Context, key Key, side Side, plaintext []byte, ec EncryptionContext) (ciphertext []byte, err error) {
	err = c.observe(ctx, Event{Op: "encrypt", Side: side}, func(ctx context.Context) (KeyRef, error) {
		ciphertext, err = key.Encrypt(ctx, plaintext, ec)
		if err != nil {
			return KeyRef{}, sideError("encrypt", side, KeyRef{}, err)
		}
		ref, owned := key.Owns(ciphertext)
		if len(ciphertext) == 0 || owned == Foreign {
			return ref, &Error{Op: "encrypt", Side: side, Key: ref, Err: ErrBadAnswer}
		}
		return ref, nil
	})
	if err != nil {
		return nil, err
	}
	return ciphertext, nil
}

// decrypt makes one call and refuses an answer that cannot be right.
func (c *Client) decrypt(ctx context.Context, e Event, key Key, ciphertext []byte, ec EncryptionContext) (plaintext []byte, err error) {
	err = c.observe(ctx, e, func(ctx context.Context) (KeyRef, error) {
		plaintext, err = key.Decrypt(ctx, ciphertext, ec)
		ref, _ := key.Owns(ciphertext) // after the call, which may have taught the key whose it is
		if err != nil {
			return ref, sideError(e.Op, e.Side, ref, err)
		}
		if len(plaintext) == 0 {
			return ref, &Error{Op: e.Op, Side: e.Side, Key: ref, Err: ErrBadAnswer}
		}
		return ref, nil
	})
	if err != nil {
		return nil, err
	}
	return plaintext, nil
}

// isNil also finds the nil pointer inside an interface, which is what a constructor's ignored error leaves behind.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Slice, reflect.Chan:
		return rv.IsNil()
	default:
		return false
	}
}
