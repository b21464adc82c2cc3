package envelope

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// identity is everything that an entry depends on, as one string: see identify. Entries are found by a hash of it, or of a
// part, and compared in full, so that a collision costs time and nothing else. A cryptographic hash would do without the
// comparison, and cost more than opening a short record does.
type identity string

// errUnfinished is what waiters get when the goroutine they wait for was ended from inside a Key.
var errUnfinished = errors.New("envelope: the call to the KMS ended without an answer")

// cached is a value that several goroutines use at once and that is overwritten when the last of them is done.
type cached interface {
	comparable
	retain(n int64) // n more users
	tryRetain() bool
	release()
	leave()
	isGone() bool
}

// refs counts the users of an entry; the cache is one of them. The zero value must be retained once by whoever makes it. Of an
// entry with nothing to overwrite the users on the hot path are not counted.
type refs struct {
	users atomic.Int64
	left  atomic.Bool // the cache is no longer one of them
	wipe  func()      // may be nil
}

func (r *refs) leave()       { r.left.Store(true) }
func (r *refs) isGone() bool { return r.left.Load() }

func (r *refs) retain(n int64) { r.users.Add(n) } //nolint:unparam // fly retains for all who wait

// tryRetain fails when the last user is gone, and what it used with it.
func (r *refs) tryRetain() bool {
	if r.wipe == nil {
		return true
	}
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *refs) release() {
	if r.wipe != nil && r.users.Add(-1) == 0 {
		r.wipe()
	}
}

// cache keeps values for a short time and fetches each of them once, however many goroutines ask. Errors are not kept: an
// outage that is over is over at once.
type cache[V cached] struct {
	entries *otter.Cache[uint64, V] // nil: nothing is kept, calls are still shared
	timeout time.Duration

	// hot has what was read last. It holds nothing that is not in entries, and is there because a read of entries, which
	// keeps their order of use, would be a good part of what opening a short record costs.
	hot   [hotSlots]atomic.Pointer[hot[V]] // by hash
	last  atomic.Pointer[hot[V]]
	start time.Time

	mu         sync.Mutex
	flights    map[flightKey]*flight[V]
	generation uint64 // how often all was forgotten
}

const hotSlots = 64

type hot[V cached] struct {
	hash  uint64
	value V
	until time.Duration // since the cache's start
}

// flightKey keeps apart what must not be shared: calls made in different phases, a user's request and a sweep, which
// would make the user wait for the sweep's pace, and what began before all was forgotten, which must not be remembered.
type flightKey struct {
	id         identity
	phase      kmsmigrate.Phase
	background bool
	generation uint64
}

type flight[V cached] struct {
	done    chan struct{}
	waiters int64
	ended   bool
	value   V
	err     error
}

func newCache[V cached](maxEntries int, maxAge, timeout time.Duration) (*cache[V], error) {
	c := &cache[V]{timeout: timeout, flights: map[flightKey]*flight[V]{}, start: time.Now()}
	if maxAge <= 0 {
		return c, nil
	}
	entries, err := otter.New(&otter.Options[uint64, V]{
		MaximumSize:      maxEntries,
		ExpiryCalculator: otter.ExpiryWriting[uint64, V](maxAge),
		OnAtomicDeletion: c.gone,
	})
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	c.entries = entries
	return c, nil
}

// off tells that nothing is kept. Calls for one entry at one time are still shared by who goes through acquire.
func (c *cache[V]) off() bool { return c.entries == nil }

// get returns an entry that is present and not too old. The caller must compare it with what it asked for. Nothing is
// retained.
func (c *cache[V]) get(hash uint64) (V, bool) {
	var none V
	if c.entries == nil {
		return none, false
	}
	slot := &c.hot[hash%hotSlots]
	if h := slot.Load(); h != nil && h.hash == hash && c.alive(h) {
		return h.value, true
	}
	entry, ok := c.entries.GetEntry(hash)
	if !ok {
		return none, false
	}
	h := &hot[V]{hash: hash, value: entry.Value, until: time.Since(c.start) + time.Duration(entry.ExpiresAtNano-entry.SnapshotAtNano)}
	slot.Store(h)
	c.last.Store(h)
	if h.value.isGone() { // while this was looking
		c.cool(slot, h.value)
		c.cool(&c.last, h.value)
	}
	return h.value, true
}

// latest returns the entry that get last went to entries for, for who must pay to find out what to ask get for.
func (c *cache[V]) latest() (v V, ok bool) {
	if h := c.last.Load(); h != nil && c.alive(h) {
		return h.value, true
	}
	return v, false
}

// alive tells whether h is still in entries. One time in sixteen it sends the caller on to look, because the eviction policy must
// know what is in use.
func (c *cache[V]) alive(h *hot[V]) bool {
	return rand.Uint32()&15 != 0 && !h.value.isGone() && time.Since(c.start) < h.until //nolint:gosec // nobody gains by guessing
}

// gone is told of every entry that leaves, whyever.
func (c *cache[V]) gone(e otter.DeletionEvent[uint64, V]) {
	e.Value.leave()
	c.cool(&c.hot[e.Key%hotSlots], e.Value)
	c.cool(&c.last, e.Value)
	e.Value.release()
}

// cool empties a slot that holds v.
func (c *cache[V]) cool(slot *atomic.Pointer[hot[V]], v V) {
	if h := slot.Load(); h != nil && h.value == v {
		slot.CompareAndSwap(h, nil)
	}
}

// acquire returns an entry that usable takes, from the cache or from fetch, retained for the caller. Fetch runs apart
// from ctx, under the cache's own time-out, so that a caller who gives up fails nobody else.
func (c *cache[V]) acquire(ctx context.Context, hash uint64, id identity, p kmsmigrate.Phase, usable func(V) bool, fetch func(context.Context) (V, error)) (V, error) {
	var none V
	c.mu.Lock()
	// A flight that ended after the caller looked has left its answer here.
	if v, ok := c.get(hash); ok && usable(v) && v.tryRetain() {
		c.mu.Unlock()
		return v, nil
	}
	fk := flightKey{id: id, phase: p, generation: c.generation}
	f := c.flights[fk]
	if f == nil && kmsmigrate.IsBackground(ctx) {
		fk.background = true
		f = c.flights[fk]
	}
	if f == nil {
		f = &flight[V]{done: make(chan struct{}), err: errUnfinished}
		c.flights[fk] = f
		go c.fly(context.WithoutCancel(ctx), hash, fk, f, fetch)
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !f.ended:
		f.waiters--
	case f.err == nil:
		f.value.release()
	}
	return none, fmt.Errorf("envelope: waiting for a data key: %w", context.Cause(ctx))
}

// fly makes the one call of a flight and hands its result to whoever still waits.
func (c *cache[V]) fly(ctx context.Context, hash uint64, fk flightKey, f *flight[V], fetch func(context.Context) (V, error)) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, fk)
		f.ended = true
		if f.err == nil {
			f.value.retain(f.waiters)
			if c.entries == nil || fk.generation != c.generation {
				f.value.release()
			} else {
				c.entries.Set(hash, f.value)
			}
		}
		close(f.done)
	}()
	f.value, f.err = fetch(ctx)
}

// drop removes one entry, if it still is v.
func (c *cache[V]) drop(hash uint64, v V) {
	if c.entries == nil {
		return
	}
	c.entries.ComputeIfPresent(hash, func(now V) (V, otter.ComputeOp) {
		if now == v {
			return now, otter.InvalidateOp
		}
		return now, otter.CancelOp
	})
}

// dropIf removes the entries that gone says yes to.
func (c *cache[V]) dropIf(gone func(V) bool) {
	if c.entries == nil {
		return
	}
	for hash, v := range c.entries.All() {
		if gone(v) {
			c.drop(hash, v)
		}
	}
}

// forget removes all entries. What is under way ends for those who wait for it, and is not kept.
func (c *cache[V]) forget() {
	c.mu.Lock()
	c.generation++
	c.mu.Unlock()
	c.dropIf(func(V) bool { return true })
}

func (c *cache[V]) size() int {
	if c.entries == nil {
		return 0
	}
	return c.entries.EstimatedSize()
}

func (c *cache[V]) close() {
	if c.entries != nil {
		c.entries.InvalidateAll()
		c.entries.StopAllGoroutines()
	}
}
