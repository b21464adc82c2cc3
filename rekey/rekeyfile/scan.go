package rekeyfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// Scan implements [rekey.Scanner]: directory by directory, names in the order of their bytes. Files are opened, read and
// closed one at a time; the names of one directory, and of those above it, are held.
func (s *Store) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	return func(yield func(rekey.Record, error) bool) {
		err := s.walk(ctx, ".", r, func(id string) error {
			value, _, err := s.read(id)
			if errors.Is(err, rekey.ErrConflict) { // removed meanwhile
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(s.record(id, value), nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.SkipAll) {
			yield(rekey.Record{}, err)
		}
	}
}

// Count implements [rekey.Counter].
func (s *Store) Count(ctx context.Context, r rekey.Range) (n int64, err error) {
	err = s.walk(ctx, ".", r, func(string) error { n++; return nil })
	if errors.Is(err, fs.SkipAll) {
		err = nil
	}
	return n, err
}

// Split implements [rekey.Splitter]. It walks over the tree twice.
func (s *Store) Split(ctx context.Context, n int) ([]rekey.Range, error) {
	if n < 1 {
		return nil, fmt.Errorf("rekeyfile: a store cannot be split into %d parts: %w", n, kmsmigrate.ErrInvalid)
	}
	files, err := s.Count(ctx, rekey.Range{})
	if err != nil {
		return nil, err
	}
	per := max(1, (files+int64(n)-1)/int64(n))
	parts := []rekey.Range{{}}
	var seen int64
	var last string
	err = s.walk(ctx, ".", rekey.Range{}, func(id string) error {
		if seen > 0 && seen%per == 0 && len(parts) < n {
			parts[len(parts)-1].Through = last
			parts = append(parts, rekey.Range{After: last})
		}
		seen++
		last = id
		return nil
	})
	return parts, err
}

// walk calls visit for each file of a range. fs.SkipAll ends it.
func (s *Store) walk(ctx context.Context, dir string, r rekey.Range, visit func(id string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := s.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rekeyfile: %w", err)
	}
	entries, err := d.ReadDir(-1)
	if closing := d.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("rekeyfile: %w", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := path.Join(dir, entry.Name())
		switch {
		case r.Through != "" && compare(id, r.Through) > 0 && !strings.HasPrefix(r.Through, id+"/"):
			return fs.SkipAll
		case entry.IsDir():
			if r.After != "" && compare(id, r.After) < 0 && !strings.HasPrefix(r.After, id+"/") {
				continue // the whole directory comes before
			}
			if err := s.walk(ctx, id, r, visit); err != nil {
				return err
			}
		case !entry.Type().IsRegular() || !s.belongs(id) || r.After != "" && compare(id, r.After) <= 0:
		default:
			if err := visit(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare orders paths as walk visits them: name by name, so that all of "a/" comes before "a.txt".
func compare(a, b string) int {
	for {
		nameA, restA, moreA := strings.Cut(a, "/")
		nameB, restB, moreB := strings.Cut(b, "/")
		if c := cmp.Compare(nameA, nameB); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}
