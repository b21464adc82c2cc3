package rekey

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Config is what [New] needs. Only Codec is required; the zero value of every other field is good for an application.
type Config struct {
	Codec Codec
	// CodecFor chooses the Codec of a record, as Options.CodecFor does for a sweep: tenants have keys of their own. Nil means
	// Codec for all. Its error fails the read.
	CodecFor func(Record) (Codec, error)
	// Store is where Open puts what it renewed. Nil is for who uses OpenSync alone: then Open rewrites nothing.
	Store Swapper
	// Workers is how many rewrites run at once. Zero means 4. There are no goroutines while there is nothing to rewrite.
	Workers int
	// QueueRecords and QueueBytes bound what waits for a rewrite. A read that finds the queue full is not delayed: its
	// rewrite is skipped and counted, and the next read of the record, or the sweep, does it. A record that is larger than
	// QueueBytes finds the queue full at every read: only the sweep, or OpenSync, moves it. Zero means 1024 records and 16 MiB.
	QueueRecords int
	QueueBytes   int64
	// Timeout bounds one rewrite, KMS calls and swap together. Zero means 30 seconds.
	Timeout time.Duration
	// Again is how long a record is left alone after a rewrite of it that was done or failed, as long as reads return the
	// same bytes. Zero means one minute.
	Again time.Duration
	// Contended is how long a record is left alone after a rewrite of it that met a conflict, whatever reads return: somebody
	// is writing it. Give it to sweeps of the same store too. Nil means one of its own, for as long as Again.
	Contended *Contended
	// OneIn starts gently: of N stale reads one is rewritten. Zero and one mean every.
	OneIn int
	// Notify is told how each rewrite ended, on the goroutine that did it. Nil means nobody.
	Notify func(Rewrite)
}

// Rewrite is how the rewriting of one record ended.
type Rewrite struct {
	ID       string
	Outcome  Outcome
	From, To kmsmigrate.KeyRef // the key versions before and after, as far as known
	Duration time.Duration     // from the start of the rewrite, the wait in the queue not counted
	Err      error             // why it failed; for conflicts too
}

// Outcome is the end of a rewrite.
type Outcome uint8

// The outcomes.
const (
	Rewritten  Outcome = iota + 1 // the store holds the renewed value
	Unneeded                      // it was new already
	Conflicted                    // somebody wrote meanwhile; what they wrote stays
	Failed                        // Err says why; the record is as it was
)

// String returns "rewritten", "unneeded", "conflicted" or "failed".
func (o Outcome) String() string {
	switch o {
	case Rewritten:
		return "rewritten"
	case Unneeded:
		return "unneeded"
	case Conflicted:
		return "conflicted"
	case Failed:
		return "failed"
	default:
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
}

// Rekeyer opens records for an application and rewrites the stale ones. It is safe for concurrent use.
type Rekeyer struct {
	cfg  Config
	seed maphash.Seed
	gate gate

	base   context.Context // of the rewrites: no request's
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   []job
	bytes   int64 // in queue
	workers int
	closed  bool
	idle    chan struct{} // closed when nothing is queued and nothing runs
	busy    map[mark]struct{}
	recent  recent
	stale   int64 // stale reads, for OneIn
	stats   Stats
}

// mark tells a record in one state: rewriting is tried once for each.
type mark struct {
	id  string
	sum uint64
}

// job is one rewrite, with everything it needs.
type job struct {
	mark mark
	rec  Record
}

// New checks cfg and makes a Rekeyer. It starts nothing.
func New(cfg Config) (*Rekeyer, error) {
	if cfg.Codec == nil {
		return nil, fmt.Errorf("rekey: Config.Codec is nil: %w", kmsmigrate.ErrInvalid)
	}
	if cfg.Workers < 0 || cfg.QueueRecords < 0 || cfg.QueueBytes < 0 || cfg.Timeout < 0 || cfg.Again < 0 || cfg.OneIn < 0 {
		return nil, fmt.Errorf("rekey: a negative number in Config: %w", kmsmigrate.ErrInvalid)
	}
	orDefault(&cfg.Workers, 4)
	orDefault(&cfg.QueueRecords, 1024)
	orDefault(&cfg.QueueBytes, 16<<20)
	orDefault(&cfg.Timeout, 30*time.Second)
	orDefault(&cfg.Again, time.Minute)
	orDefault(&cfg.OneIn, 1)
	if cfg.Contended == nil {
		cfg.Contended = &Contended{For: cfg.Again}
	}
	r := &Rekeyer{cfg: cfg, seed: maphash.MakeSeed(), busy: map[mark]struct{}{}, idle: make(chan struct{})}
	close(r.idle)
	r.recent = recent{keep: cfg.Again, last: map[mark]time.Time{}}
	r.base, r.cancel = context.WithCancel(kmsmigrate.Background(context.Background()))
	return r, nil
}

// orDefault gives a zero field its meaning.
func orDefault[T int | int64 | float64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Open decrypts a record that the application has read, and returns the plaintext, which is the caller's. Where the
// record is stale a rewrite is queued: it starts on its own context and time-out, with its own copy of the record, so that
// the caller may overwrite rec.Value and rec.Context as soon as Open has returned. Whatever becomes of the rewrite,
// the read is not affected.
//
// Errors are those of the Codec, and of Config.CodecFor.
func (r *Rekeyer) Open(ctx context.Context, rec Record) ([]byte, error) {
	codec, err := choose(r.cfg.Codec, r.cfg.CodecFor, rec)
	if err != nil {
		return nil, err
	}
	opened, err := codec.Open(ctx, rec.Value, rec.Context)
	if err != nil {
		return nil, err
	}
	if opened.Stale {
		r.enqueue(rec)
	}
	return opened.Plaintext, nil
}

// choose returns the codec of a record.
func choose(all Codec, of func(Record) (Codec, error), rec Record) (Codec, error) {
	if of == nil {
		return all, nil
	}
	codec, err := of(rec)
	if err == nil && codec == nil {
		err = fmt.Errorf("rekey: CodecFor returned nil: %w", kmsmigrate.ErrNoKey)
	}
	return codec, err
}

// enqueue queues a rewrite of rec, or counts why not. It never blocks.
func (r *Rekeyer) enqueue(rec Record) {
	if r.cfg.Store == nil || rec.ID == "" {
		r.count(func(s *Stats) { s.Stale++; s.NoStore++ })
		return
	}
	m := mark{rec.ID, maphash.Bytes(r.seed, rec.Value)}
	size := int64(len(rec.ID) + len(rec.Value))
	shut := r.gate.left() > 0

	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Stale++
	r.stale++
	_, busy := r.busy[m]
	switch {
	case r.closed:
		r.stats.AfterClose++
		return
	case busy, r.recent.has(m), r.cfg.Contended.has(rec.ID):
		r.stats.Repeated++
		return
	case (r.stale-1)%int64(r.cfg.OneIn) != 0:
		r.stats.NotSampled++
		return
	case shut:
		r.stats.BackedOff++
		return
	case len(r.queue) >= r.cfg.QueueRecords || r.bytes+size > r.cfg.QueueBytes:
		r.stats.QueueFull++
		return
	}
	if len(r.queue) == 0 && r.workers == 0 {
		r.idle = make(chan struct{})
	}
	r.busy[m] = struct{}{}
	r.queue = append(r.queue, job{m, rec.clone()})
	r.bytes += size
	if r.workers < r.cfg.Workers {
		r.workers++
		go r.work()
	}
}

// clone copies everything that the caller of Open may overwrite.
func (rec Record) clone() Record {
	return Record{ID: rec.ID, Value: append([]byte(nil), rec.Value...), Context: rec.Context.Clone()}
}

// work rewrites until the queue is empty. Idle workers do not wait for more: a Rekeyer that has nothing to do has no
// goroutine.
func (r *Rekeyer) work() {
	returned := false
	defer func() {
		if !returned { // the store or the codec has called runtime.Goexit
			go r.work()
		}
	}()
	for {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.workers--
			if r.workers == 0 {
				r.queue = nil
				close(r.idle)
			}
			r.mu.Unlock()
			returned = true
			return
		}
		next := r.queue[0]
		r.queue[0] = job{}
		r.queue = r.queue[1:]
		r.bytes -= int64(len(next.rec.ID) + len(next.rec.Value))
		if r.gate.left() > 0 { // a side went down since: what is queued would only knock at a closed door
			delete(r.busy, next.mark)
			r.stats.BackedOff++
			r.mu.Unlock()
			continue
		}
		r.mu.Unlock()

		r.do(next)
	}
}

// do rewrites one record. What the store does to its goroutine, it is counted.
func (r *Rekeyer) do(next job) {
	ctx, cancel := context.WithTimeout(r.base, r.cfg.Timeout)
	done := rewritten{Rewrite: Rewrite{ID: next.rec.ID, Outcome: Failed, Err: errExit}}
	defer func() {
		cancel()
		r.mu.Lock()
		delete(r.busy, next.mark)
		r.recent.add(next.mark)
		r.mu.Unlock()
		r.finish(done)
	}()
	done = r.rewrite(ctx, 0, r.cfg.Store, next.rec)
}

// rewritten is a Rewrite and, where the swap failed, its error.
type rewritten struct {
	Rewrite
	swapErr error
}

// rewrite renews a record and swaps it. Where patience is not 0 it is for the renewal.
func (r *Rekeyer) rewrite(ctx context.Context, patience time.Duration, s Swapper, rec Record) (done rewritten) {
	began := time.Now()
	done.ID, done.Outcome = rec.ID, Failed
	done.Err = contained(func() error {
		codec, err := choose(r.cfg.Codec, r.cfg.CodecFor, rec)
		if err != nil {
			return err
		}
		renewed, err := renew(ctx, patience, codec, rec)
		if err != nil {
			impatient := patience > 0 && errors.Is(err, context.DeadlineExceeded) // which says nothing of the service
			if renewKind(err) == kindOutage && r.base.Err() == nil && !impatient {
				_ = r.gate.fail(began, err, forever)
			}
			return err
		}
		r.gate.open()
		done.From, done.To = renewed.From, renewed.To
		if renewed.Ciphertext == nil {
			done.Outcome = Unneeded
			return nil
		}
		done.swapErr = s.Swap(ctx, rec.ID, rec.Value, renewed.Ciphertext)
		switch {
		case done.swapErr == nil:
			done.Outcome = Rewritten
		case errors.Is(done.swapErr, ErrConflict):
			done.Outcome = Conflicted
			r.cfg.Contended.add(rec.ID)
		}
		return done.swapErr
	})
	if errors.Is(done.Err, errPanic) {
		done.Outcome = Failed
		if done.swapErr == nil {
			done.swapErr = done.Err
		}
	}
	done.Duration = time.Since(began)
	return done
}

// forever is the patience of lazy rewriting: it backs off and never gives up.
const forever = time.Duration(1<<63 - 1)

// finish counts and tells how a rewrite ended.
func (r *Rekeyer) finish(done rewritten) {
	r.count(func(s *Stats) {
		switch done.Outcome {
		case Rewritten:
			s.Rewritten++
		case Unneeded:
			s.Unneeded++
		case Conflicted:
			s.Conflicts++
		default:
			s.Failed++
		}
	})
	if r.cfg.Notify != nil {
		// A hook that panics must not take the process down with it.
		_ = contained(func() error { r.cfg.Notify(done.Rewrite); return nil })
	}
}
