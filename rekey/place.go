package rekey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Place is one place of encrypted values, a column of a table, defined once for everything that is done with it: lazy
// reads, sweeps, dry runs and censuses. Where it has a Notebook, what is declared and what was done about it is kept for the whole
// fleet, so that [Places] tells of a table that applications read and nobody has swept.
//
// Name, Store and Codec are required. What is chosen here goes before what the options of a call say.
//
// A Name is of one store: where the Store is an [Identifier], as those of rekeysql and rekeyfile are, another that is declared
// under it is refused with [kmsmigrate.ErrInvalid]. Of stores that are none nobody can tell, and a name that was copied from one to
// another would prove for both what was done about one.
type Place struct {
	Name     string // "customers.secret": what sweeps, checkpoints, censuses and notes call it
	Store    Store
	Codec    Codec
	CodecFor func(Record) (Codec, error) // the codecs of tenants, as in Options and Config; may be nil
	By       func(Record) string         // the tenants' names, as in Options; may be nil
	Notebook Notebook
	// Partial says that what the Store's condition leaves out (rekeysql.Table.Where, rekeyfile.Config.Match) holds nothing of
	// the key, or is a place of its own. Without it a place that has a condition proves nothing.
	Partial bool
}

// PlaceNote is what the fleet knows of a place.
type PlaceNote struct {
	Name string `json:"name"`
	// Store is the Identity of its store, and Condition what that leaves out; empty where the store does not tell. Partial is
	// what Place.Partial said.
	Store     string `json:"store,omitempty"`
	Condition string `json:"condition,omitempty"`
	Partial   bool   `json:"partial,omitempty"`
	// Declared is when a process first declared it.
	Declared time.Time `json:"declared"`
	// Swept is when the last sweep began that came to the end of the whole place, and Quarantined how many records it left; zero
	// before the first.
	Swept       time.Time `json:"swept,omitzero"`
	Quarantined int64     `json:"quarantined,omitempty"`
	// Census is the last one that was complete; its Started is zero before the first.
	Census kmsmigrate.Census `json:"census,omitzero"`
}

// Missing says what was not done about a place since a moment, the one at which the last process stopped writing to the side
// that is to be left; nil where it was swept and counted, and nothing of it was left out.
func (n PlaceNote) Missing(since time.Time) error {
	declared := n.Declared.UTC().Format(time.RFC3339)
	var what string
	switch {
	case n.Condition != "" && !n.Partial:
		what = "its store sees a part of it only (" + n.Condition + "): declare what that leaves out as a place of its own and set Place.Partial, or leave nothing out"
	case n.Swept.IsZero():
		what = "it was declared " + declared + " and never swept to its end"
	case !n.Swept.After(since):
		what = "it was not swept to its end since " + since.UTC().Format(time.RFC3339)
	case n.Census.Started.IsZero():
		what = "it has no complete census"
	case !n.Census.Started.After(since):
		what = "it has no complete census since " + since.UTC().Format(time.RFC3339)
	default:
		return nil
	}
	return fmt.Errorf("rekey: %s: %s", n.Name, what)
}

// check refuses what is not usable.
func (p Place) check() error {
	if p.Name == "" || p.Store == nil || p.Codec == nil {
		return fmt.Errorf("rekey: a Place needs a Name, a Store and a Codec: %w", kmsmigrate.ErrInvalid)
	}
	return nil
}

// Declare notes that the place is there, and refuses a Name that is another store's. Rekeyer, Sweep and Census do it too.
func (p Place) Declare(ctx context.Context) error {
	if err := p.check(); err != nil || p.Notebook == nil {
		return err
	}
	// The list first: a name without a note of its own counts as never swept.
	err := change(ctx, p.Notebook, placesNote, func(names *[]string) bool {
		if slices.Contains(*names, p.Name) {
			return false
		}
		*names = append(*names, p.Name)
		slices.Sort(*names)
		return true
	})
	if err != nil {
		return err
	}
	var other error
	err = p.note(ctx, func(n *PlaceNote) bool {
		was := *n
		identity, condition := identify(p.Store)
		if other = sameStore("place/"+p.Name, n.Store, identity); other != nil {
			return false
		}
		n.Store, n.Condition, n.Partial = identity, condition, n.Partial || p.Partial
		return n.Store != was.Store || n.Condition != was.Condition || n.Partial != was.Partial
	})
	return errors.Join(err, other)
}

// Rekeyer declares the place and returns a Rekeyer for it. It sets cfg's Codec, CodecFor and Store.
func (p Place) Rekeyer(ctx context.Context, cfg Config) (*Rekeyer, error) {
	if err := p.Declare(ctx); err != nil {
		return nil, err
	}
	cfg.Codec, cfg.Store = p.Codec, p.Store
	prefer(&cfg.CodecFor, p.CodecFor)
	return New(cfg)
}

// Sweep declares the place and is [Sweep] for it. Where o has no Name it is the place's, and where it has no Checkpoint one is
// kept in the Notebook under that name. A sweep to the end of the whole place is noted, a dry run is not.
func (p Place) Sweep(ctx context.Context, o Options) (Report, error) {
	if err := p.Declare(ctx); err != nil {
		return Report{}, err
	}
	o = p.options(o)
	if o.Checkpoint == nil && p.Notebook != nil {
		o.Checkpoint = CheckpointIn(p.Notebook, o.Name)
	}
	report, err := Sweep(ctx, p.Codec, p.Store, o)
	if err == nil && o.Range == (Range{}) {
		err = p.swept(ctx, report, o)
	}
	return report, err
}

// SweepShared declares the place and is [SweepShared] for it. Where sh has no Notebook it is the place's, and where o has no
// Name it is the place's. Whoever sees the end of it notes it.
func (p Place) SweepShared(ctx context.Context, sh Shared, o Options) (Report, error) {
	if err := p.Declare(ctx); err != nil {
		return Report{}, err
	}
	o = p.options(o)
	if sh.Notebook == nil {
		sh.Notebook = p.Notebook
	}
	report, err := SweepShared(ctx, p.Codec, p.Store, sh, o)
	if err == nil {
		err = p.swept(ctx, report, o)
	}
	return report, err
}

// options fills in what the place says.
func (p Place) options(o Options) Options {
	if o.Name == "" {
		o.Name = p.Name
	}
	prefer(&o.CodecFor, p.CodecFor)
	prefer(&o.By, p.By)
	return o
}

// prefer sets a hook where the place has one.
func prefer[F func(Record) (Codec, error) | func(Record) string](hook *F, of F) {
	if of != nil {
		*hook = of
	}
}

// swept notes a sweep that came to its end.
func (p Place) swept(ctx context.Context, report Report, o Options) error {
	if p.Notebook == nil || o.DryRun || !report.Complete {
		return nil
	}
	return p.note(ctx, func(n *PlaceNote) bool {
		if !report.Started.After(n.Swept) {
			return false
		}
		n.Swept, n.Quarantined = report.Started, report.Quarantined
		return true
	})
}

// Census declares the place and is [TakeCensusWith] for it, under the place's name. Where o has no Notebook, and is no
// sample, it is kept in the place's. A complete one is noted.
func (p Place) Census(ctx context.Context, o CensusOptions) (CensusReport, error) {
	if err := p.Declare(ctx); err != nil {
		return CensusReport{}, err
	}
	o.Name = p.Name
	prefer(&o.CodecFor, p.CodecFor)
	prefer(&o.By, p.By)
	if o.Notebook == nil && o.Sample == 0 {
		o.Notebook = p.Notebook
	}
	report, err := TakeCensusWith(ctx, p.Codec, p.Store, o)
	report.Name = p.Name
	if err != nil || p.Notebook == nil || !report.Complete {
		return report, err
	}
	return report, p.note(ctx, func(n *PlaceNote) bool {
		if !report.Started.After(n.Census.Started) {
			return false
		}
		n.Census = report.Census
		return true
	})
}

const placesNote = "places"

// note changes the note of the place, and makes it where there is none.
func (p Place) note(ctx context.Context, edit func(*PlaceNote) bool) error {
	return change(ctx, p.Notebook, "place/"+p.Name, func(n *PlaceNote) bool {
		fresh := n.Name == ""
		if fresh {
			n.Name, n.Declared = p.Name, time.Now()
		}
		return edit(n) || fresh
	})
}

// change replaces a note by what edit makes of it, unless edit returns false.
func change[T any](ctx context.Context, book Notebook, name string, edit func(*T) bool) error {
	for {
		text, revision, err := book.Read(ctx, name)
		if err != nil {
			return fmt.Errorf("rekey: reading the note %q: %w", name, err)
		}
		var note T
		if revision > 0 {
			if err := json.Unmarshal(text, &note); err != nil {
				return fmt.Errorf("rekey: the note %q is of something else: %w: %w", name, err, kmsmigrate.ErrInvalid)
			}
		}
		if !edit(&note) {
			return nil
		}
		if text, err = json.Marshal(note); err != nil {
			return err
		}
		if err := book.Write(ctx, name, text, revision); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// Places returns what the fleet knows of every place that was declared with this notebook, by name.
func Places(ctx context.Context, book Notebook) (notes []PlaceNote, err error) {
	if book == nil {
		return nil, fmt.Errorf("rekey: the Notebook is nil: %w", kmsmigrate.ErrInvalid)
	}
	var all []string
	if err := change(ctx, book, placesNote, func(names *[]string) bool { all = *names; return false }); err != nil {
		return nil, err
	}
	for _, name := range all {
		n := PlaceNote{Name: name}
		if err := change(ctx, book, "place/"+name, func(found *PlaceNote) bool {
			if found.Name != "" {
				n = *found
			}
			return false
		}); err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// Proof returns the censuses of every declared place, for [kmsmigrate.PhaseSwitch.SetProven], whose since it also
// is. Where a place was not swept or not counted since then, it fails and the error names each such place.
func Proof(ctx context.Context, book Notebook, since time.Time) (censuses []kmsmigrate.Census, err error) {
	notes, err := Places(ctx, book)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, n := range notes {
		if err := n.Missing(since); err != nil {
			missing = append(missing, strings.TrimPrefix(err.Error(), "rekey: "))
			continue
		}
		censuses = append(censuses, n.Census)
	}
	switch {
	case len(missing) > 0:
		return nil, fmt.Errorf("rekey: not every declared place is proven: %s: %w", strings.Join(missing, "; "), kmsmigrate.ErrPhase)
	case len(notes) == 0:
		return nil, fmt.Errorf("rekey: no place was declared with this notebook: %w", kmsmigrate.ErrPhase)
	}
	return censuses, nil
}

// Forget takes a place off the list, because its table is gone. Who declares it again puts it back, with what was noted.
func Forget(ctx context.Context, book Notebook, name string) error {
	if book == nil {
		return fmt.Errorf("rekey: the Notebook is nil: %w", kmsmigrate.ErrInvalid)
	}
	return change(ctx, book, placesNote, func(names *[]string) bool {
		at := slices.Index(*names, name)
		if at < 0 {
			return false
		}
		*names = slices.Delete(*names, at, at+1)
		return true
	})
}
