package rekeytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

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
	// Delete removes a record, for the rule that records which go away during a scan take no others with them. Nil skips it.
	Delete func(ctx context.Context, id string) error
	// Empty says that the store can hold a record without a value, NULL or zero bytes, and that Fill makes one of a nil value.
	Empty bool
}

// TestStore checks a store against the rules of [rekey.Scanner] and [rekey.Swapper], and of [rekey.Counter],
// [rekey.Getter], [rekey.Splitter] and [rekey.BatchSwapper] where it has them. It returns nil, or one error that joins a line for each rule broken. What the store
// held is lost. To show that no page is held open, give it a store with a single connection as well.
func TestStore(ctx context.Context, subject Subject) error {
	t := &suite{ctx: ctx, subject: subject, store: subject.Store}
	for _, test := range []func(){
		t.swapIsExact, t.twins, t.long, t.missing, t.race, t.scanInOrder, t.resume, t.through, t.swapWhileScanning,
		t.deleteWhileScanning, t.twoScans, t.breakOff, t.cancelled, t.cancelledMidway, t.empty, t.withoutValue, t.optional,
		t.split, t.batch, t.ownBytes,
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

// twins are records of one value: a swap of one is none of the other's business.
func (t *suite) twins() {
	recs := t.fill([]byte("twin"), []byte("twin"), []byte("twin"))
	if recs == nil {
		return
	}
	err := t.store.Swap(t.ctx, recs[1].ID, []byte("twin"), []byte("swapped"))
	t.rule(err == nil, "Swap of one of three records with the same value fails: %w", err)
	for i, want := range []string{"twin", "swapped", "twin"} {
		now := t.value(recs[i].ID)
		t.rule(string(now) == want, "Swap of one of three records with the same value leaves %q where %q should be", now, want)
	}
}

// long are values that columns cut: at 64 KiB, and beyond. A store may refuse them.
func (t *suite) long() {
	recs := t.fill([]byte("short"))
	if recs == nil {
		return
	}
	id, value := recs[0].ID, recs[0].Value
	for _, size := range []int{255, 256, 4000, 65535, 65536, 300_000} {
		next := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		err := t.store.Swap(t.ctx, id, value, next)
		t.rule(err == nil || errors.Is(err, rekey.ErrRefused), "Swap to a value of %d bytes returns %v, which is not ErrRefused", size, err)
		if err == nil {
			value = next
		}
		now := t.value(id)
		t.rule(bytes.Equal(now, value), "after a Swap to a value of %d bytes that returned %v the record holds %d bytes, or others", size, err, len(now))
		if !bytes.Equal(now, value) {
			return
		}
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

// withoutValue has a record that holds nothing between two that do.
func (t *suite) withoutValue() {
	if !t.subject.Empty {
		return
	}
	if err := t.subject.Fill(t.ctx, [][]byte{[]byte("one"), nil, []byte("three")}); err != nil {
		t.rule(false, "Fill with a record that holds nothing: %w", err)
		return
	}
	recs, err := t.scan(rekey.Range{})
	t.rule(err == nil, "Scan over a record that holds nothing fails: %w", err)
	held := 0
	for _, rec := range recs {
		t.rule(rec.ID != "", "Scan yields a record without an id")
		if len(rec.Value) > 0 {
			held++
		}
	}
	t.rule(held == 2, "Scan over a record that holds nothing yields %d values of 2", held)
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
		t.rule(err == nil && same(rec, recs[50]) && maps.Equal(rec.Context, recs[50].Context), "Get returns another record than Scan (%v)", err)
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
