package rekeysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// Split implements [rekey.Splitter]. It counts the rows and walks once over the key's index.
func (s *Store) Split(ctx context.Context, n int) ([]rekey.Range, error) {
	if n < 1 {
		return nil, fmt.Errorf("rekeysql: a store cannot be split into %d parts: %w", n, kmsmigrate.ErrInvalid)
	}
	rows, err := s.Count(ctx, rekey.Range{})
	if err != nil {
		return nil, err
	}
	per := (rows + int64(n) - 1) / int64(n)
	parts := []rekey.Range{{}}
	for per > 0 && len(parts) < n {
		last := &parts[len(parts)-1]
		bound, err := s.nth(ctx, last.After, per)
		if err != nil {
			return nil, err
		}
		if bound == "" {
			break
		}
		last.Through = bound
		parts = append(parts, rekey.Range{After: bound})
	}
	return parts, nil
}

// nth returns the id of the n-th row after one, or "" when there are fewer.
func (s *Store) nth(ctx context.Context, after string, n int64) (id string, err error) {
	keys := ""
	for i, c := range s.key {
		if i > 0 {
			keys += ", "
		}
		keys += s.flavor.keyText(c)
	}
	q := s.selecting(keys)
	if err := s.between(q, after, after != "", ""); err != nil {
		return "", err
	}
	s.inOrder(q)
	q.text(fmt.Sprintf(" LIMIT 1 OFFSET %d", n-1))
	cells := make([]cell, len(s.key))
	into := make([]any, len(cells))
	for i := range cells {
		into[i] = &cells[i]
	}
	err = s.one(ctx, q, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("rekeysql: reading %s: %w", s.table.Name, err)
		}
		parts := make([]string, len(cells))
		for i, c := range s.key {
			if parts[i], err = c.keyPart(cells[i].raw); err != nil {
				return s.table.wrong("%v", err)
			}
		}
		id = formatID(parts)
		return nil
	})
	return id, err
}
