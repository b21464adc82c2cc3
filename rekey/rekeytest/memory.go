package rekeytest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/keyhaul/keyhaul/rekey"
)

// Memory is a store in memory, in the order of the ids' bytes. The zero value is empty and ready. It is safe for
// concurrent use.
type Memory struct {
	Name string // what Identity returns; empty: it cannot tell

	mu      sync.Mutex
	ids     []string // sorted
	records map[string]rekey.Record
	swaps   int64
}

// pageSize is small, so that a test with a few dozen records goes over pages.
const pageSize = 16

// Put stores a record, or replaces it. It keeps a copy.
func (m *Memory) Put(rec rekey.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = map[string]rekey.Record{}
	}
	if at, found := slices.BinarySearch(m.ids, rec.ID); !found {
		m.ids = slices.Insert(m.ids, at, rec.ID)
	}
	m.records[rec.ID] = clone(rec)
}

// Delete removes a record, if there is one.
func (m *Memory) Delete(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, found := slices.BinarySearch(m.ids, id); found {
		m.ids = slices.Delete(m.ids, at, at+1)
		delete(m.records, id)
	}
}

// Get returns a copy of a record.
func (m *Memory) Get(ctx context.Context, id string) (rekey.Record, error) {
	if err := ctx.Err(); err != nil {
		return rekey.Record{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[id]
	if !ok {
		return rekey.Record{}, fmt.Errorf("rekeytest: there is no record %q: %w", id, rekey.ErrConflict)
	}
	return clone(rec), nil
}

// Scan implements [rekey.Scanner].
func (m *Memory) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	return func(yield func(rekey.Record, error) bool) {
		for after, first := r.After, true; ; first = false {
			if err := ctx.Err(); err != nil {
				yield(rekey.Record{}, err)
				return
			}
			page := m.page(after, r.Through, first && r.After == "")
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1].ID
		}
	}
}

// page returns the next records after an id.
func (m *Memory) page(after, through string, all bool) []rekey.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, found := slices.BinarySearch(m.ids, after)
	if found && !all {
		at++
	}
	var page []rekey.Record
	for _, id := range m.ids[at:] {
		if len(page) == pageSize || through != "" && id > through {
			break
		}
		page = append(page, clone(m.records[id]))
	}
	return page
}

// Count implements [rekey.Counter].
func (m *Memory) Count(ctx context.Context, r rekey.Range) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	for _, id := range m.ids {
		if (r.After == "" || id > r.After) && (r.Through == "" || id <= r.Through) {
			n++
		}
	}
	return n, nil
}

// Swap implements [rekey.Swapper].
func (m *Memory) Swap(ctx context.Context, id string, prev, next []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[id]
	if !ok || !bytes.Equal(rec.Value, prev) {
		return fmt.Errorf("rekeytest: record %q: %w", id, rekey.ErrConflict)
	}
	rec.Value = slices.Clone(next)
	m.records[id] = rec
	m.swaps++
	return nil
}

// Identity implements [rekey.Identifier].
func (m *Memory) Identity() string { return m.Name }

// Condition implements [rekey.Identifier]: nothing is left out.
func (m *Memory) Condition() string { return "" }

// Swaps returns how many swaps succeeded.
func (m *Memory) Swaps() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.swaps
}

func clone(rec rekey.Record) rekey.Record {
	return rekey.Record{ID: rec.ID, Value: slices.Clone(rec.Value), Context: rec.Context.Clone()}
}
