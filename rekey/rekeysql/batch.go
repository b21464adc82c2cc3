package rekeysql

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/keyhaul/keyhaul/rekey"
)

const (
	// batchMost and batchBytes bound what one transaction of SwapAll writes, and with it how long others wait to write.
	batchMost  = 128
	batchBytes = 1 << 20
)

// BatchSize implements [rekey.BatchSwapper]. SQLite writes for one at a time and flushes for each, so that batches are five
// times as fast there. The servers flush for all who commit at the same moment anyway. A transaction of several updates was
// measured at half the speed of as many connections with one each on MariaDB, one statement for several rows was no faster
// on PostgreSQL, and on MySQL such a statement locks what it reads, which for a small table is all of it.
func (s *Store) BatchSize() int {
	if _, ok := s.flavor.(sqlite); ok && !s.inTx {
		return batchMost
	}
	return 1
}

// change is one swap of a batch.
type change struct {
	at        int // in the caller's list
	key       []any
	was, will [][]byte
}

// SwapAll implements [rekey.BatchSwapper], in one short transaction. What could not be replaced so is tried by itself, which
// tells why.
func (s *Store) SwapAll(ctx context.Context, swaps []rekey.Swap) []error {
	errs := make([]error, len(swaps))
	f, isLite := s.flavor.(sqlite)
	pool, isPool := s.db.(*sql.DB)
	alone := !isLite || !isPool || s.replica || len(swaps) < 2
	var batch []change
	ids, bytesOf := map[string]bool{}, 0
	flush := func() {
		s.inBatch(ctx, f, pool, swaps, batch, errs)
		batch, bytesOf = batch[:0], 0
		clear(ids)
	}
	for i, one := range swaps {
		c, ok := s.change(one)
		if alone || !ok {
			errs[i] = s.Swap(ctx, one.ID, one.Prev, one.Next)
			continue
		}
		size := len(one.Prev) + len(one.Next)
		if len(batch) == batchMost || bytesOf+size > batchBytes || ids[one.ID] {
			flush()
		}
		c.at = i
		ids[one.ID] = true
		batch, bytesOf = append(batch, c), bytesOf+size
	}
	flush()
	return errs
}

// change prepares a swap; not ok where Swap is to say what is wrong with it, or has nothing to do.
func (s *Store) change(one rekey.Swap) (c change, ok bool) {
	if bytes.Equal(one.Prev, one.Next) {
		return c, false
	}
	var err error
	if c.was, err = s.split(one.Prev); err != nil {
		return c, false
	}
	if c.will, err = s.split(one.Next); err != nil {
		return c, false
	}
	for i, column := range s.values {
		if column.fits(c.will[i]) != nil {
			return c, false
		}
	}
	c.key, err = s.arguments(one.ID)
	return c, err == nil
}

// inBatch replaces what it can at once and the rest one by one.
func (s *Store) inBatch(ctx context.Context, f sqlite, pool *sql.DB, swaps []rekey.Swap, batch []change, errs []error) {
	if len(batch) == 0 {
		return
	}
	done := make([]bool, len(batch))
	if len(batch) > 1 {
		err := s.swapAll(ctx, f, pool, batch, done)
		if s.concernsAll(ctx, err) {
			for _, c := range batch {
				errs[c.at] = fmt.Errorf("rekeysql: swapping %d records of %s: %w", len(batch), s.table.Name, s.explain(err))
			}
			return
		}
		if err != nil {
			clear(done)
		}
	}
	for i, c := range batch {
		if !done[i] {
			one := swaps[c.at]
			errs[c.at] = s.Swap(ctx, one.ID, one.Prev, one.Next)
		}
	}
}

// concernsAll tells an error of a batch that each of its rows would meet by itself too: SQLite has one lock for all.
func (s *Store) concernsAll(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || s.flavor.about(err) != aboutValue)
}

// swapAll runs the statement of a single swap for each row, in one transaction, and marks what it has changed. After an error
// nothing of it was done, unless the connection broke while it was committed; then a later try finds what it wrote, and that
// is a conflict.
func (s *Store) swapAll(ctx context.Context, f sqlite, pool *sql.DB, batch []change, done []bool) (err error) {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // nobody gets a connection inside a transaction
			}
		}
	}()
	stmts := map[string]*sql.Stmt{}
	defer func() {
		for _, stmt := range stmts {
			_ = stmt.Close()
		}
	}()
	for i, c := range batch {
		q := f.update(s, c.key, c.was, c.will)
		stmt := stmts[q.String()]
		if stmt == nil {
			if stmt, err = conn.PrepareContext(ctx, q.String()); err != nil {
				return err
			}
			stmts[q.String()] = stmt
		}
		n, err := affected(stmt.ExecContext(ctx, q.args...))
		if err != nil {
			return err
		}
		done[i] = n == 1
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	ended = err == nil
	return err
}
