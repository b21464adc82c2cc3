package rekey

import (
	"context"
	"fmt"
	"time"
)

// Stats counts what a Rekeyer did since it was made.
type Stats struct {
	Stale int64 `json:"stale"` // reads that found the record stale

	Rewritten int64 `json:"rewritten"` // records that the store now holds renewed
	Unneeded  int64 `json:"unneeded"`  // renewals that found nothing to do
	Conflicts int64 `json:"conflicts"` // swaps that lost to another writer
	Failed    int64 `json:"failed"`    // rewrites that failed; Notify has the reasons

	// Stale reads without a rewrite, by reason. A later read or the sweep makes up for them.
	Repeated   int64 `json:"repeated"`    // the same state of the record is being rewritten, or was lately, or somebody else is writing it
	QueueFull  int64 `json:"queue_full"`  // Config.QueueRecords or QueueBytes; at every read for a record that is larger than QueueBytes
	NotSampled int64 `json:"not_sampled"` // Config.OneIn
	BackedOff  int64 `json:"backed_off"`  // a side is down, and rewriting waits for it
	AfterClose int64 `json:"after_close"` // the Rekeyer is closed
	NoStore    int64 `json:"no_store"`    // there is no Config.Store, or the record has no id

	Queued int `json:"queued"` // now waiting
	Active int `json:"active"` // now being rewritten
}

// Stats returns the counts so far.
func (r *Rekeyer) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Queued, s.Active = len(r.queue), len(r.busy)-len(r.queue)
	return s
}

func (r *Rekeyer) count(add func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.stats)
}

// Wait blocks until no rewrite is queued or running, or ctx is done.
func (r *Rekeyer) Wait(ctx context.Context) error {
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeGrace is how long Close waits for a cancelled rewrite to return.
const closeGrace = time.Second

// Close ends the rewriting: reads go on working, and rewrite nothing any more. It lets what is queued finish until ctx is
// done, then drops the rest, cancels what runs and returns the context's error. To drop at once, give it a context that
// is done. After a nil error no goroutine is left; after another, only such as ignore their context.
func (r *Rekeyer) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	idle := r.idle
	r.mu.Unlock()
	defer r.cancel()
	select {
	case <-idle: // also when ctx is done: nothing is left to drop
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	dropped := len(r.queue)
	for _, j := range r.queue {
		delete(r.busy, j.mark)
	}
	r.queue, r.bytes = nil, 0
	running := r.workers
	r.mu.Unlock()
	r.cancel()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-idle:
		running = 0
	case <-grace.C:
	}
	return fmt.Errorf("rekey: closed before the rewriting was done: %d dropped, %d still running: %w", dropped, running, ctx.Err())
}
