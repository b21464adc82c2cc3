package alikms

import "sync/atomic"

// retryBudget keeps repeated calls to a tenth of the successful ones, with some to begin with: when a service is down,
// repeating every call four times is the last thing that it needs. The zero value is ready.
type retryBudget struct {
	spent atomic.Int64 // in tenths of a retry; bounded by budgetSize
}

const (
	retryCost  = 10
	budgetSize = 50 * retryCost
)

func (b *retryBudget) take() bool {
	for {
		spent := b.spent.Load()
		if spent+retryCost > budgetSize {
			return false
		}
		if b.spent.CompareAndSwap(spent, spent+retryCost) {
			return true
		}
	}
}

func (b *retryBudget) succeeded() {
	if spent := b.spent.Load(); spent > 0 {
		b.spent.CompareAndSwap(spent, spent-1)
	}
}
