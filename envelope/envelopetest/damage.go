package envelopetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// randomChanges is how many changes of random parts each damaged record gets.
const randomChanges = 500

// damaged changes, drops, doubles and swaps bytes, each of them, and parts, at random.
func (t *suite) damaged(ctx context.Context, what string, record []byte, ec kmsmigrate.EncryptionContext) {
	e, err := t.envelope(kmsmigrate.ReadBoth)
	if err != nil {
		t.broken("%v", err)
		return
	}
	defer e.Close()
	d := &damage{suite: t, envelope: e, what: what, record: record, context: ec}
	if t.cfg.Unbound != nil {
		d.from, d.to = t.cfg.Unbound(record)
	}
	for i := range record {
		for _, bits := range []byte{1, 0x20} {
			changed := bytes.Clone(record)
			changed[i] ^= bits
			d.try(ctx, "a changed byte", i, i+1, changed)
		}
		d.try(ctx, "a dropped byte", i, i+1, slices.Delete(bytes.Clone(record), i, i+1))
		d.try(ctx, "a doubled byte", i, i+1, slices.Insert(bytes.Clone(record), i, record[i]))
		if i+1 < len(record) {
			d.try(ctx, "two bytes swapped", i, i+2, swap(record, i, i+1, 1))
		}
		d.try(ctx, "an early end", i, len(record), record[:i:i])
	}
	for range randomChanges {
		i := t.random.IntN(len(record))
		n := 1 + t.random.IntN(min(len(record)-i, 64))
		switch part := record[i : i+n]; t.random.IntN(5) {
		case 0:
			changed := bytes.Clone(record)
			changed[i] = byte(t.random.Uint32())
			d.try(ctx, "a changed byte", i, i+1, changed)
		case 1:
			d.try(ctx, "a dropped part", i, i+n, slices.Delete(bytes.Clone(record), i, i+n))
		case 2:
			d.try(ctx, "a doubled part", i, i+n, slices.Insert(bytes.Clone(record), i, part...))
		case 3:
			at := t.random.IntN(len(record) + 1)
			d.try(ctx, "a part put elsewhere too", at, at, slices.Insert(bytes.Clone(record), at, part...))
		default:
			// A part that nothing authenticates for one that something does is two changes, and each is made above.
			if j := t.random.IntN(len(record)); j >= i+n && j+n <= len(record) && d.touches(i, n) == d.touches(j, n) {
				d.try(ctx, "two parts swapped", i, j+n, swap(record, i, j, n))
			}
		}
	}
	if d.unnoticed > len(d.said) {
		t.broken("%s: %d changes in all were not noticed", what, d.unnoticed)
	}
}

// swap returns record with n bytes at i and n at j exchanged.
func swap(record []byte, i, j, n int) []byte {
	out := bytes.Clone(record)
	copy(out[i:i+n], record[j:j+n])
	copy(out[j:j+n], record[i:i+n])
	return out
}

// damage is one record and what becomes of its changes.
type damage struct {
	*suite
	envelope  *envelope.Envelope
	what      string
	record    []byte
	context   kmsmigrate.EncryptionContext
	from, to  int // the range that nothing authenticates
	unnoticed int
	said      []string
}

// try opens and inspects a record that was changed between two offsets.
func (d *damage) try(ctx context.Context, how string, from, to int, changed []byte) {
	if bytes.Equal(changed, d.record) {
		return
	}
	where := fmt.Sprintf("%s: %s at offset %d", d.what, how, from)
	if err := safely(func() error { d.envelope.Inspect(changed); return nil }); err != nil { //nolint:errcheck // no panic is all that is asked
		d.broken("%s: Inspect: %v", where, err)
	}
	var opened kmsmigrate.Opened
	err := safely(func() (err error) { opened, err = d.envelope.Open(ctx, changed, d.context); return err })
	defer clear(opened.Plaintext)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "panic"):
		d.broken("%s: %v", where, err)
	case err != nil && strings.Contains(err.Error(), secret):
		d.broken("%s: the error shows the plaintext", where)
	case err != nil:
	case string(opened.Plaintext) != secret && !d.mayGiveAnother(from, to):
		d.notice(where + " gave another plaintext")
	case string(opened.Plaintext) == secret && !d.mayBeTheSame(from, to, changed):
		d.notice(where + " was not noticed")
	}
}

// touches reports whether n bytes at an offset have some that nothing authenticates.
func (d *damage) touches(at, n int) bool { return at < d.to && at+n > d.from }

func (d *damage) notice(text string) {
	if d.unnoticed++; len(d.said) < 3 {
		d.said = append(d.said, text)
		d.broken("%s", text)
	}
}

func (d *damage) mayGiveAnother(from, to int) bool {
	return d.cfg.Unauthenticated && (d.cfg.Unbound == nil || from >= d.from && to <= d.to)
}

func (d *damage) mayBeTheSame(from, to int, changed []byte) bool {
	switch {
	case d.mayGiveAnother(from, to), d.cfg.Unbound != nil && from >= d.from && to <= d.to:
		return true
	default:
		return d.cfg.Equivalent != nil && d.cfg.Equivalent(d.record, changed)
	}
}
