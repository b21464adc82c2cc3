package rekey

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Shared says how several processes share one sweep.
type Shared struct {
	// Notebook is what they share. Required.
	Notebook Notebook
	// Parts is how many parts the store is cut into; the first process decides. Zero means 64.
	Parts int
	// Lease is how long a part stays with a process that no longer says so, because it has died. Zero means 30 seconds.
	// Others tell by their own clocks that a lease has not been renewed for so long, so the clocks need not agree.
	Lease time.Duration
	// Lanes is how many parts this process works on at once. Zero means 1.
	Lanes int
}

// SweepShared is [Sweep], shared with every other process that calls it with the same Options.Name and notebook: each
// takes parts of the store under a lease, and takes over the parts of one that died, from its last checkpoint. It returns
// when the whole sweep is done, by whoever, with the numbers of all. To run the same sweep again, give it another name.
//
// Options.Checkpoint and Options.Range are not used. Options.Progress tells of one part at a time, and how many are done. Of
// quarantined records the Report lists the first 20 of each part; Options.Quarantine is told of all that this process met. A dry run is not shared:
// the process that calls for it reads everything, and writes nothing to the notebook.
func SweepShared(ctx context.Context, codec Codec, store Store, sh Shared, o Options) (Report, error) {
	if sh.Notebook == nil || store == nil {
		return Report{}, fmt.Errorf("rekey: a shared sweep needs a Store and a Notebook: %w", kmsmigrate.ErrInvalid)
	}
	if sh.Parts < 0 || sh.Lease < 0 || sh.Lanes < 0 || o.ListQuarantined < 0 {
		return Report{}, fmt.Errorf("rekey: a negative number in Shared or Options: %w", kmsmigrate.ErrInvalid)
	}
	if o.DryRun { // its leases would say that the parts are done
		o.Checkpoint, o.Range = nil, Range{}
		return Sweep(ctx, codec, store, o)
	}
	if err := o.Fleet.check(); err != nil {
		return Report{}, err
	}
	orDefault(&o.ListQuarantined, 1000)
	orDefault(&sh.Parts, 64)
	orDefault(&sh.Lease, 30*time.Second)
	orDefault(&sh.Lanes, 1)
	r := &runner{Shared: sh, codec: codec, store: store, o: o, me: rand.Text(), seen: map[int]sighting{}, done: map[int]bool{}}
	if err := r.plan(ctx); err != nil {
		return Report{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var lanes sync.WaitGroup
	for range sh.Lanes {
		lanes.Go(func() {
			if err := r.lane(ctx); err != nil {
				stop(err)
			}
		})
	}
	lanes.Wait()
	total, err := r.sum(context.WithoutCancel(ctx))
	if cause := context.Cause(ctx); cause != nil {
		return total, cause
	}
	return total, err
}

// runner is one process's share of a sweep.
type runner struct {
	Shared
	codec Codec
	store Store
	o     Options
	me    string
	cut   sharedPlan

	mu   sync.Mutex
	seen map[int]sighting // of parts that others hold
	done map[int]bool     // they stay done, and are not read again
}

// sighting is when a part was first seen at a revision.
type sighting struct {
	revision int64
	at       time.Time
}

// leaseNote is the note of one part.
type leaseNote struct {
	Owner  string `json:"owner,omitempty"` // empty: nobody's
	After  string `json:"after,omitempty"` // its checkpoint
	Done   bool   `json:"done,omitempty"`
	Report Report `json:"report"` // of all who worked on it
}

func (r *runner) planName() string      { return "sweep/" + r.o.Name + "/plan" }
func (r *runner) partName(i int) string { return fmt.Sprintf("sweep/%s/part-%05d", r.o.Name, i) }

// claimEvery is how often a lane that has nothing to do looks again, unless a tenth of the lease is less.
const claimEvery = 500 * time.Millisecond

// lane takes one part after the other until all are done. It has a part in the fleet's rate from one to the next, and none
// while others hold what is left.
func (r *runner) lane(ctx context.Context) error {
	leave := func() {}
	defer func() { leave() }()
	joined := false
	for {
		part, lease, revision, done, err := r.claim(ctx)
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case part < 0: // others hold what is left
			leave()
			joined = false
			if err := sleep(ctx, min(r.Lease/10, claimEvery)); err != nil {
				return err
			}
			continue
		case !joined:
			leave, joined = r.o.Fleet.join(ctx), true
		}
		if err := r.work(ctx, part, lease, revision); err != nil {
			return err
		}
	}
}

// claim takes a part that nobody holds, or whose holder has not renewed its lease. part is -1 when there is none now.
func (r *runner) claim(ctx context.Context) (part int, lease leaseNote, revision int64, done bool, err error) {
	done = true
	for i := range r.cut.Parts {
		if r.finished(i, false) {
			continue
		}
		lease, revision, err := r.read(ctx, i)
		if err != nil {
			return -1, lease, 0, false, err
		}
		if r.finished(i, lease.Done) {
			continue
		}
		done = false
		if lease.Owner != "" && !r.expired(i, revision) {
			continue
		}
		lease.Owner = r.me
		switch err := r.write(ctx, i, lease, revision); {
		case err == nil:
			return i, lease, revision + 1, false, nil
		case !errors.Is(err, ErrConflict):
			return -1, lease, 0, false, err
		}
	}
	return -1, lease, 0, done, nil
}

// finished remembers which parts are done.
func (r *runner) finished(part int, done bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[part] = r.done[part] || done
	return r.done[part]
}

// expired reports whether a part has been at this revision for a whole lease, as this process saw it.
func (r *runner) expired(part int, revision int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.seen[part]
	if !ok || was.revision != revision {
		r.seen[part] = sighting{revision, time.Now()}
		return false
	}
	return time.Since(was.at) >= r.Lease
}

func (r *runner) read(ctx context.Context, part int) (lease leaseNote, revision int64, err error) {
	text, revision, err := r.Notebook.Read(ctx, r.partName(part))
	if err != nil {
		return lease, 0, fmt.Errorf("rekey: reading a lease: %w", err)
	}
	if revision > 0 {
		if err := json.Unmarshal(text, &lease); err != nil {
			return lease, 0, fmt.Errorf("rekey: the note %q is no lease: %w", r.partName(part), kmsmigrate.ErrInvalid)
		}
	}
	return lease, revision, nil
}

func (r *runner) write(ctx context.Context, part int, lease leaseNote, revision int64) error {
	text, err := json.Marshal(lease)
	if err != nil {
		return err
	}
	return r.Notebook.Write(ctx, r.partName(part), text, revision)
}

// errLeaseLost is why a part is left: somebody took it over while this process was away.
var errLeaseLost = errors.New("the lease was lost")

// work sweeps one part and renews its lease meanwhile. A lease that is lost ends the work on the part and is no error:
// whoever has it goes on, and what both do is only done twice.
func (r *runner) work(ctx context.Context, part int, lease leaseNote, revision int64) error {
	working, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	writer := make(chan struct{}, 1) // one at a time, and nobody waits for it past its own context
	before := lease.Report
	renew := func(ctx context.Context, change func(*leaseNote)) error {
		ctx, cancel := context.WithTimeout(ctx, max(r.Lease/3, time.Second))
		defer cancel()
		select {
		case writer <- struct{}{}:
			defer func() { <-writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
		next := lease
		change(&next)
		if err := r.write(ctx, part, next, revision); err != nil {
			return err
		}
		lease = next
		revision++
		return nil
	}
	var renewals sync.WaitGroup
	renewals.Go(func() {
		last := time.Now()
		for sleep(working, r.Lease/3) == nil {
			switch err := renew(working, func(*leaseNote) {}); {
			case err == nil:
				last = time.Now()
			case errors.Is(err, ErrConflict), time.Since(last) >= r.Lease:
				leave(errLeaseLost)
			}
		}
	})
	report, err := Run(working, r.codec, r.store, r.cut.Parts[part], lease.After, func(cursor string) {
		if err := renew(working, func(l *leaseNote) { l.After = cursor }); errors.Is(err, ErrConflict) {
			leave(errLeaseLost)
		}
	}, r.options())
	lost := errors.Is(context.Cause(working), errLeaseLost)
	leave(nil)
	renewals.Wait()
	if lost {
		return nil
	}
	r.finished(part, report.Complete && err == nil)
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	end := renew(saving, func(l *leaseNote) {
		l.Owner, l.Done, l.Report = "", report.Complete, add(before, report)
		l.Report.List = l.Report.List[:min(len(l.Report.List), listPerPart)]
		if report.After != "" {
			l.After = report.After
		}
	})
	if err == nil && end != nil && !errors.Is(end, ErrConflict) {
		err = fmt.Errorf("rekey: giving a lease back: %w", end)
	}
	return err
}

// listPerPart is how many quarantined records the note of a part lists: it is written whole, each time.
const listPerPart = 20

// options are those of a part, whose progress also tells of the others.
func (r *runner) options() Options {
	o := r.o
	if tell := o.Progress; tell != nil {
		o.Progress = func(p Progress) {
			r.mu.Lock()
			p.Parts, p.PartsDone = len(r.cut.Parts), 0
			for _, done := range r.done {
				if done {
					p.PartsDone++
				}
			}
			r.mu.Unlock()
			tell(p)
		}
	}
	return o
}

// sum adds the reports of all parts.
func (r *runner) sum(ctx context.Context) (total Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	total.Started, total.Complete = r.cut.Started, true // a part's own is gone where its first process died
	for i := range r.cut.Parts {
		lease, _, err := r.read(ctx, i)
		if err != nil {
			return total, err
		}
		complete := total.Complete && lease.Done
		total = add(total, lease.Report)
		total.Complete = complete
		total.List = total.List[:min(len(total.List), r.o.ListQuarantined)]
	}
	return total, nil
}

// add adds two reports of work on different records, or on the same at different times.
func add(a, b Report) Report {
	if a.Started.IsZero() || !b.Started.IsZero() && b.Started.Before(a.Started) {
		a.Started = b.Started
	}
	if b.Ended.After(a.Ended) {
		a.Ended = b.Ended
	}
	a.Scanned += b.Scanned
	a.Unfinished = b.Unfinished
	a.AlreadyNew += b.AlreadyNew
	a.Renewed += b.Renewed
	a.Conflicts += b.Conflicts
	a.Busy += b.Busy
	a.Quarantined += b.Quarantined
	a.Stale += b.Stale
	a.DataKeys += b.DataKeys
	a.Bare += b.Bare
	a.Bytes += b.Bytes
	a.ReadBack += b.ReadBack
	a.Trials += b.Trials
	a.Empty += b.Empty
	a.Retries += b.Retries
	a.Reasons = maps.Clone(a.Reasons)
	for reason, n := range b.Reasons {
		if a.Reasons == nil {
			a.Reasons = map[string]int64{}
		}
		a.Reasons[reason] += n
	}
	a.Classes = maps.Clone(a.Classes)
	for name, n := range b.Classes {
		if a.Classes == nil {
			a.Classes = map[string]ClassCount{}
		}
		was := a.Classes[name]
		a.Classes[name] = ClassCount{was.AlreadyNew + n.AlreadyNew, was.Renewed + n.Renewed, was.Quarantined + n.Quarantined, was.Stale + n.Stale}
	}
	a.List = slices.Concat(a.List, b.List)
	a.After, a.CheckpointErr = b.After, b.CheckpointErr
	return a
}
