package envelope

import (
	"bytes"
	"context"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Reencrypter is an [Envelope] to package rekey, whose Renew seals records anew instead of wrapping their data keys anew. It
// reads and writes all of each payload, and needs no more calls to the KMS than Renew does. It is safe for concurrent use.
//
// What it seals has a data key as Seal uses: of the phase, shared within Config's bounds unless FreshKeys is set, in the Table where
// there is one, and never the record's old one. The KMS unwraps the new copy, or the Table's entry, before a record is
// returned, once for all records that share it within MaxAge.
type Reencrypter struct {
	envelope *Envelope
	convert  bool
}

// Reencrypting returns a Codec that gives records of the old side fresh data keys, for when the old key, or whoever had it, is
// thought to know the data keys. The result is in the format that Seal writes. A record that was renewed before keeps
// its data key: the new side wraps it, and nothing tells it from others. So use this from the first rewrite on. Config.WrapBoth has no part
// in it: the old key is not given the new data keys. Nor are they added to the Client's Ledger: a backup of such a record needs the
// old key, for good, because nothing else is to have the data key that it was sealed with.
func (e *Envelope) Reencrypting() *Reencrypter { return &Reencrypter{envelope: e} }

// Converting returns a Codec that moves records of every configured format into the one that Seal writes, whichever side they
// are of; with a Config.Table, into records whose data keys are in the Table. Records of this format are renewed, and moved
// into the Table, as Envelope.Renew does it, payload untouched.
//
// Nothing is added to the Client's Ledger for what is converted or moved into the Table: backups of such records need the old key, or a
// sweep with a plain Envelope, without a Table, first.
func (e *Envelope) Converting() *Reencrypter { return &Reencrypter{envelope: e, convert: true} }

// Open is Envelope.Open. In Rewrite, what Renew would convert is stale too.
func (r *Reencrypter) Open(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	opened, err := r.envelope.Open(ctx, record, ec)
	if err == nil && r.convert && !r.envelope.writes(record) && !isEntry(record) {
		opened.Stale = r.envelope.keys.Phase().Rewrites()
	}
	return opened, err
}

// Inspect is Envelope.Inspect, without groups: no two records are renewed with the same calls. What Converting is to convert
// counts as the old side's, so that a sweep finds it; a census of sides is taken with the Envelope.
func (r *Reencrypter) Inspect(record []byte) (kmsmigrate.Info, error) {
	info, err := r.envelope.Inspect(record)
	if err != nil {
		return info, err
	}
	if isStream(record) || r.convert && r.envelope.writes(record) || isEntry(record) {
		return info, nil
	}
	for i := range info.Copies {
		info.Copies[i].Group = [32]byte{}
		if r.convert {
			info.Copies[i].Side = kmsmigrate.SideOld
		}
	}
	return info, nil
}

// Renew returns a record of the new side in the format that Seal writes, opened once more; nil Ciphertext where the record is
// what it should be. It works in phase Rewrite only and fails as Envelope.Renew does. Streams are too long for it: Converting
// re-wraps them, and Reencrypting refuses those of the old side with ErrFormat.
func (r *Reencrypter) Renew(ctx context.Context, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	e := r.envelope
	if isEntry(record) || r.convert && (e.writes(record) || isStream(record) || e.layout == nil && isOwn(record)) {
		return e.Renew(ctx, record, ec) // which also moves a data key into the Table
	}
	info, err := e.Inspect(record)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	was, _ := info.Standing()
	if was.Side == kmsmigrate.SideNew && !r.convert {
		return kmsmigrate.Renewed{From: was.Key, To: was.Key}, nil
	}
	switch p := e.keys.Phase(); {
	case p == kmsmigrate.NewOnly:
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: phase %s re-encrypts nothing: %w", p, kmsmigrate.ErrRetired)
	case !p.Rewrites():
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: phase %s does not rewrite: move to %s first: %w", p, kmsmigrate.Rewrite, kmsmigrate.ErrPhase)
	}
	opened, err := e.Open(ctx, record, ec)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	defer clear(opened.Plaintext)
	if opened.Side == kmsmigrate.SideNew && !r.convert { // nobody knew before
		return kmsmigrate.Renewed{From: opened.Key, To: opened.Key}, nil
	}
	by := e.single // the key that is not trusted gets no copy
	if r.convert {
		by = e
	}
	return e.sealAgain(ctx, by, opened, ec)
}

// sealAgain has another Envelope, or this one, seal what was opened, and has the new side's KMS open it.
func (e *Envelope) sealAgain(ctx context.Context, by *Envelope, opened kmsmigrate.Opened, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	sealed, err := by.Seal(ctx, opened.Plaintext, ec)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	again, err := e.Open(ctx, sealed, ec)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	defer clear(again.Plaintext)
	switch {
	case !bytes.Equal(again.Plaintext, opened.Plaintext):
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: the new record does not give back what it was given: %w", kmsmigrate.ErrBadAnswer)
	case again.Side != kmsmigrate.SideNew:
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: the phase has changed meanwhile, and the new record is of the %s side: %w", again.Side, kmsmigrate.ErrPhase)
	}
	return kmsmigrate.Renewed{Ciphertext: sealed, From: opened.Key, To: again.Key}, nil
}

// writes tells whether record is in the format that Seal writes.
func (e *Envelope) writes(record []byte) bool {
	if e.layout == nil {
		return isOwn(record) && len(record) > countAt && (e.table == nil || record[countAt] == 0)
	}
	if _, ok := ownFormat(record); ok {
		return false
	}
	l, _, err := e.detect(record)
	return err == nil && l.Name() == e.layout.Name()
}
