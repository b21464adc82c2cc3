package alikms

import (
	"context"
	"log/slog"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Observer is told of every attempt that an endpoint sends. Its methods are called on the goroutine that makes the call,
// from many at once, so they must be quick. No Attempt holds a plaintext, a ciphertext, a context value or a credential.
// Where none is set, nothing is measured and nothing is paid.
type Observer interface {
	// Start is called before an attempt waits for its turn; the attempt and End get the context it returns.
	Start(ctx context.Context, a Attempt) context.Context
	// End is called after it, with Waited, Duration and Err filled in.
	End(ctx context.Context, a Attempt)
}

// Attempt is one request to an endpoint, or the try to send one.
type Attempt struct {
	Side       kmsmigrate.Side   // what the config says that the endpoint is; SideUnknown where it says nothing
	Op         string            // the action: "Encrypt", "AdvanceDecrypt", "ListKeyVersions"
	Key        kmsmigrate.KeyRef // the endpoint, and the key as far as the request names one by id
	Number     int               // 1 for the first attempt of a call
	Background bool              // the context was marked by kmsmigrate.Background
	Waited     time.Duration     // of End: for its turn
	Duration   time.Duration     // of End: from sending to the end of the answer
	Err        error             // of End: nil, or a *kmsmigrate.Error
}

// LogAttempts returns an Observer that writes a line to logger for every attempt: failures that nobody repeats at level
// Warn, everything else at Debug.
func LogAttempts(logger *slog.Logger) Observer { return logObserver{logger} }

type logObserver struct{ logger *slog.Logger }

func (o logObserver) Start(ctx context.Context, _ Attempt) context.Context { return ctx }

func (o logObserver) End(ctx context.Context, a Attempt) {
	level := slog.LevelDebug
	attributes := []slog.Attr{
		slog.String("op", a.Op), slog.String("endpoint", a.Key.Endpoint), slog.String("side", a.Side.String()), slog.Int("attempt", a.Number),
		slog.Bool("background", a.Background), slog.Duration("waited", a.Waited), slog.Duration("duration", a.Duration),
	}
	if a.Key.KeyID != "" {
		attributes = append(attributes, slog.String("key", a.Key.KeyID))
	}
	if a.Err != nil {
		if !retryable(a.Err) {
			level = slog.LevelWarn
		}
		attributes = append(attributes, slog.String("error", a.Err.Error()))
	}
	o.logger.LogAttrs(ctx, level, "kms call", attributes...)
}
