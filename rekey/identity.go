package rekey

import (
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Identifier is an optional part of a Scanner: with it, what is kept under a name (a [Place]'s notes, checkpoints, censuses that
// broke off, shared sweeps) is never taken for that of another store that was given the same name by mistake. A store that is put
// together of two should have it too:
//
//	struct { rekey.Scanner; rekey.Swapper; rekey.Identifier }{replica, primary, primary}
type Identifier interface {
	// Identity says which records these are: the same text in every process and on every day, and another for other
	// records. Empty where the store cannot tell. It is kept in notes and shown in errors.
	Identity() string
	// Condition says what the store leaves out of the place where its records are, for people; empty where it leaves out
	// nothing. See Place.Partial.
	Condition() string
}

// identify returns what a store says of itself; nothing where it is no Identifier.
func identify(store any) (identity, condition string) {
	if s, ok := store.(Identifier); ok {
		return s.Identity(), s.Condition()
	}
	return "", ""
}

// sameStore refuses a note of another store. A note that names none is from before there were identities, or of a store that
// has none, and belongs to whoever asks.
func sameStore(note, was, now string) error {
	if was == "" || was == now {
		return nil
	}
	if now == "" {
		return fmt.Errorf("rekey: the note %q is of the store %s, and this store does not tell what it is: make it an Identifier, or give it a name of its own: %w", note, was, kmsmigrate.ErrInvalid)
	}
	return fmt.Errorf("rekey: the note %q is of the store %s, and this store is %s: give it a name of its own (where it was moved or renamed, too, and Forget the old name): %w", note, was, now, kmsmigrate.ErrInvalid)
}
