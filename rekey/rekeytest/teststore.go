package rekeytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/rekey"
)

// Subject is a store under test.
type Subject struct {
	// Store is what is tested.
	Store rekey.Store
	// Fill removes every record and stores one for each value, under ids of the store's own choice.
	Fill func(ctx context.Context, values [][]byte) error
	// Missing is an id of a valid form that no record has after Fill.
	Missing string
	// Text says that the store takes only valid UTF-8 without NUL bytes.
	Text bool
}

// TestStore checks a store against the rules of [rekey.Scanner] and [rekey.Swapper], and of [rekey.Counter] and
// [rekey.Getter] where it has them. It returns nil, or one error that joins a line for each rule broken. What the store
// held is lost. To show that no page is held open, give it a store with a single connection as well.
func TestStore(ctx context.Context, subject Subject) error {
	t := &suite{ctx: ctx, subject: subject, store: subject.Store}
	for _, test := range []func(){
		t.swapIsExact, t.missing, t.race, t.scanInOrder, t.resume, t.through, t.swapWhileScanning, t.breakOff, t.cancelled,
		t.empty, t.optional, t.ownBytes,
	} {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(t.broken, err)...)
		}
		test()
	}
	return errors.Join(t.broken...)
}

type suite struct {
	ctx     context.Context
	subject Subject
	store   rekey.Store
	broken  []error
}

// rule records a broken rule.
func (t *suite) rule(ok bool, format string, args ...any) {
	if !ok {
		t.broken = append(t.broken, fmt.Errorf(format, args...))
	}
}

// fill stores values and returns their ids in the order of a scan, or nil after a failure.
func (t *suite) fill(values ...[]byte) []rekey.Record {
	if err := t.subject.Fill(t.ctx, values); err != nil {
		t.rule(false, "Fill: %w", err)
		return nil
	}
	recs, err := t.scan(rekey.Range{})
	t.rule(err == nil, "Scan fails: %w", err)
	t.rule(len(recs) == len(values), "Scan yields %d records of %d", len(recs), len(values))
	if err != nil || len(recs) != len(values) {
		return nil
	}
	return recs
}

func (t *suite) scan(r rekey.Range) (recs []rekey.Record, err error) {
	for rec, err := range t.store.Scan(t.ctx, r) {
		if err != nil {
			return recs, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// value returns what a record holds now.
func (t *suite) value(id string) []byte {
	recs, err := t.scan(rekey.Range{})
	t.rule(err == nil, "Scan fails: %w", err)
	for _, rec := range recs {
		if rec.ID == id {
			return rec.Value
		}
	}
	return nil
}

// awkward are values that lazy comparisons confuse.
func (t *suite) awkward() [][]byte {
	values := [][]byte{
		[]byte("QWJjZGVmZ2g="), []byte("ends with a space "), []byte("ümlaut ß é 密钥"), []byte("trailing\n"), []byte(`quote ' " \ %_`),
		[]byte(strings.Repeat("long ", 400)),
	}
	if !t.subject.Text {
		values = append(values, []byte("nul\x00inside"), []byte{0}, []byte("\xff\xfe\x80 not UTF-8"), []byte("ends with nul\x00"))
	}
	return values
}

// near returns values that are almost value.
func near(value []byte) [][]byte {
	near := [][]byte{
		bytes.ToLower(value), bytes.ToUpper(value), append(slices.Clone(value), ' '), bytes.TrimRight(value, " \n\x00"), append([]byte(" "), value...),
		value[:len(value)-1], {}, nil, bytes.ReplaceAll(value, []byte("ü"), []byte("u")), []byte("%"),
	}
	if !bytes.Contains(value, []byte("ü")) {
		near = append(near, append(slices.Clone(value), 0))
	}
	return slices.DeleteFunc(near, func(v []byte) bool { return bytes.Equal(v, value) })
}

func (t *suite) swapIsExact() {
	for _, value := range t.awkward() {
		recs := t.fill(value)
		if recs == nil {
			continue
		}
		id := recs[0].ID
		t.rule(bytes.Equal(recs[0].Value, value), "Scan yields %q for the stored %q", recs[0].Value, value)
		for _, prev := range near(value) {
			err := t.store.Swap(t.ctx, id, prev, []byte("overwritten"))
			t.rule(err != nil, "Swap takes %q for the stored %q", prev, value)
			now := t.value(id)
			t.rule(bytes.Equal(now, value), "a Swap that does not match changes %q to %q", value, now)
			if !bytes.Equal(now, value) {
				return
			}
		}
		err := t.store.Swap(t.ctx, id, value, value)
		t.rule(err == nil, "Swap of %q by itself fails: %w", value, err)
		for _, next := range t.awkward() {
			err := t.store.Swap(t.ctx, id, value, next)
			t.rule(err == nil, "Swap from %q fails: %w", value, err)
			now := t.value(id)
			t.rule(bytes.Equal(now, next), "Swap stores %q as %q", next, now)
			if err != nil || !bytes.Equal(now, next) {
				return
			}
			value = next
		}
		err = t.store.Swap(t.ctx, id, []byte("QWJjZGVmZ2g"), []byte("overwritten"))
		t.rule(errors.Is(err, rekey.ErrConflict), "Swap of a record that has changed returns %v, not ErrConflict", err)
	}
}

func (t *suite) missing() {
	if t.fill([]byte("one")) == nil {
		return
	}
	err := t.store.Swap(t.ctx, t.subject.Missing, []byte("one"), []byte("two"))
	t.rule(errors.Is(err, rekey.ErrConflict), "Swap of a missing record returns %v, not ErrConflict", err)
	recs, err := t.scan(rekey.Range{})
	t.rule(err == nil && len(recs) == 1 && string(recs[0].Value) == "one", "Swap of a missing record changes the store")
}

// race has sixteen writers swap the same records: each record must have exactly one winner, and hold what it wrote.
func (t *suite) race() {
	const racers, records = 16, 8
	recs := t.fill(many(records)...)
	for _, rec := range recs {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []string
		for i := range racers {
			wg.Go(func() {
				next := fmt.Sprintf("racer %d", i)
				err := t.store.Swap(t.ctx, rec.ID, rec.Value, []byte(next))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, next)
				} else {
					t.rule(errors.Is(err, rekey.ErrConflict) || errors.Is(err, rekey.ErrBusy), "the loser of a race gets %w, which is neither ErrConflict nor ErrBusy", err)
				}
			})
		}
		wg.Wait()
		now := string(t.value(rec.ID))
		t.rule(len(won) == 1, "%d writers win a race for one record", len(won))
		t.rule(slices.Contains(won, now), "after a race the record holds %q, and %q won", now, won)
	}
}

// many returns n different values.
func many(n int) [][]byte {
	values := make([][]byte, n)
	for i := range values {
		values[i] = fmt.Appendf(nil, "value %04d", i)
	}
	return values
}

// pages is how many records the tests of scanning use: several pages of most stores.
const pages = 1100

func (t *suite) scanInOrder() {
	recs := t.fill(many(pages)...)
	if recs == nil {
		return
	}
	seen := map[string]bool{}
	values := map[string]bool{}
	for _, rec := range recs {
		t.rule(rec.ID != "", "Scan yields a record without an id")
		t.rule(!seen[rec.ID], "Scan yields the record %q twice", rec.ID)
		seen[rec.ID], values[string(rec.Value)] = true, true
	}
	t.rule(len(values) == pages, "Scan yields %d different values of %d", len(values), pages)
	t.rule(!seen[t.subject.Missing], "the id that should be missing, %q, is there", t.subject.Missing)
	again, err := t.scan(rekey.Range{})
	t.rule(err == nil && slices.EqualFunc(recs, again, same), "a second Scan yields another order")
}

func same(a, b rekey.Record) bool { return a.ID == b.ID && bytes.Equal(a.Value, b.Value) }

func (t *suite) resume() {
	recs := t.fill(many(pages)...)
	for _, at := range positions(len(recs)) {
		rest, err := t.scan(rekey.Range{After: recs[at].ID})
		t.rule(err == nil && slices.EqualFunc(rest, recs[at+1:], same), "Scan after record %d of %d yields %d records of %d, or other ones (%v)", at+1, len(recs), len(rest), len(recs)-at-1, err)
	}
}

func (t *suite) through() {
	recs := t.fill(many(pages)...)
	for _, at := range positions(len(recs)) {
		some, err := t.scan(rekey.Range{Through: recs[at].ID})
		t.rule(err == nil && slices.EqualFunc(some, recs[:at+1], same), "Scan through record %d of %d yields %d records, or other ones (%v)", at+1, len(recs), len(some), err)
		part, err := t.scan(rekey.Range{After: recs[at/2].ID, Through: recs[at].ID})
		t.rule(err == nil && slices.EqualFunc(part, recs[at/2+1:at+1], same), "Scan of a part in the middle yields %d records of %d, or other ones (%v)", len(part), at-at/2, err)
	}
}

// positions are places that paging is likely to get wrong.
func positions(n int) []int {
	var at []int
	for _, i := range []int{0, 99, 100, 499, 500, n - 2, n - 1} {
		if i >= 0 && i < n {
			at = append(at, i)
		}
	}
	return at
}

// deadlockAfter is how long a Swap in the body of a Scan may take before it counts as stuck.
const deadlockAfter = 10 * time.Second

func (t *suite) swapWhileScanning() {
	if t.fill(many(pages)...) == nil {
		return
	}
	swapped := 0
	for rec, err := range t.store.Scan(t.ctx, rekey.Range{}) {
		if err != nil {
			t.rule(false, "Scan fails while records are swapped: %w", err)
			return
		}
		ctx, cancel := context.WithTimeout(t.ctx, deadlockAfter)
		err = t.store.Swap(ctx, rec.ID, rec.Value, append([]byte("swapped "), rec.Value...))
		late := ctx.Err() != nil
		cancel()
		t.rule(!late, "Swap in the body of a Scan does not return: the Scan holds a page, a lock or the connection while it yields")
		t.rule(late || err == nil, "Swap in the body of a Scan fails: %w", err)
		if err != nil {
			return
		}
		swapped++
	}
	t.rule(swapped == pages, "a Scan whose records are swapped as they come yields %d records of %d", swapped, pages)
}

// breakOff leaves a Scan early, which must free whatever it holds.
func (t *suite) breakOff() {
	recs := t.fill(many(40)...)
	for range recs {
		for _, err := range t.store.Scan(t.ctx, rekey.Range{}) {
			t.rule(err == nil, "Scan fails: %w", err)
			break
		}
	}
	if recs != nil {
		ctx, cancel := context.WithTimeout(t.ctx, deadlockAfter)
		defer cancel()
		err := t.store.Swap(ctx, recs[0].ID, recs[0].Value, []byte("after"))
		t.rule(err == nil, "Swap after Scans that were left early fails: %w", err)
	}
}

func (t *suite) cancelled() {
	recs := t.fill(many(40)...)
	if recs == nil {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	err := t.store.Swap(ctx, recs[0].ID, recs[0].Value, []byte("cancelled"))
	t.rule(err != nil && !errors.Is(err, rekey.ErrConflict), "Swap with a context that is done returns %v", err)
	t.rule(bytes.Equal(t.value(recs[0].ID), recs[0].Value), "Swap with a context that is done changes the record")
	var last error
	n := 0
	for _, last = range t.store.Scan(ctx, rekey.Range{}) {
		n++
	}
	t.rule(last != nil && n == 1, "Scan with a context that is done yields %d times and ends with %v", n, last)
}

func (t *suite) empty() {
	if err := t.subject.Fill(t.ctx, nil); err != nil {
		t.rule(false, "Fill with nothing: %w", err)
		return
	}
	recs, err := t.scan(rekey.Range{})
	t.rule(err == nil && len(recs) == 0, "Scan of an empty store yields %d records and %v", len(recs), err)
}

func (t *suite) optional() {
	recs := t.fill(many(120)...)
	if recs == nil {
		return
	}
	if c, ok := t.store.(rekey.Counter); ok {
		n, err := c.Count(t.ctx, rekey.Range{})
		t.rule(err == nil && n == 120, "Count returns %d of 120 records and %v", n, err)
		n, err = c.Count(t.ctx, rekey.Range{After: recs[9].ID, Through: recs[99].ID})
		t.rule(err == nil && n == 90, "Count of a part returns %d of 90 records and %v", n, err)
	}
	if g, ok := t.store.(rekey.Getter); ok {
		rec, err := g.Get(t.ctx, recs[50].ID)
		t.rule(err == nil && same(rec, recs[50]), "Get returns another record than Scan (%v)", err)
		_, err = g.Get(t.ctx, t.subject.Missing)
		t.rule(errors.Is(err, rekey.ErrConflict), "Get of a missing record returns %v, not ErrConflict", err)
	}
}

// ownBytes overwrites what Swap was given and what Scan yielded.
func (t *suite) ownBytes() {
	recs := t.fill([]byte("before"))
	if recs == nil {
		return
	}
	id := recs[0].ID
	next := []byte("after!")
	err := t.store.Swap(t.ctx, id, recs[0].Value, next)
	t.rule(err == nil, "Swap fails: %w", err)
	clear(next)
	clear(recs[0].Value)
	now := t.value(id)
	t.rule(string(now) == "after!", "the store keeps the slices that it was given: they were overwritten, and it holds %q", now)
	clear(now)
	again := t.value(id)
	t.rule(string(again) == "after!", "the store hands out its own slices: one was overwritten, and it holds %q", again)
}
