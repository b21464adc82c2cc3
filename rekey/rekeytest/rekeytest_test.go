package rekeytest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func subject(store rekey.Store, m *rekeytest.Memory) rekeytest.Subject {
	remove := func(_ context.Context, id string) error { m.Delete(id); return nil }
	return rekeytest.Subject{Store: store, Missing: "missing", Delete: remove, Empty: true, Fill: func(ctx context.Context, values [][]byte) error {
		var ids []string
		for rec, err := range m.Scan(ctx, rekey.Range{}) {
			if err != nil {
				return err
			}
			ids = append(ids, rec.ID)
		}
		for _, id := range ids {
			m.Delete(id)
		}
		for i, value := range values {
			m.Put(rekey.Record{ID: fmt.Sprintf("%06d", i), Value: value})
		}
		return nil
	}}
}

func TestMemoryPassesTheSuite(t *testing.T) {
	t.Parallel()
	m := new(rekeytest.Memory)
	require.NoError(t, rekeytest.TestStore(t.Context(), subject(m, m)))
}

// broken is a store with one thing wrong.
type broken struct {
	*rekeytest.Memory
	swap func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error
	scan func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error]
}

func (b broken) Swap(ctx context.Context, id string, prev, next []byte) error {
	if b.swap != nil {
		return b.swap(b.Memory, ctx, id, prev, next)
	}
	return b.Memory.Swap(ctx, id, prev, next)
}

func (b broken) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	if b.scan != nil {
		return b.scan(b.Memory, ctx, r)
	}
	return b.Memory.Scan(ctx, r)
}

// halves is a store that cuts itself where it is told to.
type halves struct {
	*rekeytest.Memory
	parts func(n int) []rekey.Range
}

func (h halves) Split(_ context.Context, n int) ([]rekey.Range, error) { return h.parts(n), nil }

func TestTheSuiteTriesWhatTheStoreSplits(t *testing.T) {
	t.Parallel()
	m := new(rekeytest.Memory)
	right := halves{m, func(n int) []rekey.Range {
		records, err := m.Count(t.Context(), rekey.Range{})
		require.NoError(t, err)
		if n == 1 || records < 2 {
			return []rekey.Range{{}}
		}
		middle := fmt.Sprintf("%06d", records/2-1)
		return []rekey.Range{{Through: middle}, {After: middle}}
	}}
	require.NoError(t, rekeytest.TestStore(t.Context(), subject(right, m)))
	for want, parts := range map[string]func(n int) []rekey.Range{
		"returns 0 parts": func(int) []rekey.Range { return nil },
		"returns 3 parts": func(int) []rekey.Range {
			return []rekey.Range{{Through: "1"}, {After: "1", Through: "2"}, {After: "2"}}
		},
		"part 2 begins after": func(int) []rekey.Range { return []rekey.Range{{Through: "000059"}, {After: "000060"}} },
		"only the last has":   func(int) []rekey.Range { return []rekey.Range{{Through: "000059"}} },
		"part 1 has 1100":     func(int) []rekey.Range { return []rekey.Range{{Through: "9"}, {After: "9"}} },
	} {
		m := new(rekeytest.Memory)
		require.ErrorContains(t, rekeytest.TestStore(t.Context(), subject(halves{m, parts}, m)), want)
	}
}

// batching is a store that swaps many at once.
type batching struct {
	*rekeytest.Memory
	all func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error
}

func (batching) BatchSize() int { return 20 }

func (b batching) SwapAll(ctx context.Context, swaps []rekey.Swap) []error {
	return b.all(b.Memory, ctx, swaps)
}

func TestTheSuiteTriesWhatTheStoreSwapsAtOnce(t *testing.T) {
	t.Parallel()
	each := func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error {
		errs := make([]error, len(swaps))
		for i, s := range swaps {
			errs[i] = m.Swap(ctx, s.ID, s.Prev, s.Next)
		}
		return errs
	}
	for want, all := range map[string]func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error{
		"":                 each,
		"returns 0 errors": func(*rekeytest.Memory, context.Context, []rekey.Swap) []error { return nil },
		"fails for a record beside one that has changed": func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error {
			errs := each(m, ctx, swaps) // all or nothing
			for i := range errs {
				errs[i] = errors.New("the transaction was rolled back")
			}
			return errs
		},
		"not ErrConflict": func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error {
			errs := each(m, ctx, swaps)
			clear(errs) // the number of changed rows is not looked at
			return errs
		},
		"SwapAll leaves": func(m *rekeytest.Memory, ctx context.Context, swaps []rekey.Swap) []error {
			errs := each(m, ctx, swaps)
			for i, s := range swaps { // what was read is not compared
				if rec, err := m.Get(ctx, s.ID); err == nil && errs[i] != nil {
					m.Put(rekey.Record{ID: rec.ID, Value: s.Next})
				}
			}
			return errs
		},
	} {
		m := new(rekeytest.Memory)
		err := rekeytest.TestStore(t.Context(), subject(batching{m, all}, m))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

// cursor is a store whose scans share their place.
type cursor struct {
	*rekeytest.Memory
	after *string
}

func (c cursor) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	*c.after = r.After
	return func(yield func(rekey.Record, error) bool) {
		for {
			r.After = *c.after
			n := 0
			for rec, err := range c.Memory.Scan(ctx, r) {
				n++
				if *c.after = rec.ID; !yield(rec, err) || err != nil {
					return
				}
				break
			}
			if n == 0 {
				return
			}
		}
	}
}

func TestTheSuiteNoticesScansThatShareTheirPlace(t *testing.T) {
	t.Parallel()
	m := new(rekeytest.Memory)
	err := rekeytest.TestStore(t.Context(), subject(cursor{m, new(string)}, m))
	require.ErrorContains(t, err, "Scan beside another")
}

func TestTheSuiteNamesTheRuleThatIsBroken(t *testing.T) {
	t.Parallel()
	type swap = func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error
	type scan = func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error]
	// like is a compare-and-swap with another idea of equality.
	like := func(equal func(a, b []byte) bool) swap {
		return func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			rec, err := m.Get(ctx, id)
			if err != nil {
				return err
			}
			if equal(rec.Value, prev) {
				prev = rec.Value
			}
			return m.Swap(ctx, id, prev, next)
		}
	}
	for _, test := range []struct {
		name, want string
		swap       swap
		scan       scan
	}{
		{"no comparison", "win a race", like(func(_, _ []byte) bool { return true }), nil},
		{"case-insensitive", `Swap takes "qwjjzgvmz2g=" for the stored "QWJjZGVmZ2g="`, like(bytes.EqualFold), nil},
		{"space-padded", "Swap takes", like(func(a, b []byte) bool { return bytes.Equal(bytes.TrimRight(a, " "), bytes.TrimRight(b, " ")) }), nil},
		{"cut at NUL", "Swap takes", like(func(a, b []byte) bool {
			a, _, _ = bytes.Cut(a, []byte{0})
			b, _, _ = bytes.Cut(b, []byte{0})
			return bytes.Equal(a, b)
		}), nil},
		{"inserts what is missing", "Swap of a missing record changes the store", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			if _, err := m.Get(ctx, id); err != nil {
				m.Put(rekey.Record{ID: id, Value: next})
			}
			return m.Swap(ctx, id, prev, next)
		}, nil},
		{"truncates", "Swap stores", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			return m.Swap(ctx, id, prev, next[:min(len(next), 255)])
		}, nil},
		{"ignores the context", "with a context that is done", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			return m.Swap(context.WithoutCancel(ctx), id, prev, next)
		}, nil},
		{"starts from the beginning", "Scan after record", nil, func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
			r.After = ""
			return m.Scan(ctx, r)
		}},
		{"ignores the end", "Scan through record", nil, func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
			r.Through = ""
			return m.Scan(ctx, r)
		}},
		{"swaps by the value alone", "Swap of one of three records with the same value leaves", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			if err := m.Swap(ctx, id, prev, next); err != nil {
				return err
			}
			for rec, err := range m.Scan(ctx, rekey.Range{}) {
				if err == nil && bytes.Equal(rec.Value, prev) {
					_ = m.Swap(ctx, rec.ID, prev, next)
				}
			}
			return nil
		}, nil},
		{"cuts at 64 KiB", "65536 bytes that returned <nil> the record holds 65535 bytes", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			return m.Swap(ctx, id, prev, next[:min(len(next), 65535)])
		}, nil},
		{"refuses without saying so", "which is not ErrRefused", func(m *rekeytest.Memory, ctx context.Context, id string, prev, next []byte) error {
			if len(next) > 65535 {
				return errors.New("data too long")
			}
			return m.Swap(ctx, id, prev, next)
		}, nil},
		{"finds its pages by counting", "whose records are deleted as they come", nil, func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
			return func(yield func(rekey.Record, error) bool) {
				for offset := 0; ; offset += 16 {
					at, page := 0, []rekey.Record(nil)
					for rec, err := range m.Scan(ctx, r) {
						if err != nil {
							yield(rekey.Record{}, err)
							return
						}
						if at++; at > offset {
							page = append(page, rec)
						}
						if len(page) == 16 {
							break
						}
					}
					for _, rec := range page {
						if !yield(rec, nil) {
							return
						}
					}
					if len(page) == 0 {
						return
					}
				}
			}
		}},
		{"stops quietly", "without an error, as if it had seen all", nil, func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
			return func(yield func(rekey.Record, error) bool) {
				n := 0
				for rec, err := range m.Scan(ctx, r) {
					if n++; err != nil && n > 1 || !yield(rec, err) {
						return
					}
				}
			}
		}},
		{"reads one page", "Scan yields 16 records of 1100", nil, func(m *rekeytest.Memory, ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
			return func(yield func(rekey.Record, error) bool) {
				n := 0
				for rec, err := range m.Scan(ctx, r) {
					if n++; n > 16 || !yield(rec, err) {
						return
					}
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := new(rekeytest.Memory)
			err := rekeytest.TestStore(t.Context(), subject(broken{m, test.swap, test.scan}, m))
			require.ErrorContains(t, err, test.want)
		})
	}
}
