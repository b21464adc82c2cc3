package rekey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Options tune a [Sweep]. The zero value is a sweep of everything, with reasonable bounds.
type Options struct {
	// Name says which sweep this is: "customers.secret". A checkpoint of another name is refused.
	Name string
	// Range is the part of the store to sweep. The zero value is all of it.
	Range Range
	// Workers is how many records are renewed at once. Zero means 16. The endpoints pace the KMS calls, so more workers
	// than their rate asks for only wait.
	Workers int
	// InFlight and InFlightBytes bound the records that have been read and are not finished, and so the memory. Zero means
	// 64 per worker, and 32 MiB.
	InFlight      int
	InFlightBytes int64
	// Timeout bounds one try at one record. Zero means 30 seconds.
	Timeout time.Duration
	// Patience is how long the sweep goes on trying while nothing succeeds because a service or the store is down; then
	// it stops with an error. Zero means 5 minutes. Denied permissions and disabled keys, which do not pass by
	// themselves, are given 30 seconds at most.
	Patience time.Duration
	// Checkpoint keeps how far the sweep has come, every CheckpointEvery (zero: 5 seconds). The sweep is right without one:
	// it only reads again what it has done already. Nil keeps none.
	Checkpoint      Checkpoint
	CheckpointEvery time.Duration
	// Progress is told how far the sweep has come, every ProgressEvery (zero: one second) and at the end, by one goroutine.
	Progress      func(Progress)
	ProgressEvery time.Duration
	// Quarantine is told of every record that cannot be renewed, as it is found, from several goroutines.
	Quarantine func(Quarantined)
	// ListQuarantined is how many quarantined records the Report lists; all are counted. Zero means 1000.
	ListQuarantined int
	// MaxInARow is how many records in a row may be quarantined for one reason, without one that was renewed between them:
	// then it is not the records that are wrong. Where there is a Pause the sweep is paused, and Pause.Why and
	// Progress.Waiting say so; Pause.Set(false) lets it go on, to as many again, after whose reason was removed or
	// accepted, and [Retry] does what was quarantined. Without one, in a dry run, and where StopInARow is set, it stops with an
	// error. Zero means 1000, negative means no limit.
	MaxInARow  int64
	StopInARow bool

	// DryRun reads and counts, and neither renews nor writes nor touches the checkpoint: Report.Stale is what would be
	// renewed, and Report.DataKeys and Report.Bytes what that would cost. It makes no KMS call.
	DryRun bool
	// CodecFor chooses the Codec of a record: tenants have keys of their own. Nil means the sweep's Codec for all. Its
	// error quarantines the record.
	CodecFor func(Record) (Codec, error)
	// By puts records into classes that the Report counts apart: a tenant's name. Nil means that there are none.
	By func(Record) string
	// ReadBack reads one of so many renewed records back from the store and opens it, which can cost a KMS call. Zero
	// means none. It needs a Store with a Getter; others are not read back.
	ReadBack int

	// PerSecond is a ceiling on the records renewed per second. Zero means none: the endpoints keep the KMS's rate anyway.
	PerSecond float64
	// Fleet divides a rate of KMS calls with other processes. Nil means that there is none to divide.
	Fleet *Fleet
	// Window is when the sweep may run. Outside of it, it waits.
	Window Window
	// Pause pauses and resumes the sweep by call. Nil means that nobody does.
	Pause *Pause
	// Load is asked every LoadEvery (zero: 5 seconds) whether the database can bear the sweep: replication lag, a
	// query's latency. While it returns an error, does not return in time, or has not been asked yet, the sweep waits.
	Load      func(context.Context) error
	LoadEvery time.Duration
	// Steer sets how wide the sweep is, where Load only opens and shuts. It is asked every LoadEvery for the load as a part
	// of what the database can bear: replication lag over the lag that is allowed, or Pressure.Mean over the time that a
	// swap may take. Up to 1 the sweep gets wider, to Options.Workers at most; above it is halved, and one record at a
	// time becomes none. It begins shut, and an error, an answer that comes late and one that is no load shut it. A store that
	// writes in batches makes them of what is under way, so they grow and shrink with it. Nil means that nobody steers.
	Steer func(context.Context, Pressure) (load float64, err error)
	// Contended is what this sweep and others, or a Rekeyer, know of records that somebody else is writing: they are left
	// alone for a while and counted as conflicts. Nil means that only this sweep's own conflicts count, once each.
	Contended *Contended
}

// Sweep reads every record of store and renews those that the old side still wraps. Records that need nothing cost no KMS
// call. All its KMS calls are marked with [kmsmigrate.Background]. Records that share a wrapped data key are renewed
// after the first of them, so that a Codec that remembers what it made of a wrapped key is asked once.
//
// A record that cannot be renewed is quarantined and the sweep goes on. The sweep stops, and can be started again at any
// time, when ctx is done, when the phase does not rewrite ([kmsmigrate.ErrPhase], [kmsmigrate.ErrRetired]), when
// the application has closed an endpoint ([net.ErrClosed]), when a service or the store stays down for longer than Options.Patience, and after Options.MaxInARow. The Report is good also
// when the error is not nil. A nil error means that every record was read; whether the old side is empty now is for
// [TakeCensus] to say.
func Sweep(ctx context.Context, codec Codec, store Store, o Options) (Report, error) {
	s, err := newSweep(ctx, codec, store, o)
	if err != nil {
		return Report{}, err
	}
	defer s.stop(nil)
	if err := s.resume(); err != nil {
		return s.report.snapshot(s.after()), err
	}
	s.count()
	defer s.o.Fleet.join(s.ctx)()

	var reporter sync.WaitGroup
	for range s.o.Workers {
		s.workers.Go(s.work)
	}
	finished := make(chan struct{})
	measuring, stopMeasuring := context.WithCancel(s.ctx)
	defer stopMeasuring()
	reporter.Go(func() { s.pace.measure(measuring, s.o.LoadEvery) })
	reporter.Go(func() { s.tell(finished) })

	complete, returned := false, false
	func() {
		defer func() {
			if !returned { // the store's scan has ended this goroutine: leave no other behind
				s.stop(errExit)
			}
			s.flying.Wait() // whoever is let go by another is sent to tasks by a worker
			close(s.tasks)
			s.workers.Wait()
			stopMeasuring()
			close(finished)
			reporter.Wait()
		}()
		complete = s.read()
		returned = true
	}()

	err = context.Cause(s.ctx)
	s.report.end(complete && err == nil)
	s.save(true)
	s.progress()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("rekey: the sweep was stopped before its end: %w", err)
	}
	report := s.report.snapshot(s.after())
	report.DataKeys = s.keys.count()
	return report, err
}

// sweep is one run of Sweep.
type sweep struct {
	ctx   context.Context // background; cancelled by stop
	stop  context.CancelCauseFunc
	codec Codec
	store Store
	o     Options

	pace   *pace
	keys   distinct
	gate   gate
	room   room
	flying sync.WaitGroup // records in flight
	// workers renew them. One that the store ends is replaced, so that the others' places are emptied.
	workers sync.WaitGroup
	tasks   chan *item
	groups  groups
	mark    watermark
	report  report
	dead    deadKeys
	streak  streak
	batches *batcher
	total   int64  // records in the range, where the store can count
	saved   string // the watermark that the checkpoint has
}

// item is one record on its way.
type item struct {
	rec   Record
	codec Codec
	class *class
	group [32]byte          // zero: shares its wrapping with no other
	key   kmsmigrate.KeyRef // that wraps it, as far as known
	leads bool              // the first of its group
	known bool              // its wrapped data key has been renewed
	at    *step
	bytes int64
}

func newSweep(ctx context.Context, codec Codec, store Store, o Options) (*sweep, error) {
	switch {
	case codec == nil:
		return nil, fmt.Errorf("rekey: the Codec is nil: %w", kmsmigrate.ErrInvalid)
	case store == nil:
		return nil, fmt.Errorf("rekey: the Store is nil: %w", kmsmigrate.ErrInvalid)
	case o.Workers < 0, o.InFlight < 0, o.InFlightBytes < 0, o.Timeout < 0, o.Patience < 0, o.CheckpointEvery < 0, o.ProgressEvery < 0, o.ListQuarantined < 0, o.PerSecond < 0, o.ReadBack < 0, o.LoadEvery < 0:
		return nil, fmt.Errorf("rekey: a negative number in Options: %w", kmsmigrate.ErrInvalid)
	}
	if err := o.Fleet.check(); err != nil {
		return nil, err
	}
	if err := o.Window.check(); err != nil {
		return nil, fmt.Errorf("rekey: %w: %w", err, kmsmigrate.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.DryRun {
		o.Checkpoint, o.Fleet = nil, nil // a rehearsal must not move the one, and makes no calls for the other
	}
	orDefault(&o.Workers, 16)
	orDefault(&o.InFlight, 64*o.Workers)
	orDefault(&o.InFlightBytes, 32<<20)
	orDefault(&o.Timeout, 30*time.Second)
	orDefault(&o.Patience, 5*time.Minute)
	orDefault(&o.CheckpointEvery, 5*time.Second)
	orDefault(&o.ProgressEvery, time.Second)
	orDefault(&o.ListQuarantined, 1000)
	orDefault(&o.LoadEvery, 5*time.Second)
	if o.MaxInARow == 0 {
		o.MaxInARow = 1000
	}
	s := &sweep{codec: codec, store: store, o: o}
	s.ctx, s.stop = context.WithCancelCause(kmsmigrate.Background(ctx))
	s.batches = newBatcher(s.ctx, store, o.Timeout)
	s.room = room{records: o.InFlight, bytes: o.InFlightBytes, freed: make(chan struct{}, 1)}
	s.pace = newPace(o)
	s.tasks = make(chan *item, o.InFlight) // so that nobody who holds a place ever waits to hand it on
	s.groups.waiting = map[[32]byte][]*item{}
	s.mark.after = o.Range.After
	s.report.begin(o.ListQuarantined)
	return s, nil
}

// read scans the store and hands out what is stale. It reports whether it came to the end.
func (s *sweep) read() bool {
	after := s.after()
	for {
		began := time.Now()
		err := contained(func() error {
			for rec, err := range s.store.Scan(s.ctx, Range{After: after, Through: s.o.Range.Through}) {
				if err != nil {
					return err
				}
				s.gate.open()
				if err := s.take(rec); err != nil {
					return err
				}
				after = rec.ID
			}
			return nil
		})
		if s.ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		if errors.Is(err, errPanic) || errors.Is(err, kmsmigrate.ErrInvalid) {
			s.stop(err)
			return false
		}
		// The scan goes on after the last record that it yielded.
		s.report.retry()
		if err := s.gate.fail(began, fmt.Errorf("reading the store: %w", err), s.o.Patience); err != nil {
			s.stop(err)
			return false
		}
		if s.gate.wait(s.ctx) != nil {
			return false
		}
	}
}

// take looks at one record's header and queues it where it is stale.
func (s *sweep) take(rec Record) error {
	if rec.ID == "" {
		return fmt.Errorf("rekey: the store yielded a record without an id: %w", kmsmigrate.ErrInvalid)
	}
	if len(rec.Value) == 0 {
		s.report.empty()
		s.mark.pass(rec.ID)
		return nil
	}
	if err := s.pace.wait(s.ctx); err != nil {
		return err
	}
	class := s.report.class(s.o.By, rec)
	reason := ReasonUnreadable
	codec, err := choose(s.codec, s.o.CodecFor, rec)
	if err != nil {
		reason = ReasonNoCodec
	}
	var info kmsmigrate.Info
	if err == nil {
		info, err = codec.Inspect(rec.Value)
	}
	if err != nil {
		s.report.scanned()
		s.quarantine(rec.ID, class, reason, err)
		s.mark.pass(rec.ID)
		return s.ctx.Err()
	}
	it := &item{rec: rec, codec: codec, class: class, bytes: int64(len(rec.ID) + len(rec.Value))}
	if c, ok := info.Standing(); ok {
		if c.Side == kmsmigrate.SideNew {
			s.report.alreadyNew(true)
			class.count(func(c *ClassCount) { c.AlreadyNew++ })
			s.streak.readable()
			s.mark.pass(rec.ID)
			return nil
		}
		it.group, it.key = c.Group, c.Key
	}
	if s.o.DryRun {
		s.report.scanned()
		s.rehearse(it)
		s.mark.pass(rec.ID)
		return nil
	}
	if s.o.Contended.has(rec.ID) {
		s.report.scanned()
		s.report.conflict()
		s.mark.pass(rec.ID)
		return nil
	}
	if err := s.room.take(s.ctx, it.bytes); err != nil {
		return err
	}
	s.flying.Add(1)
	s.report.scanned()
	s.report.nOpen.Add(1)
	it.at = s.mark.start(rec.ID)
	if s.groups.enter(it) {
		s.tasks <- it
	}
	return nil
}

// after is the id up to which everything is finished.
func (s *sweep) after() string { return s.mark.reached() }
