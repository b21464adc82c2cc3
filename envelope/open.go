package envelope

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Open decrypts a record of any configured format, given the encryption context it was sealed under. Side, Key and Stale of
// the result are those of the wrapped copy that was opened, whenever that was: a data key from the cache is stale where
// one from the KMS would be. A record that has a copy of the new side is stale only where that copy was seen to be wrong: damaged, or of
// another data key. Renew replaces it then.
//
// Of several wrapped copies it takes the first that holds the record's data key; one that the key refuses as damaged, or
// that holds another, leads to the next. A data key that does not fit is asked for once more before the record is refused.
//
// It fails with [ErrFormat], [ErrTampered], or as kmsmigrate's Client.Open does: with kmsmigrate.ErrRetired, in NewOnly,
// for a data key that only the old side opens, cached or not.
func (e *Envelope) Open(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	return e.AppendOpen(ctx, nil, record, ec)
}

// AppendOpen is Open for who opens much: it appends the plaintext to dst, and the result's Plaintext is the longer slice. In the
// own format it allocates nothing where dst has room. Where record stands in dst's room it is read before it is written over, at the cost of a
// buffer, and an error leaves it alone. Otherwise, with an error the bytes of dst are as they were; what lies behind them may have been
// overwritten, with zeros where it could tell of the plaintext.
func (e *Envelope) AppendOpen(ctx context.Context, dst, record []byte, ec kmsmigrate.EncryptionContext) (opened kmsmigrate.Opened, err error) {
	p, err := e.begin(ctx)
	if err != nil {
		return opened, err
	}
	if !isOwn(record) {
		if isStream(record) {
			return opened, badFormat(ownName, 0, "this is a stream: NewReader opens it")
		}
		if opened, err = e.openLayout(ctx, p, record, ec); err == nil && dst != nil {
			plaintext := opened.Plaintext
			dst = append(dst, plaintext...)
			opened.Plaintext = dst
			clear(plaintext)
		}
		return opened, err
	}
	var h header
	if err := h.read(record); err != nil {
		return opened, err
	}
	if h.copies == 0 {
		return e.openFromTable(ctx, p, dst, record, h, ec)
	}
	if h.copies == 1 {
		// As a rule the first answer fits, and to look at it costs less than what follows.
		k, err := e.unwrap(ctx, p, forOpening, h.suite, h.first(), ec)
		if err == nil && string(k.commitment[:]) == string(h.commitment) {
			k.prove()
			err = k.openOwn(&opened, p, dst, record, &h, k.bound, false)
			return opened, err
		}
		if err != nil && !errors.Is(err, ErrTampered) {
			return opened, err
		}
	}
	again := h // what is handed on to a function value lives on the heap
	k, fresh, err := e.unwrapAny(ctx, p, forOpening, h.suite, h.each(), ec, func(k *openingKey) error { return k.commits(&again) })
	if err != nil {
		return opened, err
	}
	err = k.openOwn(&opened, p, dst, record, &h, k.bound, fresh)
	return opened, err
}

// openOwn opens the payload of a record of the own format with the data key that it commits to. Fresh says that the record
// has a copy of the new side.
func (k *openingKey) openOwn(opened *kmsmigrate.Opened, p kmsmigrate.Phase, dst, record []byte, h *header, bound []byte, fresh bool) (err error) {
	if overlap(dst, record) {
		if err = k.openOwn(opened, p, nil, record, h, bound, fresh); err == nil {
			plaintext := opened.Plaintext
			dst = append(dst, plaintext...)
			opened.Plaintext = dst
			clear(plaintext)
		}
		return err
	}
	if dst == nil {
		dst = make([]byte, 0, len(h.payload)-tagSize)
	}
	if opened.Plaintext, err = k.aead.Open(dst, h.nonce, h.payload, bound); err != nil {
		return tampered(ownName, len(record)-len(h.payload), "the payload, its nonce or the encryption context is not what was sealed")
	}
	k.count.records.Add(1)
	opened.Side, opened.Stale, opened.Key = k.side, stale(p, k.side, fresh), k.ref
	return nil
}

func stale(p kmsmigrate.Phase, side kmsmigrate.Side, fresh bool) bool {
	return p.Rewrites() && side == kmsmigrate.SideOld && !fresh
}

// isOwn tells the own format, which no other format's record starts like: its first byte is not text, DER or protobuf.
func isOwn(record []byte) bool {
	return len(record) >= len(magic) && string(record[:len(magic)]) == magic
}

// openLayout opens a record of any other format.
func (e *Envelope) openLayout(ctx context.Context, p kmsmigrate.Phase, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	l, h, err := e.detect(record)
	if err != nil {
		return kmsmigrate.Opened{}, err
	}
	kc, err := l.Context(record, ec)
	if err != nil {
		return kmsmigrate.Opened{}, fmt.Errorf("envelope: %s: %w", l.Name(), err)
	}
	var opened kmsmigrate.Opened
	var first *openingKey
	values := make([][]byte, len(h.Values))
	var fits func(*openingKey) error
	if len(values) == 1 && !h.Direct { // of several values, none opens the record alone
		fits = func(k *openingKey) (err error) {
			opened.Plaintext, err = l.Open(record, [][]byte{k.value}, ec)
			return named(l, err)
		}
	}
	for i, v := range h.Values {
		k, fresh, err := e.unwrapValue(ctx, p, h.Direct, v.Copies, kc, fits)
		if err != nil {
			return kmsmigrate.Opened{}, err
		}
		defer k.release()
		values[i] = k.value
		if i == 0 {
			first = k
		}
		// One value on the old side makes the whole record the old side's.
		if i == 0 || k.side == kmsmigrate.SideOld {
			opened.Side, opened.Key = k.side, k.ref
		}
		opened.Stale = opened.Stale || stale(p, k.side, fresh)
	}
	if fits == nil {
		if opened.Plaintext, err = l.Open(record, values, ec); err != nil {
			return kmsmigrate.Opened{}, named(l, err)
		}
	}
	first.count.records.Add(1)
	return opened, nil
}

// unwrapValue returns the plaintext of one value, retained for the caller.
func (e *Envelope) unwrapValue(ctx context.Context, p kmsmigrate.Phase, direct bool, copies [][]byte, kc kmsmigrate.EncryptionContext, fits func(*openingKey) error) (*openingKey, bool, error) {
	if !direct {
		return e.unwrapAny(ctx, p, forLayoutOpening, 0, copies, kc, fits)
	}
	k, err := e.fetch(ctx, p, forLayoutOpening, 0, copies[0], kc)
	return k, false, err
}

// unwrapAny opens the copy of a data key that promises to cost least and to be the new side's. An answer that means "not
// mine", a copy that is refused as damaged, and one that holds another data key than fits takes lead to the next copy, and so,
// where it is asked for, does a service that is down. A nil fits takes all. Fresh says that there is a copy of the new side
// which was not asked or did not answer. One that was found wrong beside one that is right is remembered, for Renew to replace.
func (e *Envelope) unwrapAny(ctx context.Context, p kmsmigrate.Phase, purpose byte, s Suite, copies [][]byte, ec kmsmigrate.EncryptionContext, fits func(*openingKey) error) (k *openingKey, fresh bool, err error) {
	if len(copies) == 1 {
		k, err = e.unwrapFit(ctx, p, purpose, s, copies[0], ec, fits)
		return k, false, err
	}
	var wrong, others []error
	var useless [][]byte // copies of the new side that are wrong
	down := false
	for _, c := range e.order(p, copies) {
		k, err = e.unwrapFit(ctx, p, purpose, s, c.wrapped, ec, fits)
		switch {
		case err == nil:
			e.wrong.add(useless)
			return k, fresh, nil
		case c.side == kmsmigrate.SideNew && isUseless(err):
			useless = append(useless, c.wrapped)
		case c.side == kmsmigrate.SideNew:
			fresh = true // as far as known
		}
		switch {
		case isWrongCopy(err):
			wrong = append(wrong, err)
		case notMine(err):
			others = append(others, err)
		case e.mayFailOver(ctx, err):
			down = true
			others = append(others, err)
		default:
			return nil, false, err
		}
	}
	if down { // the copy that nobody answered for may be the right one, so nothing is said against the record
		return nil, false, errors.Join(others...)
	}
	return nil, false, errors.Join(append(wrong, others...)...)
}

// isUseless tells that a copy will never open its record, as far as its own side is to be believed.
func isUseless(err error) bool { return isWrongCopy(err) || errors.Is(err, kmsmigrate.ErrForeign) }

// isWrongCopy tells an error that is about one wrapped copy of a data key, and not about the record or a service.
func isWrongCopy(err error) bool {
	return errors.Is(err, ErrTampered) || errors.Is(err, kmsmigrate.ErrInvalid)
}

// unwrapFit returns the data key of one wrapped copy that fits takes. One that it does not take is asked for once more, because
// a service can give a wrong answer, which must not stay in memory; but not where it is known to have been right.
func (e *Envelope) unwrapFit(ctx context.Context, p kmsmigrate.Phase, purpose byte, s Suite, wrapped []byte, ec kmsmigrate.EncryptionContext, fits func(*openingKey) error) (*openingKey, error) {
	for again := false; ; again = true {
		k, err := e.unwrap(ctx, p, purpose, s, wrapped, ec)
		if err != nil || fits == nil {
			return k, err
		}
		if err = fits(k); err == nil {
			k.prove()
			return k, nil
		}
		proven := k.proven.Load()
		if !proven && errors.Is(err, ErrTampered) {
			e.opening.drop(maphash.Bytes(e.seed, wrapped), k)
		}
		if purpose != forOpening {
			k.release()
		}
		if again || proven || !errors.Is(err, ErrTampered) {
			return nil, err
		}
	}
}

// commits returns nil for the data key that a record commits to.
func (k *openingKey) commits(h *header) error {
	if string(k.commitment[:]) != string(h.commitment) {
		return tampered(ownName, len(magic)+2, "the data key is not the one that the record commits to")
	}
	return nil
}

func notMine(err error) bool {
	return errors.Is(err, kmsmigrate.ErrForeign) || errors.Is(err, kmsmigrate.ErrNoKey) || errors.Is(err, kmsmigrate.ErrRetired)
}

// mayFailOver reports whether err says that a service is down, and another copy may be tried now.
func (e *Envelope) mayFailOver(ctx context.Context, err error) bool {
	down := errors.Is(err, kmsmigrate.ErrUnavailable) || errors.Is(err, kmsmigrate.ErrThrottled) ||
		errors.Is(err, kmsmigrate.ErrKeyState) || errors.Is(err, context.DeadlineExceeded)
	if !down || ctx.Err() != nil || !e.failovers.Allow() {
		return false
	}
	e.counts.failover.Add(1)
	return true
}

// candidate is a wrapped copy and whose it is.
type candidate struct {
	wrapped []byte
	side    kmsmigrate.Side
}

// order sorts copies: those of the side that the phase reads and prefers, those of the other, and last those that no key
// is sure of. The new side comes first wherever it is read, because a record with a new copy counts as new.
func (e *Envelope) order(p kmsmigrate.Phase, copies [][]byte) []candidate {
	order := make([]candidate, len(copies))
	for i, wrapped := range copies {
		order[i] = candidate{wrapped: wrapped, side: e.sideOf(wrapped)}
	}
	rank := func(c candidate) int {
		switch {
		case c.side == kmsmigrate.SideNew && p.Reads(c.side):
			return 0
		case c.side == kmsmigrate.SideOld && p.Reads(c.side):
			return 1
		case c.side == kmsmigrate.SideUnknown:
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(order, func(a, b candidate) int { return rank(a) - rank(b) })
	return order
}

// sideOf tells whose a wrapped copy is, without a call to the KMS.
func (e *Envelope) sideOf(wrapped []byte) kmsmigrate.Side {
	info, err := e.keys.Inspect(wrapped)
	if err != nil {
		return kmsmigrate.SideUnknown
	}
	return info.Copies[0].Side
}

// unwrap returns the data key of one wrapped copy, from the cache where it is there and the phase reads the side that it
// came from. For layouts it is retained for the caller; keys of the own format have nothing to overwrite.
func (e *Envelope) unwrap(ctx context.Context, p kmsmigrate.Phase, purpose byte, s Suite, wrapped []byte, ec kmsmigrate.EncryptionContext) (*openingKey, error) {
	if e.opening.off() { // who wants none kept wants the KMS to see each, and does not wait for a goroutine and a copy
		return e.fetch(ctx, p, purpose, s, wrapped, ec)
	}
	// A wrapped key opens under one context, so its own bytes are enough to find it by.
	hash := maphash.Bytes(e.seed, wrapped)
	if k, ok := e.opening.get(hash); ok && k.is(purpose, s, wrapped, ec) && k.serves(p) && (purpose == forOpening || k.tryRetain()) {
		return k, nil
	}
	// What runs on after the caller has gone must not use the caller's slices.
	wrapped, ec = slices.Clone(wrapped), ec.Clone()
	id := identity(identify(nil, purpose, byte(s), ec, wrapped))
	usable := func(k *openingKey) bool { return k.is(purpose, s, wrapped, ec) && k.serves(p) }
	return e.opening.acquire(ctx, hash, id, p, usable, func(ctx context.Context) (*openingKey, error) {
		return e.fetch(ctx, p, purpose, s, wrapped, ec)
	})
}

// fetch has the KMS unwrap a data key.
func (e *Envelope) fetch(ctx context.Context, p kmsmigrate.Phase, purpose byte, s Suite, wrapped []byte, ec kmsmigrate.EncryptionContext) (*openingKey, error) {
	client, err := e.keys.At(p)
	if err != nil {
		return nil, err
	}
	opened, err := client.Open(ctx, wrapped, ec)
	if err != nil {
		return nil, err
	}
	k := &openingKey{purpose: purpose, suite: s, phase: p, side: opened.Side, ref: opened.Key, count: e.counts.of(opened.Side, opened.Key)}
	if !e.opening.off() {
		k.wrapped, k.context = string(wrapped), contextEntries(ec)
	}
	k.retain(1)
	k.count.unwraps.Add(1)
	if purpose == forLayoutOpening {
		k.value = opened.Plaintext
		k.wipe = func() { clear(k.value) }
		return k, nil
	}
	defer clear(opened.Plaintext)
	dataKey, ok := decodeDataKey(opened.Plaintext)
	if !ok {
		return nil, tampered(ownName, copiesAt, "the wrapped copy holds no data key of this format, 44 characters of base64")
	}
	defer clear(dataKey)
	if k.aead, k.commitment, err = s.derive(dataKey); err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", s, err)
	}
	k.bound = s.bind(magic, k.commitment[:], ec)
	return k, nil
}
