package rekey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// OpenSync decrypts a record and, where it is stale, renews it at once and swaps it with s, on the caller's goroutine and
// context: for a caller inside a transaction, which s must be part of, so that the rewrite is committed or rolled back with
// it.
//
// A renewal that fails or takes longer than two seconds (Config.Timeout where that is less) and a conflict are counted, and the
// plaintext is returned: the caller's transaction holds locks meanwhile. The renewal that was left ends by itself and swaps
// nothing. When the swap fails in another way, the plaintext is returned together with the error, because the transaction may be
// lost.
//
// What the Codec keeps in the database itself, a [kmsmigrate.Ledger] or a table of data keys, it writes on connections of its own
// and outside of the transaction. Where the database takes one writer at a time, as SQLite does, or the pool has no connection
// left, a renewal that would write there waits for the transaction that waits for it and never succeeds: keep those in another
// database, or leave such records to Open and the sweep.
func (r *Rekeyer) OpenSync(ctx context.Context, s Swapper, rec Record) ([]byte, error) {
	codec, err := choose(r.cfg.Codec, r.cfg.CodecFor, rec)
	if err != nil {
		return nil, err
	}
	opened, err := codec.Open(ctx, rec.Value, rec.Context)
	if err != nil {
		return nil, err
	}
	if !opened.Stale || rec.ID == "" || s == nil {
		return opened.Plaintext, nil
	}
	if r.cfg.Contended.has(rec.ID) {
		r.count(func(s *Stats) { s.Stale++; s.Repeated++ })
		return opened.Plaintext, nil
	}
	r.count(func(s *Stats) { s.Stale++ })
	done := r.rewrite(ctx, min(r.cfg.Timeout, syncTime), s, rec)
	r.finish(done)
	if done.swapErr != nil && !errors.Is(done.swapErr, ErrConflict) {
		return opened.Plaintext, done.swapErr
	}
	return opened.Plaintext, nil
}

// syncTime bounds what OpenSync adds to a read. It is the renewal alone: drivers end the transaction with a statement that
// they give up.
const syncTime = 2 * time.Second

// renew asks the codec, and leaves it where it takes longer than patience: not every driver gives up when its context ends, and
// the codec can wait for the very transaction that waits for it.
func renew(ctx context.Context, patience time.Duration, codec Codec, rec Record) (kmsmigrate.Renewed, error) {
	if patience == 0 {
		return codec.Renew(ctx, rec.Value, rec.Context)
	}
	type answer struct {
		renewed kmsmigrate.Renewed
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rec = rec.clone() // the caller may overwrite its own as soon as OpenSync has returned
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errExit}
		defer func() { answered <- a }()
		a.err = contained(func() (err error) {
			a.renewed, err = codec.Renew(ctx, rec.Value, rec.Context)
			return err
		})
	}()
	select {
	case a := <-answered:
		return a.renewed, a.err
	case <-ctx.Done():
		return kmsmigrate.Renewed{}, fmt.Errorf("rekey: a renewal in the caller's transaction was left: %w", ctx.Err())
	}
}
