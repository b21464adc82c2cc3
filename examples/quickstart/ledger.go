package main

import (
	"fmt"
	"sync/atomic"
)

// ledger knows what every record must say: which revision of it a writer began to write, and which the database has
// acknowledged. Each record has one writer, so its revisions follow one another.
type ledger struct{ begun, acknowledged []atomic.Int64 }

func newLedger(rows int) *ledger {
	return &ledger{begun: make([]atomic.Int64, rows+1), acknowledged: make([]atomic.Int64, rows+1)}
}

// text is what record id holds in a revision.
func text(id, revision int64) string {
	return fmt.Sprintf("customer %d, revision %d, card 4000%012d", id, revision, id*7919+revision)
}

// admits reports whether a reader that began when revision since was acknowledged may have seen got: a revision that is not
// older, and that somebody has begun to write.
func (l *ledger) admits(id, since int64, got string) bool {
	for revision := since; revision <= l.begun[id].Load(); revision++ {
		if got == text(id, revision) {
			return true
		}
	}
	return false
}

// exact reports whether got is the last acknowledged revision; for when nobody writes any more.
func (l *ledger) exact(id int64, got string) bool {
	return got == text(id, l.acknowledged[id].Load())
}
