package envelope

import (
	"context"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// maxWrongCopies bounds what wrongCopies remembers. A record whose copy was forgotten is found again when it is opened again.
const maxWrongCopies = 4096

// wrongCopies are wrapped copies of the new side that did not hold their record's data key when it was opened through another.
// Nothing but opening tells: a record that has such a copy counts as new, until the old key is gone.
type wrongCopies struct {
	mu   sync.Mutex
	seen map[[32]byte]struct{} // by group
}

func (w *wrongCopies) add(copies [][]byte) {
	if len(copies) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[[32]byte]struct{}{}
	}
	for _, c := range copies {
		for some := range w.seen {
			if len(w.seen) < maxWrongCopies {
				break
			}
			delete(w.seen, some)
		}
		w.seen[kmsmigrate.LedgerID(c)] = struct{}{}
	}
}

func (w *wrongCopies) has(wrapped []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return false
	}
	_, ok := w.seen[kmsmigrate.LedgerID(wrapped)]
	return ok
}

func (w *wrongCopies) remove(wrapped []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.seen, kmsmigrate.LedgerID(wrapped))
}

// isWrong asks the new side once more about a copy that was seen to be wrong: on a memory alone nothing is dropped. It
// returns why the copy is wrong, or nothing; err is for when that cannot be told.
func (e *Envelope) isWrong(ctx context.Context, p kmsmigrate.Phase, of renewing, c candidate) (why, err error) {
	if c.side != kmsmigrate.SideNew || !p.Rewrites() || !e.wrong.has(c.wrapped) {
		return nil, nil
	}
	k, err := e.cold().unwrapFit(ctx, p, forLayoutOpening, 0, c.wrapped, of.kc, of.fits.ofKey(of.value))
	switch {
	case err == nil:
		k.release()
		e.wrong.remove(c.wrapped)
		return nil, nil
	case isUseless(err):
		return err, nil
	default:
		return nil, err
	}
}
