package rekey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// RetryStore is what [Retry] needs.
type RetryStore interface {
	Getter
	Swapper
}

// Retry does for the records of the given ids what [Sweep] does for all: those that were quarantined, after the reason has
// been removed. Ids of records that are gone are skipped. Options.Checkpoint and Options.Range are not used.
func Retry(ctx context.Context, codec Codec, store RetryStore, ids iter.Seq[string], o Options) (Report, error) {
	if store == nil || ids == nil {
		return Report{}, fmt.Errorf("rekey: the store or the ids are nil: %w", kmsmigrate.ErrInvalid)
	}
	o.Checkpoint, o.Range = nil, Range{}
	// A scan that breaks off is started again from its beginning; ids that are done by then are new already.
	return Sweep(ctx, codec, listed{RetryStore: store, ids: ids}, o)
}

// listed is a store that has only some records.
type listed struct {
	RetryStore
	ids iter.Seq[string]
}

func (l listed) Scan(ctx context.Context, _ Range) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for id := range l.ids {
			rec, err := l.Get(ctx, id)
			if errors.Is(err, ErrConflict) {
				continue
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// QuarantineLog returns a function for Options.Quarantine that writes one JSON object a line to w. The first error of w is
// returned by the second function, after the sweep.
func QuarantineLog(w io.Writer) (add func(Quarantined), failed func() error) {
	var mu sync.Mutex
	var first error
	encoder := json.NewEncoder(w)
	add = func(q Quarantined) {
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(q); err != nil && first == nil {
			first = err
		}
	}
	return add, func() error {
		mu.Lock()
		defer mu.Unlock()
		return first
	}
}

// ReadQuarantine reads what QuarantineLog wrote. After an error, which it yields with a zero Quarantined, it stops.
func ReadQuarantine(r io.Reader) iter.Seq2[Quarantined, error] {
	return func(yield func(Quarantined, error) bool) {
		for decoder := json.NewDecoder(r); ; {
			var q Quarantined
			switch err := decoder.Decode(&q); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(Quarantined{}, fmt.Errorf("rekey: reading a quarantine list: %w: %w", err, kmsmigrate.ErrInvalid))
				return
			case !yield(q, nil):
				return
			}
		}
	}
}
