// Package envelopetest has a test for code that implements envelope.Layout.
//
// [TestLayout] writes, reads, renews and damages records of a layout, and returns one error that names each rule broken:
//
//	if err := envelopetest.TestLayout(ctx, MyLayout{}, envelopetest.Config{}); err != nil {
//		t.Fatal(err)
//	}
package envelopetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// Config says what kind of layout [TestLayout] has before it. The zero value is one that authenticates every byte of its records
// and takes no encryption context that it does not bind.
type Config struct {
	// Contexts are encryption contexts to try, besides none. Where there are any, others are made up, too.
	Contexts []kmsmigrate.EncryptionContext
	// Unauthenticated says that the payload has no tag, as with CTR, so that changes within Unbound, or anywhere where it is
	// nil, cannot be noticed and give another plaintext. Changes must still not make anything panic.
	Unauthenticated bool
	// Unbound returns the range of a record's bytes that nothing authenticates by the format's design: the id of the
	// wrapping key in clear, say. Changes there need not be noticed; the plaintext must be the same all the same. Nil
	// means that there is none.
	Unbound func(record []byte) (from, to int)
	// Equivalent reports whether a changed record says the same as the record, in other bytes: JSON with another space, a set in
	// another order. Such a change need not be noticed, and must not change the plaintext. Nil means that none is.
	Equivalent func(record, changed []byte) bool
	// Old and New are the keys of the migration. Nil means keys in memory.
	Old, New kmsmigrate.Key
}

// secret is planted in plaintexts and looked for in errors.
const secret = "ENVELOPETEST-PLANTED-SECRET"

// TestLayout checks l against the rules that envelope.Layout documents, through an Envelope over keys in memory: what is sealed
// opens, before and after it was renewed and re-wrapped, whatever the sizes of plaintext and context; Inspect knows it; and
// each byte that is changed, dropped, doubled or swapped, and each part that is, gives an error and never another plaintext. It
// seals some hundred records and makes some thousand changes to them, the same ones at every run. The error joins all rules
// that were broken; nil means none.
func TestLayout(ctx context.Context, l envelope.Layout, cfg Config) error {
	t := &suite{layout: l, cfg: cfg, old: cfg.Old, new: cfg.New, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // not for secrets
	if t.old == nil {
		t.old = keytest.New(keytest.Config{KMS1: true, Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}})
	}
	if t.new == nil {
		t.new = keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001"}})
	}
	if first, second := l.Name(), l.Name(); first == "" || first != second {
		t.broken("Name must return one name that is not empty")
	}
	t.foreign()
	contexts := append([]kmsmigrate.EncryptionContext{nil}, cfg.Contexts...)
	for _, ec := range contexts {
		for _, plaintext := range []string{"", "x", secret, strings.Repeat(secret+" ", 100)} {
			t.record(ctx, plaintext, ec)
		}
	}
	for _, size := range []int{2, 15, 16, 17, 31, 32, 255, 256, 4096, 100_000} {
		ec := contexts[size%len(contexts)]
		if len(cfg.Contexts) > 0 && size < 4096 {
			ec = kmsmigrate.EncryptionContext{"": "no name", "no value": "", "名": "值", strings.Repeat("n", size): strings.Repeat("v", size)}
		}
		if !t.direct || size <= 4096 { // the KMS encrypts up to 6 KB itself
			t.record(ctx, strings.Repeat("p", size), ec)
		}
	}
	return errors.Join(t.violations...)
}

type suite struct {
	layout     envelope.Layout
	cfg        Config
	old, new   kmsmigrate.Key
	random     *rand.Rand
	direct     bool // there is no data key
	violations []error
}

func (t *suite) broken(format string, args ...any) {
	t.violations = append(t.violations, fmt.Errorf("%s: %s", t.layout.Name(), fmt.Sprintf(format, args...)))
}

// envelope returns one with cold caches.
func (t *suite) envelope(p kmsmigrate.Phase) (*envelope.Envelope, error) {
	old := t.old
	if p == kmsmigrate.NewOnly {
		old = nil
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: p, Old: old, New: t.new})
	if err != nil {
		return nil, err
	}
	return envelope.New(envelope.Config{Keys: client, Layout: t.layout, MaxAge: -1})
}

// safely turns a panic into an error.
func safely(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return do()
}

// foreign gives Parse what is of no such layout.
func (t *suite) foreign() {
	for what, record := range map[string][]byte{
		"no bytes": nil, "one byte": {0}, "zeros": make([]byte, 200), "text": []byte("just some text\nof three\nlines"),
		"an empty JSON object": []byte("{}"), "DER of nothing": {0x30, 0}, "a record of Keyhaul": []byte("\x8aKHE\x01\x01" + strings.Repeat("x", 300)),
		"a length of 4 GiB": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		err := safely(func() error { _, err := t.layout.Parse(record); return err })
		if !errors.Is(err, envelope.ErrFormat) {
			t.broken("Parse must refuse %s with ErrFormat, and said: %v", what, err)
		}
	}
}

// record takes one record from seal to NewOnly.
func (t *suite) record(ctx context.Context, plaintext string, ec kmsmigrate.EncryptionContext) {
	what := fmt.Sprintf("a record of %d bytes under %d entries of context", len(plaintext), len(ec))
	writer, err := t.envelope(kmsmigrate.ReadBoth)
	if err != nil {
		t.broken("%v", err)
		return
	}
	defer writer.Close()
	given := []byte(plaintext)
	record, err := writer.Seal(ctx, given, ec)
	switch {
	case errors.Is(err, envelope.ErrReadOnly):
		return
	case plaintext == "" && errors.Is(err, kmsmigrate.ErrInvalid):
		return // the KMS cannot encrypt nothing, where there is no data key
	case err != nil:
		t.broken("%s: Seal: %v", what, err)
		return
	}
	if string(given) != plaintext {
		t.broken("%s: Seal must leave the plaintext it is given alone", what)
	}
	if plaintext == secret && bytes.Contains(record, []byte(secret)) {
		t.broken("%s: the record shows its plaintext", what)
	}
	t.opens(ctx, kmsmigrate.ReadBoth, what, record, ec, plaintext)
	t.parses(what, record)
	renewed := t.renews(ctx, what, record, ec)
	if renewed == nil {
		return
	}
	t.opens(ctx, kmsmigrate.NewOnly, what+", renewed", renewed, ec, plaintext)
	t.rewraps(ctx, what, record, ec, plaintext)
	if plaintext == secret {
		t.damaged(ctx, what, record, ec)
	}
}

func (t *suite) opens(ctx context.Context, p kmsmigrate.Phase, what string, record []byte, ec kmsmigrate.EncryptionContext, want string) {
	e, err := t.envelope(p)
	if err != nil {
		t.broken("%v", err)
		return
	}
	defer e.Close()
	given := bytes.Clone(record)
	opened, err := e.Open(ctx, given, ec)
	if err != nil {
		t.broken("%s: Open: %v", what, err)
		return
	}
	if !bytes.Equal(given, record) {
		t.broken("%s: Open must not change the record", what)
	}
	clear(given)
	if string(opened.Plaintext) != want {
		t.broken("%s: Open must give back what was sealed, in memory of its own", what)
	}
}

// parses checks that the header stays the same when it is parsed and re-wrapped with the copies that are there.
func (t *suite) parses(what string, record []byte) {
	given := bytes.Clone(record)
	first, err := t.layout.Parse(given)
	if err != nil {
		t.broken("%s: Parse: %v", what, err)
		return
	}
	t.direct = first.Direct
	if first.NeedsPlain {
		return // Rewrap needs what only renewal has
	}
	var r envelope.Rewrap
	for _, v := range first.Values {
		var copies []envelope.Wrapped
		for _, c := range v.Copies {
			copies = append(copies, envelope.Wrapped{Ciphertext: c})
		}
		r.Values = append(r.Values, copies)
	}
	out, err := t.layout.Rewrap(given, r)
	switch {
	case err != nil:
		t.broken("%s: Rewrap with the copies that are there: %v", what, err)
	case !bytes.Equal(out, record):
		t.broken("%s: Rewrap with the copies that are there must return an equal record", what)
	case !bytes.Equal(given, record):
		t.broken("%s: Parse and Rewrap must not change the record", what)
	default:
		clear(out)
		if !bytes.Equal(given, record) {
			t.broken("%s: what Rewrap returns must be in memory of its own", what)
		}
	}
}

func (t *suite) renews(ctx context.Context, what string, record []byte, ec kmsmigrate.EncryptionContext) []byte {
	e, err := t.envelope(kmsmigrate.Rewrite)
	if err != nil {
		t.broken("%v", err)
		return nil
	}
	defer e.Close()
	given := bytes.Clone(record)
	renewed, err := e.Renew(ctx, given, ec)
	switch {
	case err != nil:
		t.broken("%s: Renew: %v", what, err)
		return nil
	case renewed.Ciphertext == nil:
		t.broken("%s: Renew found nothing to do for a record of the old key", what)
		return nil
	case !bytes.Equal(given, record):
		t.broken("%s: Renew must not change the record", what)
	}
	again, err := e.Renew(ctx, renewed.Ciphertext, ec)
	if err != nil || again.Ciphertext != nil {
		t.broken("%s: Renew must find nothing to do for what it renewed, and said: %v", what, err)
	}
	info, err := e.Inspect(renewed.Ciphertext)
	if err != nil || info.Layout != t.layout.Name() {
		t.broken("%s: Inspect must know the renewed record by the layout's name, and said: %v", what, err)
	}
	return renewed.Ciphertext
}

// rewraps re-wraps as after a rotation, which unlike renewal may reuse the record.
func (t *suite) rewraps(ctx context.Context, what string, record []byte, ec kmsmigrate.EncryptionContext, plaintext string) {
	e, err := t.envelope(kmsmigrate.Rewrite)
	if err != nil {
		t.broken("%v", err)
		return
	}
	defer e.Close()
	out, err := e.Rewrap(ctx, bytes.Clone(record), ec)
	if err != nil {
		t.broken("%s: Rewrap: %v", what, err)
		return
	}
	t.opens(ctx, kmsmigrate.NewOnly, what+", re-wrapped", out, ec, plaintext)
}
