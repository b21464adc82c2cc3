package rekey

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// kind is what an error means for the work at hand.
type kind uint8

const (
	kindRecord   kind = iota // it is about this record: quarantine it and go on
	kindOutage               // it says nothing of the record: wait and try again
	kindStore                // the same, and it is the store that fails
	kindConflict             // somebody else wrote: nothing to do
	kindBusy                 // somebody else holds a lock
	kindFatal                // no record can be renewed: stop
)

// renewKind classifies the error of a Codec. net.ErrClosed is fatal: the application has closed an endpoint, and it does not
// open again. ErrBadAnswer counts as an outage, because a service that answers with
// nothing usually does so for a while, to everyone.
func renewKind(err error) kind {
	for _, fatal := range []error{kmsmigrate.ErrPhase, kmsmigrate.ErrRetired, net.ErrClosed} {
		if errors.Is(err, fatal) {
			return kindFatal
		}
	}
	for _, outage := range []error{
		kmsmigrate.ErrThrottled, kmsmigrate.ErrUnavailable, kmsmigrate.ErrDenied, kmsmigrate.ErrKeyState, kmsmigrate.ErrBadAnswer,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, outage) {
			return kindOutage
		}
	}
	return kindRecord
}

// swapKind classifies the error of a Swapper. What a store does not explain is taken for an outage: a database that is
// down must not fill the quarantine.
func swapKind(err error) kind {
	switch {
	case errors.Is(err, ErrConflict):
		return kindConflict
	case errors.Is(err, ErrBusy):
		return kindBusy
	case errors.Is(err, ErrRefused):
		return kindRecord
	default:
		return kindStore
	}
}

// Reasons for which a record is quarantined. A Codec whose errors have a method Reason() string can add others.
const (
	ReasonUnreadable = "not ciphertext"                // its header cannot be read
	ReasonNoCodec    = "no codec for it"               // Options.CodecFor failed
	ReasonNoKey      = "no key opens it"               // of another key, region or account, damaged, or under another context
	ReasonInvalid    = "damaged or of another context" // the key that it names refuses it
	ReasonBadAnswer  = "bad answer"                    // the service answers, and not with what can be right
	ReasonKeyDown    = "its key cannot be used"        // denied, disabled or down, while other keys work
	ReasonService    = "the service fails for it"      // again and again, while it renews others of the same key
	ReasonRefused    = "the store refuses"             // the new value does not fit the store
	ReasonStore      = "the store fails"               // again and again for this record, while others are swapped
	ReasonMismatch   = "reads back wrongly"            // after it was renewed, something else is there that does not open
	ReasonOther      = "cannot be renewed"
)

// reasonOf puts an error into words that can be counted.
func reasonOf(err error) string {
	var own interface{ Reason() string }
	switch {
	case errors.As(err, &own):
		return own.Reason()
	case errors.Is(err, ErrRefused):
		return ReasonRefused
	case errors.Is(err, kmsmigrate.ErrNoKey), errors.Is(err, kmsmigrate.ErrForeign):
		return ReasonNoKey
	case errors.Is(err, kmsmigrate.ErrInvalid):
		return ReasonInvalid
	case errors.Is(err, kmsmigrate.ErrBadAnswer):
		return ReasonBadAnswer
	default:
		return ReasonOther
	}
}

// contained calls do and turns a panic of the caller's store or codec into an error. Its value is left out: it can hold
// anything, a plaintext included.
func contained(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("rekey: the store or the codec panicked with a %T: %w", v, errPanic)
		}
	}()
	return do()
}

var (
	errPanic = errors.New("panic")
	errExit  = errors.New("rekey: the store or the codec ended its goroutine")
)
