package rekey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// CensusOptions tune [TakeCensusWith]. The zero value counts everything, once.
type CensusOptions struct {
	// Notebook keeps a census that breaks off, under Name, every SaveEvery (zero: 5 seconds); the next of that name goes on
	// where it was, and keeps its Started; one that was of another store is refused, where the store is an [Identifier].
	// Nil: it starts again.
	Notebook  Notebook
	Name      string
	SaveEvery time.Duration
	// By puts records into classes that are counted apart as well: a tenant's name. Nil means that there are none.
	By func(Record) string
	// CodecFor chooses the Codec of a record. Nil means the census's Codec for all. Its error makes the record unreadable.
	CodecFor func(Record) (Codec, error)
	// Sample looks at about so many records instead of all, spread over a store that is a [Splitter]. The result is never
	// Complete. Zero means all.
	Sample int
	// Progress is told how many records were counted, every thousand.
	Progress func(records int64)
}

// CensusReport is a census with what [CensusOptions] asked for.
type CensusReport struct {
	kmsmigrate.Census
	Classes map[string]kmsmigrate.Census `json:"classes,omitempty"`
	Sample  *Sample                      `json:"sample,omitempty"`
}

// Sample is what a part of the records tells about the whole.
type Sample struct {
	Clusters int     `json:"clusters"` // places in the store at which records were read
	OldShare float64 `json:"old_share"`
	// Margin is half of the 95 % interval around OldShare, from how much the places differ. Where no old record was seen it
	// is what could still be there unseen (3 in the number of places).
	Margin float64 `json:"margin"`
}

// savedCensus is the note of a census that is under way.
type savedCensus struct {
	Store   string                       `json:"store,omitempty"`
	After   string                       `json:"after"`
	Census  kmsmigrate.Census            `json:"census"`
	Classes map[string]kmsmigrate.Census `json:"classes,omitempty"`
	Done    bool                         `json:"done,omitempty"`
}

// TakeCensusWith is [TakeCensus] with options.
func TakeCensusWith(ctx context.Context, codec Codec, store Scanner, o CensusOptions) (CensusReport, error) {
	switch {
	case codec == nil || store == nil:
		return CensusReport{}, fmt.Errorf("rekey: a census needs a Codec and a Scanner: %w", kmsmigrate.ErrInvalid)
	case o.Sample < 0 || o.SaveEvery < 0:
		return CensusReport{}, fmt.Errorf("rekey: a negative number in CensusOptions: %w", kmsmigrate.ErrInvalid)
	case o.Sample > 0 && o.Notebook != nil:
		return CensusReport{}, fmt.Errorf("rekey: a sample is not kept in a notebook: %w", kmsmigrate.ErrInvalid)
	}
	orDefault(&o.SaveEvery, 5*time.Second)
	c := &counting{CensusOptions: o, codec: codec, store: store, all: NewTally(time.Now()), classes: map[string]*Tally{}}
	if o.Sample > 0 {
		return c.sample(ctx)
	}
	if err := c.resume(ctx); err != nil {
		return CensusReport{}, err
	}
	rest := Range{After: c.after}
	there := c.count(ctx, rest)
	err := contained(func() error { return c.scan(ctx, rest, nil) })
	if err == nil {
		err = c.missing(min(there, c.count(ctx, rest)))
	}
	report := c.report(err == nil)
	if err != nil {
		err = fmt.Errorf("rekey: the census stopped after %d records: %w", report.Records, err)
		saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		return report, errors.Join(err, c.save(saving, false))
	}
	return report, c.save(ctx, true)
}

// counting is a census under way.
type counting struct {
	CensusOptions
	codec   Codec
	store   Scanner
	all     *Tally
	classes map[string]*Tally
	after   string
	seen    int64 // records that this scan yielded, the empty ones included
	saved   time.Time
}

// count asks a store that can count for what is there, 0 where it does not tell.
func (c *counting) count(ctx context.Context, r Range) (n int64) {
	counter, ok := c.store.(Counter)
	if !ok {
		return 0
	}
	err := contained(func() (err error) { n, err = counter.Count(ctx, r); return err })
	if err != nil {
		return 0
	}
	return n
}

// missing returns an error where a scan saw far fewer records than there are: a store whose order is wrong leaves records
// out without an error, and a census of the rest would give up a key that they need. A tenth is for stores that count about,
// and for what was added and deleted meanwhile.
func (c *counting) missing(there int64) error {
	if c.seen < there-there/10 {
		return fmt.Errorf("the scan yielded %d of %d records that the store counts before and after it: %w", c.seen, there, kmsmigrate.ErrInvalid)
	}
	return nil
}

// scan counts the records of a range, until most of them were counted where most is not nil.
func (c *counting) scan(ctx context.Context, r Range, each func(kmsmigrate.Side) (more bool)) error {
	c.saved = time.Now()
	for rec, err := range c.store.Scan(ctx, r) {
		if err != nil {
			return err
		}
		c.seen++
		if len(rec.Value) > 0 {
			side := c.add(rec)
			if c.Progress != nil && c.all.census.Records%1000 == 0 {
				c.Progress(c.all.census.Records)
			}
			if each != nil && !each(side) {
				return nil
			}
		}
		c.after = rec.ID
		if c.Notebook != nil && time.Since(c.saved) >= c.SaveEvery {
			if err := c.save(ctx, false); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (c *counting) add(rec Record) kmsmigrate.Side {
	codec, err := choose(c.codec, c.CodecFor, rec)
	if err != nil {
		codec = unreadable{c.codec}
	}
	if c.By != nil {
		name := c.By(rec)
		if c.classes[name] == nil {
			c.classes[name] = NewTally(c.all.census.Started)
		}
		c.classes[name].Add(codec, rec)
	}
	return c.all.Add(codec, rec)
}

// unreadable is the codec of records that have none.
type unreadable struct{ Codec }

func (unreadable) Inspect([]byte) (kmsmigrate.Info, error) {
	return kmsmigrate.Info{}, kmsmigrate.ErrNoKey
}

func (c *counting) report(complete bool) CensusReport {
	r := CensusReport{Census: c.all.Census(complete)}
	for name, t := range c.classes {
		if r.Classes == nil {
			r.Classes = map[string]kmsmigrate.Census{}
		}
		r.Classes[name] = t.Census(complete)
	}
	return r
}

func (c *counting) identity() string {
	identity, _ := identify(c.store)
	return identity
}

func (c *counting) note() string { return "census/" + c.Name }

func (c *counting) resume(ctx context.Context) error {
	if c.Notebook == nil {
		return nil
	}
	text, revision, err := c.Notebook.Read(ctx, c.note())
	if err != nil {
		return fmt.Errorf("rekey: reading a census that broke off: %w", err)
	}
	var was savedCensus
	if revision == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("rekey: the note %q is no census: %w", c.note(), kmsmigrate.ErrInvalid)
	}
	if was.Done {
		return nil
	}
	if err := sameStore(c.note(), was.Store, c.identity()); err != nil {
		return err
	}
	c.after, c.all = was.After, resumed(was.Census)
	for name, census := range was.Classes {
		c.classes[name] = resumed(census)
	}
	return nil
}

func (c *counting) save(ctx context.Context, done bool) error {
	if c.Notebook == nil {
		return nil
	}
	now := c.report(done)
	text, err := json.Marshal(savedCensus{Store: c.identity(), After: c.after, Census: now.Census, Classes: now.Classes, Done: done})
	if err == nil {
		err = overwrite(ctx, c.Notebook, c.note(), text)
	}
	if err != nil {
		return fmt.Errorf("rekey: saving a census: %w", err)
	}
	c.saved = time.Now()
	return nil
}

// perCluster is how many records a sample reads at one place.
const perCluster = 50

// sample reads a few records at many places. Places differ more than neighbours do, so the margin comes from the places.
func (c *counting) sample(ctx context.Context) (CensusReport, error) {
	places := max(10, c.Sample/perCluster)
	parts, err := split(ctx, c.store, places)
	if err != nil {
		return CensusReport{}, err
	}
	per := max(1, c.Sample/len(parts))
	shares := make([]float64, 0, len(parts))
	for _, part := range parts {
		n, old := 0, 0
		err := contained(func() error {
			return c.scan(ctx, part, func(side kmsmigrate.Side) bool {
				n++
				if side == kmsmigrate.SideOld {
					old++
				}
				return n < per
			})
		})
		if err != nil {
			return c.report(false), fmt.Errorf("rekey: the census stopped after %d records: %w", c.all.census.Records, err)
		}
		if n > 0 {
			shares = append(shares, float64(old)/float64(n))
		}
	}
	report := c.report(false)
	report.Sample = estimate(shares)
	return report, nil
}

// estimate is the mean of the clusters' shares and its 95 % margin.
func estimate(shares []float64) *Sample {
	s := &Sample{Clusters: len(shares)}
	n := float64(len(shares))
	if n == 0 {
		s.Margin = 1
		return s
	}
	for _, share := range shares {
		s.OldShare += share / n
	}
	spread := 0.0
	for _, share := range shares {
		spread += (share - s.OldShare) * (share - s.OldShare)
	}
	if n > 1 {
		s.Margin = 1.96 * math.Sqrt(spread/(n-1)/n)
	}
	if spread == 0 { // all alike: what was not seen can still be there
		s.Margin = math.Min(1, 3/n)
	}
	return s
}

// WriteCensus writes a census as a table for people.
func WriteCensus(w io.Writer, c kmsmigrate.Census) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SIDE\tFORMAT\tKEY\tRECORDS")
	for _, count := range c.Counts {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", count.Side, count.Layout, count.Key, count.Records)
	}
	if c.Unreadable > 0 {
		_, _ = fmt.Fprintf(t, "unknown\t\tunreadable\t%d\n", c.Unreadable)
	}
	complete := "complete"
	if !c.Complete {
		complete = "not complete"
	}
	_, _ = fmt.Fprintf(t, "\t\tall, %s\t%d\n", complete, c.Records)
	return t.Flush() // and the first error of the writes before
}
