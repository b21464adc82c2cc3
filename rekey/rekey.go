package rekey

import (
	"context"
	"errors"
	"iter"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// What a Swapper answers, and what a caller can branch on, with errors.Is.
var (
	// ErrConflict says that the record no longer holds what was read, or is gone. It is the normal answer to whoever came
	// second, and no failure.
	ErrConflict = errors.New("the record has changed since it was read")
	// ErrBusy says that someone else holds a lock on the record. The same call can succeed later, unchanged.
	ErrBusy = errors.New("the record is locked")
	// ErrRefused says that the store will never take this value for this record: it does not fit the column, or a
	// constraint forbids it. It is about the one record, not about the store.
	ErrRefused = errors.New("the store refuses the value")
)

// Codec opens and renews values of one format. It is safe for concurrent use, and it neither keeps nor changes the slices
// it is given. [kmsmigrate.Client] is the Codec of bare ciphertext.
type Codec interface {
	// Open decrypts a value, and says whether it is stale.
	Open(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error)
	// Renew returns the value as it should be, proven to open with the new key; nil Ciphertext when it is so already.
	Renew(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error)
	// Inspect tells whose key a value needs from its header, without I/O.
	Inspect(value []byte) (kmsmigrate.Info, error)
}

// Record is one encrypted value in a store.
type Record struct {
	ID      string                       // opaque; the store's own; never empty
	Value   []byte                       // as stored; empty where the record holds nothing (NULL)
	Context kmsmigrate.EncryptionContext // what the value is bound to
}

// Range is a part of a store in the store's own order. The zero value is all of it.
type Range struct {
	After   string // only records after this id; empty: from the first
	Through string // only records up to and including this id; empty: to the last
}

// Scanner reads a store in a fixed order of ids, so that a scan can start again after any id.
type Scanner interface {
	// Scan yields the records of r in the order of their ids. It reads page by page and holds nothing while it yields: no
	// cursor, no lock and no connection, so that the loop's body may write to the same store. The consumer may keep the
	// records. Records that are added or removed meanwhile may be seen or not; all others are seen exactly once. After an
	// error, which it yields with a zero Record, it stops.
	Scan(ctx context.Context, r Range) iter.Seq2[Record, error]
}

// Swapper replaces values.
type Swapper interface {
	// Swap replaces the value of record id by next if it is prev, byte for byte, in one atomic step. Otherwise, also when
	// there is no such record, it changes nothing and returns an error that wraps ErrConflict. It does not wait long for
	// a lock: it returns ErrBusy instead. It wraps ErrRefused where next cannot be stored in full.
	Swap(ctx context.Context, id string, prev, next []byte) error
}

// Store is what a sweep needs. To read from a replica and write to the primary, combine the two:
//
//	struct { rekey.Scanner; rekey.Swapper }{replica, primary}
type Store interface {
	Scanner
	Swapper
}

// Counter is an optional part of a Scanner: with it, progress tells what is left.
type Counter interface {
	// Count returns how many records Scan would yield for r, or about as many.
	Count(ctx context.Context, r Range) (int64, error)
}

// Getter is an optional part of a Scanner: with it, a sweep reads a sample of its rewrites back, and quarantined records
// can be retried.
type Getter interface {
	// Get returns one record as Scan would yield it, or an error that wraps ErrConflict when there is none.
	Get(ctx context.Context, id string) (Record, error)
}
