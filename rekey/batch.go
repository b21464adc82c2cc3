package rekey

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Swap is one replacement of several: what [Swapper.Swap] takes.
type Swap struct {
	ID         string
	Prev, Next []byte
}

// BatchSwapper is an optional part of a Swapper, where several replacements at once cost less than one after the other: one
// round trip, one flush of the log. A [Sweep] uses it for what its workers have ready at the same moment, so batches grow
// with what is under way and no record waits for others to come.
type BatchSwapper interface {
	// SwapAll does for each what Swap does, and returns an error for each, in their order, nil where it was replaced. Each
	// is compared by itself: one that has changed, is locked or is refused says nothing of the others, which are replaced.
	SwapAll(ctx context.Context, swaps []Swap) []error
	// BatchSize is how many swaps a batch has at most. One or less: swaps by themselves are no slower here.
	BatchSize() int
}

// batcher makes batches of the swaps that come while others are under way. Its zero value hands each on by itself.
type batcher struct {
	store   BatchSwapper // nil: there are no batches
	size    int
	timeout time.Duration
	base    context.Context //nolint:containedctx // the sweep's: a batch belongs to no one record

	mu      sync.Mutex
	queue   []*waiting
	running int
}

// batchesAtOnce is how many batches are under way: one is made up while another is in the database.
const batchesAtOnce = 2

// waiting is a swap whose turn has not come.
type waiting struct {
	Swap
	err error
	// turn gets nil when err is the answer, or the batch that it is to carry out, which it is part of.
	turn chan []*waiting
}

func newBatcher(ctx context.Context, store Swapper, timeout time.Duration) *batcher {
	b := &batcher{base: ctx, timeout: timeout}
	if batches, ok := store.(BatchSwapper); ok {
		if b.size = batches.BatchSize(); b.size > 1 {
			b.store = batches
		}
	}
	return b
}

// swap replaces one value, by itself or with others. ctx bounds the waiting.
func (b *batcher) swap(ctx context.Context, store Swapper, one Swap) error {
	if b.store == nil {
		return store.Swap(ctx, one.ID, one.Prev, one.Next)
	}
	w := &waiting{Swap: one, turn: make(chan []*waiting, 1)}
	if batch := b.enter(w); batch != nil {
		b.carryOut(store, batch)
		return w.err
	}
	var batch []*waiting
	select {
	case batch = <-w.turn:
	case <-ctx.Done():
		var known bool
		if batch, known = b.leave(w); !known {
			return ctx.Err() // what is in the database already may be replaced or not, as with any time-out
		}
	}
	if batch != nil {
		b.carryOut(store, batch)
	}
	return w.err
}

// enter queues a swap, and returns the batch where it is to carry one out at once.
func (b *batcher) enter(w *waiting) []*waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, w)
	if b.running == batchesAtOnce {
		return nil
	}
	b.running++
	return b.take()
}

func (b *batcher) take() []*waiting {
	batch := slices.Clone(b.queue[:min(len(b.queue), b.size)])
	b.queue = slices.Delete(b.queue, 0, len(batch))
	return batch
}

// leave takes a swap out of the queue. It returns false where the swap is under way or has not been tried, and else what its
// turn brought.
func (b *batcher) leave(w *waiting) (batch []*waiting, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case batch = <-w.turn:
		return batch, true
	default:
	}
	if at := slices.Index(b.queue, w); at >= 0 {
		b.queue = slices.Delete(b.queue, at, at+1)
	}
	return nil, false
}

// carryOut replaces the values of a batch, tells those who wait, and hands the turn on.
func (b *batcher) carryOut(store Swapper, batch []*waiting) {
	errs, err := []error(nil), errExit // unless the store ends this goroutine
	defer func() {
		for i, w := range batch {
			if w.err = err; err == nil {
				w.err = errs[i]
			}
			if i > 0 { // the first is who carries it out
				w.turn <- nil
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.queue) == 0 {
			b.running--
			return
		}
		next := b.take()
		next[0].turn <- next
	}()
	err = contained(func() error {
		ctx, cancel := context.WithTimeout(b.base, b.timeout)
		defer cancel()
		if len(batch) == 1 {
			errs = []error{store.Swap(ctx, batch[0].ID, batch[0].Prev, batch[0].Next)}
			return nil
		}
		swaps := make([]Swap, len(batch))
		for i, w := range batch {
			swaps[i] = w.Swap
		}
		if errs = b.store.SwapAll(ctx, swaps); len(errs) != len(swaps) {
			return fmt.Errorf("rekey: SwapAll of %d returned %d errors: %w", len(swaps), len(errs), errPanic)
		}
		return nil
	})
}
