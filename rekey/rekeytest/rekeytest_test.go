package rekeytest_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func subject(store rekey.Store, m *rekeytest.Memory) rekeytest.Subject {
	return rekeytest.Subject{Store: store, Missing: "missing", Fill: func(ctx context.Context, values [][]byte) error {
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
