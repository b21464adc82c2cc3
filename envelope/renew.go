package envelope

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// renewal is what became of a wrapped copy. It holds no secret: a ciphertext for the new key, which the new key has opened.
type renewal struct {
	refs
	id identity
	kmsmigrate.Renewed
}

// Renew moves a record from the old side to the new by wrapping its data key anew: the payload's bytes are left alone, and
// so is what the KMS was given to wrap. It costs what kmsmigrate's Client.Renew does, three calls, once for all records that
// share a wrapped data key, for as long as Config.MaxAge. The result's Ciphertext is the whole record; nil means that
// there is nothing to do, as for every record that has a copy of the new side, unless Open has seen that it is wrong.
//
// What the old key gives back is checked before it is wrapped anew: a record of the own format against its commitment, one
// of a Layout by opening its payload, or as its [Checker] says. With [ErrTampered] nothing is wrapped and nothing remembered.
// Of records of a Layout that share a wrapped data key, one is checked for all that are renewed within MaxAge. A Layout of
// several values that is no Checker cannot be checked: there the old key's word is taken.
//
// It works in phase Rewrite only, and fails as Client.Renew does: with kmsmigrate.ErrPhase before, and ErrRetired after.
// With a Config.Table, records of the own format are moved into it, for good: their data key's copies go to the table, and
// Renew finds nothing to do for them from then on. The entries of the table are records, and are renewed as such, as is every
// record with an empty plaintext: it is not moved.
//
// Wrapped copies of the old side are replaced by one of the new, or, with Config.WrapBoth where the format has room, joined by it; copies of keys
// that are not configured stay.
func (e *Envelope) Renew(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	p, err := e.begin(ctx)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	if err, ok := inTable(record); ok {
		return kmsmigrate.Renewed{}, err
	}
	if e.table != nil && p.Rewrites() && isOwn(record) && !isEntry(record) {
		return e.moveToTable(ctx, p, record, ec)
	}
	l, h, err := e.headers(record)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	kc, err := l.Context(record, ec)
	if err != nil {
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: %s: %w", l.Name(), err)
	}
	fits, err := checkOf(l, record, h, ec)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	var result kmsmigrate.Renewed
	var rewrap Rewrap
	changed := false
	for i, v := range h.Values {
		copies, r, err := e.renewValue(ctx, p, renewing{layout: l, record: record, header: h, ec: ec, kc: kc, value: i, fits: fits}, v.Copies)
		if err != nil {
			return kmsmigrate.Renewed{}, err
		}
		if r.Ciphertext != nil && !changed || i == 0 {
			result.From, result.To = r.From, r.To
		}
		changed = changed || r.Ciphertext != nil
		rewrap.Values = append(rewrap.Values, copies)
	}
	if !changed {
		return result, nil
	}
	if h.NeedsPlain {
		for i, v := range h.Values {
			k, _, err := e.unwrapAny(ctx, p, forLayoutOpening, 0, v.Copies, kc, fits.ofKey(i))
			if err != nil {
				return kmsmigrate.Renewed{}, err
			}
			defer k.release()
			rewrap.Plain = append(rewrap.Plain, k.value)
		}
	}
	result.Ciphertext, err = e.rewrapped(l, record, rewrap)
	return result, err
}

// rewrapped has the layout put new copies into a record, and sees for itself that they are there: a record is about to be
// replaced by this.
func (e *Envelope) rewrapped(l headers, record []byte, r Rewrap) ([]byte, error) {
	out, err := l.Rewrap(record, r)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", l.Name(), err)
	}
	h, err := parseWith(l, out)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: the re-wrapped record does not parse: %w", l.Name(), err)
	}
	same := len(h.Values) == len(r.Values)
	for i := 0; same && i < len(h.Values); i++ {
		same = slices.EqualFunc(h.Values[i].Copies, r.Values[i], func(a []byte, b Wrapped) bool { return string(a) == string(b.Ciphertext) })
	}
	if !same {
		return nil, fmt.Errorf("envelope: %s: the re-wrapped record does not hold the new copies: %w", l.Name(), ErrFormat)
	}
	return out, nil
}

// renewValue returns the copies that a value is to have from now on, and what was done.
func (e *Envelope) renewValue(ctx context.Context, p kmsmigrate.Phase, of renewing, copies [][]byte) ([]Wrapped, kmsmigrate.Renewed, error) {
	var answers []error
	var wrong []string
	for _, c := range e.order(p, copies) {
		if why, err := e.isWrong(ctx, p, of, c); err != nil {
			return nil, kmsmigrate.Renewed{}, err
		} else if why != nil {
			answers, wrong = append(answers, why), append(wrong, string(c.wrapped))
			continue
		}
		r, err := e.renewCopy(ctx, p, of, c.wrapped)
		if err != nil {
			if len(copies) > 1 && (notMine(err) || isWrongCopy(err)) {
				answers = append(answers, err)
				continue
			}
			return nil, r, err
		}
		if r.Ciphertext == nil {
			return e.keep(copies, func([]byte) bool { return true }), r, nil
		}
		return slices.Insert(e.keep(copies, func(other []byte) bool {
			if slices.Contains(wrong, string(other)) {
				return false
			}
			// What nobody could check takes the place of nothing but itself.
			both := e.wrapBoth && severalCopies(of.layout)
			if both || of.fits == nil {
				return both && len(copies) < MaxCopies || string(other) != string(c.wrapped)
			}
			return string(other) != string(c.wrapped) && e.sideOf(other) != kmsmigrate.SideOld
		}), 0, Wrapped{Ciphertext: r.Ciphertext, Key: r.To}), r, nil
	}
	return nil, kmsmigrate.Renewed{}, errors.Join(answers...)
}

// keep returns the copies that stay is true for.
func (e *Envelope) keep(copies [][]byte, stay func([]byte) bool) []Wrapped {
	var kept []Wrapped
	for _, wrapped := range copies {
		if stay(wrapped) {
			kept = append(kept, e.wrappedBy(wrapped)...)
		}
	}
	return kept
}

// renewing is a value of a record on its way to the new side.
type renewing struct {
	layout headers
	record []byte
	header Header
	ec, kc kmsmigrate.EncryptionContext // the caller's, and the one that the KMS gets
	value  int
	fits   check // nil: nothing tells
}

// misfit tells whether what the old key gave back is not the record's.
func (r renewing) misfit(value []byte) error {
	if r.fits == nil {
		return nil
	}
	return r.fits(r.value, value)
}

// identity is that of the renewal of one wrapped copy. In the own format it has the commitment in it: a record that commits to
// another data key does not get this one's renewal, and fails nobody else's.
func (r renewing) identity(wrapped []byte) identity {
	id := identify(nil, forRenewal, 0, r.kc, nil)
	if o, ok := r.layout.(own); ok {
		id = append(append(id, o.name...), r.record[len(magic):fixedSize]...)
	}
	return identity(append(id, wrapped...))
}

// detached returns a copy of r that outlives the caller.
func (r renewing) detached() (renewing, error) {
	r.ec, r.kc = r.ec.Clone(), r.kc.Clone()
	r.record = slices.Clone(r.record)
	var err error
	r.fits, err = checkOf(r.layout, r.record, r.header, r.ec)
	return r, err
}

// renewCopy renews one wrapped copy, or remembers that it has been.
func (e *Envelope) renewCopy(ctx context.Context, p kmsmigrate.Phase, of renewing, wrapped []byte) (kmsmigrate.Renewed, error) {
	client, err := e.keys.At(p)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	// Where the answer costs no call there is nothing to remember: in other phases, and for what is known to be new. Nor is
	// anything where records share no values, and where a value alone cannot be checked.
	if of.header.Direct || len(of.header.Values) > 1 || !p.Rewrites() || e.sideOf(wrapped) == kmsmigrate.SideNew {
		if of.fits == nil {
			return client.Renew(ctx, wrapped, of.kc) // so that what a Ledger holds is not taken unchecked
		}
		return client.RenewIf(ctx, wrapped, of.kc, of.misfit)
	}
	id := of.identity(wrapped)
	hash := maphash.String(e.seed, string(id))
	is := func(r *renewal) bool { return r.id == id }
	if r, ok := e.renewals.get(hash); ok && is(r) {
		return r.Renewed, nil // it holds nothing that is overwritten
	}
	if of, err = of.detached(); err != nil {
		return kmsmigrate.Renewed{}, err
	}
	wrapped = slices.Clone(wrapped)
	for {
		var mine atomic.Bool
		r, err := e.renewals.acquire(ctx, hash, id, p, is, func(ctx context.Context) (*renewal, error) {
			mine.Store(true)
			renewed, err := client.RenewIf(ctx, wrapped, of.kc, of.misfit)
			if err != nil {
				return nil, err
			}
			r := &renewal{id: id, Renewed: renewed}
			r.retain(1)
			return r, nil
		})
		if err == nil {
			r.release()
			return r.Renewed, nil
		}
		// Another record of the data key may have been tampered with, and says nothing of this one. Each turn ends the
		// wait of at least the one whose check failed, so there are no more turns than records that wait.
		if mine.Load() || !isMisfit(err) || ctx.Err() != nil {
			return kmsmigrate.Renewed{}, err
		}
	}
}

// isMisfit tells an error about the record, or about what a key gave back for it, from one of the service.
func isMisfit(err error) bool { return errors.Is(err, ErrTampered) || errors.Is(err, ErrFormat) }
