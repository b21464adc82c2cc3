package kmsmigrate

import (
	"context"
	"time"
)

// Observer is told of every operation on a key: how long it took, on which side, and how it ended. Its methods are called
// on the goroutine that does the work, so they must be quick, and from many goroutines at once. No Event holds a
// plaintext, a ciphertext, a context value or a credential.
type Observer interface {
	// Start is called before the operation; the operation and End get the context it returns.
	Start(ctx context.Context, e Event) context.Context
	// End is called after it, with Duration, Err and what has become known of the Key filled in.
	End(ctx context.Context, e Event)
}

// Event is one operation on one key.
type Event struct {
	Op         string        // "encrypt", "decrypt", or "verify" for the decryption that proves a renewed ciphertext
	Side       Side          // which side was asked
	Key        KeyRef        // of End: the key version that answered, as far as known
	Background bool          // the context was marked by Background
	Trial      bool          // nobody knew whose ciphertext it was, so the side was asked to try
	Duration   time.Duration // of End: how long the operation took
	Err        error         // of End: nil, or why it failed
}

// observe runs one operation between Start and End. It costs a nil check where no Observer is set.
func (c *Client) observe(ctx context.Context, e Event, do func(context.Context) (KeyRef, error)) error {
	if c.observer == nil {
		_, err := do(ctx)
		return err
	}
	e.Background = IsBackground(ctx)
	ctx = c.observer.Start(ctx, e)
	start := time.Now()
	e.Key, e.Err = do(ctx)
	e.Duration = time.Since(start)
	c.observer.End(ctx, e)
	return e.Err
}
