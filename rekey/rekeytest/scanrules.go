package rekeytest

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/rekey"
)

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

// deleteWhileScanning removes what was seen: whoever counts rows to find the next page leaves others out.
func (t *suite) deleteWhileScanning() {
	if t.subject.Delete == nil || t.fill(many(pages)...) == nil {
		return
	}
	seen := 0
	for rec, err := range t.store.Scan(t.ctx, rekey.Range{}) {
		if err == nil {
			seen++
			err = t.subject.Delete(t.ctx, rec.ID)
		}
		if err != nil {
			t.rule(false, "Scan, or Delete in its body, fails: %w", err)
			return
		}
	}
	t.rule(seen == pages, "a Scan whose records are deleted as they come yields %d of %d", seen, pages)
}

// twoScans go side by side, and one of them again: a Scan keeps its place to itself.
func (t *suite) twoScans() {
	recs := t.fill(many(pages)...)
	if recs == nil {
		return
	}
	all := t.store.Scan(t.ctx, rekey.Range{})
	rest := t.store.Scan(t.ctx, rekey.Range{After: recs[499].ID})
	next, stop := iter.Pull2(rest)
	defer stop()
	at := 0
	for rec, err := range all {
		t.rule(err == nil, "Scan beside another fails: %w", err)
		if err != nil || at >= len(recs) {
			break
		}
		t.rule(same(rec, recs[at]), "Scan beside another yields %q where %q should be", rec.ID, recs[at].ID)
		if other, err, ok := next(); ok && 500+at < len(recs) {
			t.rule(err == nil && same(other, recs[500+at]), "the second of two Scans yields %q where %q should be (%v)", other.ID, recs[500+at].ID, err)
		}
		at++
	}
	t.rule(at == len(recs), "Scan beside another yields %d records of %d", at, len(recs))
	again := 0
	for _, err := range all {
		if err == nil {
			again++
		}
	}
	t.rule(again == len(recs), "the same Scan yields %d records of %d the second time", again, len(recs))
}

// cancelledMidway cancels a Scan that has begun: it must not pass for one that came to its end.
func (t *suite) cancelledMidway() {
	if t.fill(many(pages)...) == nil {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	seen, failed := 0, false
	for _, err := range t.store.Scan(ctx, rekey.Range{}) {
		t.rule(!failed, "Scan goes on after an error")
		if err != nil {
			failed = true
			continue
		}
		if seen++; seen == 3 {
			cancel()
		}
	}
	t.rule(failed || seen == pages, "Scan with a context that is cancelled at the third record ends after %d of %d without an error, as if it had seen all", seen, pages)
}

// split cuts the store as a shared sweep does.
func (t *suite) split() {
	s, ok := t.store.(rekey.Splitter)
	if !ok {
		return
	}
	for _, records := range []int{0, 1, 120, pages} {
		if err := t.subject.Fill(t.ctx, many(records)); err != nil {
			t.rule(false, "Fill: %w", err)
			return
		}
		whole, err := t.scan(rekey.Range{})
		t.rule(err == nil, "Scan fails: %w", err)
		for _, n := range []int{1, 2, 7, 64} {
			t.parts(s, whole, n)
		}
	}
}

func (t *suite) parts(s rekey.Splitter, whole []rekey.Record, n int) {
	parts, err := s.Split(t.ctx, n)
	t.rule(err == nil && len(parts) > 0 && len(parts) <= n, "Split of %d records into %d returns %d parts and %v", len(whole), n, len(parts), err)
	if err != nil || len(parts) == 0 {
		return
	}
	after := ""
	var all []rekey.Record
	for i, part := range parts {
		t.rule(part.After == after, "Split into %d: part %d begins after %q, and the one before it ends with %q", n, i+1, part.After, after)
		t.rule((part.Through == "") == (i == len(parts)-1), "Split into %d: part %d of %d ends with %q, and only the last has no end", n, i+1, len(parts), part.Through)
		after = part.Through
		some, err := t.scan(part)
		t.rule(err == nil, "Scan of a part fails: %w", err)
		t.rule(len(parts) == 1 || len(some) <= len(whole)/2+1 || len(whole) < 3, "Split into %d: part %d has %d records of %d", n, i+1, len(some), len(whole))
		all = append(all, some...)
	}
	t.rule(slices.EqualFunc(all, whole, same), "the parts of a Split into %d have %d records of %d, or others", n, len(all), len(whole))
}
