package shim

import (
	"sync/atomic"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Stats counts what a shim did since it was made.
type Stats struct {
	Old, New      int64 // calls to each side
	Local         int64 // signatures verified and public keys returned without a call
	Stale         int64 // reads in phase Rewrite that the old side answered
	Renewed       int64 // new ciphertext handed to OnStale
	RenewFailed   int64 // ciphertext of which none could be made
	RenewDropped  int64 // ciphertext that came while all renewals were busy
	SigningHeld   int64 // signatures of an old key because the new one's public key is not published, or does not verify
	AnsweredOldID int64 // answers of the new side that carry an old key's ids, by AnswerOldIDs
	Unremembered  int64 // requests that a Handler refused because it holds as many of the caller's as it can
}

type counters struct {
	calls                                                              [3]atomic.Int64
	local, stale, renewed, failed, dropped, oldIDs, held, unremembered atomic.Int64
}

func (c *counters) count(s kmsmigrate.Side) { c.calls[s].Add(1) }

func (c *counters) stats() Stats {
	return Stats{
		Old: c.calls[kmsmigrate.SideOld].Load(), New: c.calls[kmsmigrate.SideNew].Load(), Local: c.local.Load(), Stale: c.stale.Load(),
		SigningHeld: c.held.Load(), Renewed: c.renewed.Load(), RenewFailed: c.failed.Load(), RenewDropped: c.dropped.Load(), AnsweredOldID: c.oldIDs.Load(),
		Unremembered: c.unremembered.Load(),
	}
}
