package rekey

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Progress is how far a sweep has come.
type Progress struct {
	Report               // without its List
	Total  int64         // records in the range when the sweep began; 0 where the store cannot count
	Left   int64         // of Total; 0 where it is not known
	Rate   float64       // records per second since the sweep began
	ETA    time.Duration // until the end at that rate; 0 where it is not known
	// Waiting is why nothing moves right now: the service or the store is down, the sweep is paused, outside of its hours
	// or held back by the load. Empty while it moves.
	Waiting string
	// Parts is how many parts a shared sweep has, and PartsDone how many of them are done, as far as this process has seen; else 0.
	Parts, PartsDone int
	Width            int // how many records may be renewed at once now, where Options.Steer says so; else 0
}

// Checkpoint keeps how far a sweep has come.
type Checkpoint interface {
	// Load returns what Save last got, or a zero Mark when there is none.
	Load(ctx context.Context) (Mark, error)
	// Save replaces the mark.
	Save(ctx context.Context, m Mark) error
}

// Mark is a place in a sweep.
type Mark struct {
	Sweep string    `json:"sweep"`          // Options.Name
	After string    `json:"after"`          // every record up to this id is finished; empty: start from the beginning
	Done  bool      `json:"done,omitempty"` // the sweep came to its end; the next one starts from the beginning
	At    time.Time `json:"at"`
	// Store is the Identity of the store, empty where it has none. Started is when the sweep began, which one that goes on
	// from the mark keeps as its Report's: where a mark has none, At is taken.
	Store   string    `json:"store,omitempty"`
	Started time.Time `json:"started,omitzero"`
}

// resume reads the checkpoint.
func (s *sweep) resume() error {
	if s.o.Checkpoint == nil {
		return nil
	}
	m, err := s.o.Checkpoint.Load(s.ctx)
	if err != nil {
		return fmt.Errorf("rekey: reading the checkpoint: %w", err)
	}
	if m == (Mark{}) {
		return nil
	}
	if m.Sweep != s.o.Name {
		return fmt.Errorf("rekey: the checkpoint is of the sweep %q, and this one is %q: give it a checkpoint of its own, or delete that one: %w", m.Sweep, s.o.Name, kmsmigrate.ErrInvalid)
	}
	identity, _ := identify(s.store)
	if err := sameStore("checkpoint of "+m.Sweep, m.Store, identity); err != nil {
		return err
	}
	if !m.Done && m.After != "" {
		s.mark.after = m.After
		if m.Started.IsZero() {
			m.Started = m.At
		}
		s.report.since(m.Started)
	}
	return nil
}

// saveTimeout bounds a save, also the last one of a sweep whose own context is done.
const saveTimeout = 5 * time.Second

// save keeps the watermark where it has moved.
func (s *sweep) save(last bool) {
	if s.o.Checkpoint == nil {
		return
	}
	m := Mark{Sweep: s.o.Name, After: s.after(), At: time.Now(), Started: s.report.started}
	m.Store, _ = identify(s.store)
	if last {
		m.Done = s.report.counts("").Complete
	}
	if m.After == s.saved && !m.Done {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), saveTimeout)
	defer cancel()
	err := contained(func() error { return s.o.Checkpoint.Save(ctx, m) })
	if err == nil {
		s.saved = m.After
	}
	s.report.checkpointed(err)
}

// count asks the store how many records there are, where it can tell. Progress is no reason to fail.
func (s *sweep) count() {
	if s.o.Progress == nil {
		return
	}
	if c, ok := s.store.(Counter); ok {
		_ = contained(func() error {
			n, err := c.Count(s.ctx, Range{After: s.after(), Through: s.o.Range.Through})
			if err == nil {
				s.total = n
			}
			return err
		})
	}
}

// tell saves checkpoints and reports progress until the sweep has finished.
func (s *sweep) tell(finished <-chan struct{}) {
	saves := time.NewTicker(s.o.CheckpointEvery)
	defer saves.Stop()
	tells := time.NewTicker(s.o.ProgressEvery)
	defer tells.Stop()
	for {
		select {
		case <-finished:
			return
		case <-saves.C:
			s.save(false)
		case <-tells.C:
			s.progress()
		}
	}
}

// progress calls Options.Progress. It and save are only ever called by one goroutine at a time.
func (s *sweep) progress() {
	if s.o.Progress == nil {
		return
	}
	p := Progress{Report: s.report.counts(s.after()), Total: s.total, Width: s.pace.width.now()}
	done := p.Scanned + p.Empty - p.Unfinished
	if lasted := time.Since(s.report.began).Seconds(); lasted > 0 {
		p.Rate = float64(done) / lasted
	}
	if p.Total > 0 && !p.Complete {
		p.Left = max(0, p.Total-done)
		if p.Rate > 0 {
			p.ETA = time.Duration(float64(p.Left) / p.Rate * float64(time.Second)).Round(time.Second)
		}
	}
	if cause := s.gate.waitingFor(); cause != nil {
		p.Waiting = cause.Error()
	} else if s.report.running() {
		p.Waiting = s.pace.held()
	}
	if err := contained(func() error { s.o.Progress(p); return nil }); err != nil {
		s.stop(err)
	}
}
