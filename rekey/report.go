package rekey

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Report is what a sweep did.
type Report struct {
	Started  time.Time `json:"started"`  // of the whole sweep, where this run went on from a checkpoint
	Ended    time.Time `json:"ended"`    // zero while it runs
	Complete bool      `json:"complete"` // it came to the end of its range

	Scanned     int64 `json:"scanned"`     // records read, not counting empty ones; at the end the sum of the next six, and of Stale
	Unfinished  int64 `json:"unfinished"`  // read, and not finished: under way, or cut off by a stop
	AlreadyNew  int64 `json:"already_new"` // needed nothing
	Renewed     int64 `json:"renewed"`     // swapped
	Conflicts   int64 `json:"conflicts"`   // somebody else wrote meanwhile, or a moment ago (Options.Contended); what they wrote stays
	Busy        int64 `json:"busy"`        // stayed locked, and were left as they are
	Quarantined int64 `json:"quarantined"` // could not be renewed, and were left as they are; or [ReasonMismatch]

	Stale    int64 `json:"stale,omitempty"`     // of a dry run: what would be renewed
	DataKeys int64 `json:"data_keys,omitempty"` // of a dry run: different wrapped data keys among those, within 2 %; each costs 3 KMS calls
	Bare     int64 `json:"bare,omitempty"`      // of a dry run: those that share no data key; each costs 3 KMS calls
	Bytes    int64 `json:"bytes,omitempty"`     // of a dry run: the length of their values, about what the database's log would grow by

	ReadBack int64                 `json:"read_back,omitempty"` // renewed records that were read back and opened
	Classes  map[string]ClassCount `json:"classes,omitempty"`   // by the class that Options.By gives

	Trials  int64 `json:"trials"`  // of AlreadyNew: those whose header did not tell, so that a KMS call had to
	Empty   int64 `json:"empty"`   // records that hold nothing (NULL, zero bytes)
	Retries int64 `json:"retries"` // tries that failed for reasons that say nothing of the record

	Reasons map[string]int64 `json:"reasons,omitempty"`          // Quarantined by reason
	List    []Quarantined    `json:"quarantined_list,omitempty"` // the first of them, up to Options.ListQuarantined

	After string `json:"after,omitempty"` // every record up to this id is finished
	// CheckpointErr is why the checkpoint could not be saved the last time; the sweep does not stop for it.
	CheckpointErr string `json:"checkpoint_error,omitempty"`
}

// ClassCount is what became of the records of one class.
type ClassCount struct {
	AlreadyNew  int64 `json:"already_new"`
	Renewed     int64 `json:"renewed"`
	Quarantined int64 `json:"quarantined"`
	Stale       int64 `json:"stale,omitempty"` // of a dry run
}

// class is a ClassCount that many goroutines write; nil where nobody asked for classes.
type class struct {
	mu sync.Mutex
	n  ClassCount
}

func (c *class) count(add func(*ClassCount)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.n)
}

// Quarantined is a record that could not be renewed. It is as it was.
type Quarantined struct {
	ID     string    `json:"id"`
	Reason string    `json:"reason"` // one of the Reason constants, or the Codec's own
	Err    string    `json:"error"`
	At     time.Time `json:"at"`
}

// report is a Report that many goroutines write.
type report struct {
	began      time.Time // this run
	started    time.Time // the sweep, which this run may only go on with
	nScanned   atomic.Int64
	nUnneeded  atomic.Int64
	nSwapped   atomic.Int64 // whatever was read back then
	nRenewed   atomic.Int64
	nConflicts atomic.Int64
	nBusy      atomic.Int64
	nTrials    atomic.Int64
	nEmpty     atomic.Int64
	nRetries   atomic.Int64
	nStale     atomic.Int64
	nBare      atomic.Int64
	nBytes     atomic.Int64
	nReadBack  atomic.Int64
	nOpen      atomic.Int64 // records in flight
	lastNano   atomic.Int64 // when the last record was renewed

	mu      sync.Mutex
	ended   time.Time
	whole   bool
	held    int64
	reasons map[string]int64
	classes map[string]*class
	list    []Quarantined
	limit   int
	saveErr string
}

func (r *report) begin(limit int) {
	r.began, r.limit, r.reasons = time.Now(), limit, map[string]int64{}
	r.started = r.began
}

// since makes the sweep as old as the run whose checkpoint it goes on from.
func (r *report) since(started time.Time) {
	if !started.IsZero() && started.Before(r.started) {
		r.started = started
	}
}

func (r *report) scanned()  { r.nScanned.Add(1) }
func (r *report) empty()    { r.nEmpty.Add(1) }
func (r *report) retry()    { r.nRetries.Add(1) }
func (r *report) conflict() { r.nConflicts.Add(1) }
func (r *report) busy()     { r.nBusy.Add(1) }

// alreadyNew counts a record that needs nothing: told from its header, or by a trial after it was counted as scanned.
func (r *report) alreadyNew(fromHeader bool) {
	r.nUnneeded.Add(1)
	if fromHeader {
		r.nScanned.Add(1)
	} else {
		r.nTrials.Add(1)
	}
}

// swapped counts a swap and returns which one it was.
func (r *report) swapped() int64 {
	r.lastNano.Store(time.Now().UnixNano())
	return r.nSwapped.Add(1)
}

// class returns where the records of rec's class are counted. There is one entry for each class, so a By that returns a
// record's id would make memory grow with the store.
func (r *report) class(by func(Record) string, rec Record) *class {
	if by == nil {
		return nil
	}
	name := by(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.classes == nil {
		r.classes = map[string]*class{}
	}
	c := r.classes[name]
	if c == nil {
		c = new(class)
		r.classes[name] = c
	}
	return c
}

func (r *report) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended.IsZero()
}

// renewedSince reports whether any record was renewed after t.
func (r *report) renewedSince(t time.Time) bool { return r.lastNano.Load() > t.UnixNano() }

func (r *report) quarantine(q Quarantined) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held++
	r.reasons[q.Reason]++
	if len(r.list) < r.limit {
		r.list = append(r.list, q)
	}
}

func (r *report) checkpointed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saveErr = ""
	if err != nil {
		r.saveErr = err.Error()
	}
}

func (r *report) end(complete bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.whole = time.Now(), complete
}

// counts returns the numbers without the list.
func (r *report) counts(after string) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Report{
		Started: r.started, Ended: r.ended, Complete: r.whole,
		AlreadyNew: r.nUnneeded.Load(), Renewed: r.nRenewed.Load(), Conflicts: r.nConflicts.Load(), Busy: r.nBusy.Load(),
		Quarantined: r.held, Trials: r.nTrials.Load(), Empty: r.nEmpty.Load(), Retries: r.nRetries.Load(),
		Reasons: maps.Clone(r.reasons), After: after, CheckpointErr: r.saveErr,
	}
	c.Stale, c.Bare, c.Bytes, c.ReadBack = r.nStale.Load(), r.nBare.Load(), r.nBytes.Load(), r.nReadBack.Load()
	for name, class := range r.classes {
		if c.Classes == nil {
			c.Classes = map[string]ClassCount{}
		}
		class.mu.Lock()
		c.Classes[name] = class.n
		class.mu.Unlock()
	}
	c.Scanned, c.Unfinished = r.nScanned.Load(), r.nOpen.Load()
	return c
}

func (r *report) snapshot(after string) Report {
	c := r.counts(after)
	r.mu.Lock()
	defer r.mu.Unlock()
	c.List = slices.Clone(r.list)
	return c
}
