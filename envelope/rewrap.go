package envelope

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Rewrap wraps a record's data key anew with the key, and the version of it, that the phase writes with, whichever wrapped
// it before: after a rotation, say. All other copies are dropped, once the data key is known to be the record's, as Renew
// knows it: a copy that holds another leads to the next, and to [ErrTampered] when none is right.
//
// Like append, it may reuse record. In the own format, where the header keeps its length as it does as a rule, the new copies
// are written over the old ones and the payload is not even read, so that a long record costs what a short one does. A
// record that fails is unchanged.
//
// It makes three calls to the KMS, of which the last proves that the new copy opens, and it uses no cache. Renew is what
// moves records through a migration.
func (e *Envelope) Rewrap(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	p, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err, ok := inTable(record); ok {
		if err == nil {
			err = invalid("the record's data key is in a KeyTable: re-wrap its entry there")
		}
		return nil, err
	}
	l, h, err := e.headers(record)
	if err != nil {
		return nil, err
	}
	kc, err := l.Context(record, ec)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", l.Name(), err)
	}
	fits, err := checkOf(l, record, h, ec)
	if err != nil {
		return nil, err
	}
	cold := e.cold()
	var r Rewrap
	for i, v := range h.Values {
		k, _, err := cold.unwrapAny(ctx, p, forLayoutOpening, 0, v.Copies, kc, fits.ofKey(i))
		if err != nil {
			return nil, err
		}
		defer k.release()
		wrapped, err := cold.wrap(ctx, p, k.value, kc, severalCopies(l))
		if err != nil {
			return nil, err
		}
		r.Values = append(r.Values, e.wrappedBy(wrapped...))
		if h.NeedsPlain {
			r.Plain = append(r.Plain, k.value)
		}
	}
	if o, ok := ownFormat(record); ok {
		if done, err := o.rewrapInPlace(record, r.Values[0]); done || err != nil {
			return record, err
		}
	}
	return e.rewrapped(l, record, r)
}

// rewrapInPlace writes new copies over the old where they take as many bytes.
func (o own) rewrapInPlace(record []byte, values []Wrapped) (bool, error) {
	h, _, err := o.parse(record)
	if err != nil {
		return false, err
	}
	copies := make([][]byte, len(values))
	for i, w := range values {
		copies[i] = w.Ciphertext
	}
	list, err := appendCopies(nil, copies)
	if err != nil || len(list) != 1+len(h.list) {
		return false, err
	}
	copy(record[countAt:], list)
	return true, nil
}

// Reencrypt opens a record and seals its plaintext again with a data key that nothing else has, for when the old key, or
// the data key, is thought to be known to others. The result is in the format that Seal writes, and was opened again,
// past every cache, before it is returned. It costs three calls to the KMS and all of the payload. The data key is given to the key that
// the phase writes with alone, also with Config.WrapBoth; in phase Rewrite that is the new one.
//
// A record of the own format with an empty plaintext can be an entry of a [KeyTable], whose data key other records need. It
// keeps its data key, and is wrapped anew as Rewrap does.
func (e *Envelope) Reencrypt(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if isEntry(record) {
		return e.Rewrap(ctx, slices.Clone(record), ec)
	}
	opened, err := e.Open(ctx, record, ec)
	if err != nil {
		return nil, err
	}
	defer clear(opened.Plaintext)
	cold := e.cold()
	cold.wrapBoth = false
	sealed, err := cold.Seal(ctx, opened.Plaintext, ec)
	if err != nil {
		return nil, err
	}
	again, err := cold.Open(ctx, sealed, ec)
	if err != nil {
		return nil, err
	}
	defer clear(again.Plaintext)
	if !bytes.Equal(again.Plaintext, opened.Plaintext) {
		return nil, fmt.Errorf("envelope: the new record does not give back what it was given: %w", kmsmigrate.ErrBadAnswer)
	}
	return sealed, nil
}

// cold returns an Envelope that is the same, has no caches and proves what it wraps, for work that must see what the KMS says
// now.
func (e *Envelope) cold() *Envelope {
	c := e.sharing()
	c.single = c
	// Without an age nothing can fail.
	c.opening, _ = newCache[*openingKey](0, 0, e.opening.timeout)
	c.sealing, _ = newCache[*sealingKey](0, 0, e.opening.timeout)
	c.renewals, _ = newCache[*renewal](0, 0, e.opening.timeout)
	return c
}

// sharing returns an Envelope that is the same, without caches.
func (e *Envelope) sharing() *Envelope {
	return &Envelope{
		keys: e.keys, layout: e.layout, layouts: slices.Clone(e.layouts), suite: e.suite, fresh: true,
		maxMessages: e.maxMessages, maxBytes: e.maxBytes, wrapBoth: e.wrapBoth, failovers: e.failovers, seed: e.seed,
		table: e.table, tableContext: e.tableContext, seconds: e.seconds, counts: e.counts, wrong: e.wrong, generate: e.generate, keySize: e.keySize, prove: true,
	}
}
