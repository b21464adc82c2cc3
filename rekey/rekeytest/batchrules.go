package rekeytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/keyhaul/keyhaul/rekey"
)

// batch swaps many at once, good ones and bad: each must come out as it would by itself, and nothing else be touched.
func (t *suite) batch() {
	b, ok := t.store.(rekey.BatchSwapper)
	if !ok || b.BatchSize() <= 1 {
		return
	}
	n := b.BatchSize()
	recs := t.fill(many(n + 1)...)
	if recs == nil {
		return
	}
	// Of every seven one is not what the caller thinks, and one is not there.
	stale, missing := func(i int) bool { return i%7 == 2 }, func(i int) bool { return i%7 == 5 }
	swaps := make([]rekey.Swap, n)
	for i := range swaps {
		swaps[i] = rekey.Swap{ID: recs[i].ID, Prev: slices.Clone(recs[i].Value), Next: fmt.Appendf(nil, "swapped %04d", i)}
		switch {
		case stale(i):
			swaps[i].Prev = []byte("what it was before")
		case missing(i):
			swaps[i].ID = t.subject.Missing
		}
	}
	errs := b.SwapAll(t.ctx, swaps)
	t.rule(len(errs) == n, "SwapAll of %d returns %d errors", n, len(errs))
	if len(errs) != n {
		return
	}
	now, err := t.scan(rekey.Range{})
	t.rule(err == nil && len(now) == len(recs), "after SwapAll a Scan yields %d records of %d and %v", len(now), len(recs), err)
	if len(now) != len(recs) {
		return
	}
	for i, rec := range now {
		want := recs[i].Value
		if i < n && !stale(i) && !missing(i) {
			want = swaps[i].Next
			t.rule(errs[i] == nil, "SwapAll fails for a record beside one that has changed: %w", errs[i])
		} else if i < n {
			t.rule(errors.Is(errs[i], rekey.ErrConflict), "SwapAll of a record that has changed, or is missing, returns %v, not ErrConflict", errs[i])
		}
		t.rule(string(rec.Value) == string(want), "SwapAll leaves %q where %q should be", rec.Value, want)
	}
	done, cancel := context.WithCancel(t.ctx)
	cancel()
	again := []rekey.Swap{{ID: now[0].ID, Prev: now[0].Value, Next: []byte("cancelled")}, {ID: now[1].ID, Prev: now[1].Value, Next: []byte("cancelled")}}
	for _, err := range b.SwapAll(done, again) {
		t.rule(err != nil && !errors.Is(err, rekey.ErrConflict), "SwapAll with a context that is done returns %v", err)
	}
	t.rule(string(t.value(now[0].ID)) == string(now[0].Value), "SwapAll with a context that is done changes a record")
}
