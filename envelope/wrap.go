package envelope

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// freshKey is a data key, the base64 text that the KMS wraps, and its wrapped copies.
type freshKey struct {
	raw, text []byte
	copies    [][]byte
}

// wipe overwrites the data key.
func (k freshKey) wipe() { clear(k.raw); clear(k.text) }

// newDataKey makes a data key of n bytes, here or with Config.Generate in the KMS, and has it wrapped for a format that has
// room for several copies or not.
func (e *Envelope) newDataKey(ctx context.Context, p kmsmigrate.Phase, n int, ec kmsmigrate.EncryptionContext, several bool) (k freshKey, err error) {
	if e.generate {
		return e.generateDataKey(ctx, p, n, ec, several)
	}
	k.raw = make([]byte, n)
	rand.Read(k.raw)
	k.text = encodeDataKey(k.raw)
	k.copies, err = e.wrap(ctx, p, k.text, ec, several)
	if err != nil {
		k.wipe()
	}
	return k, err
}

// generateDataKey takes nothing for a data key but the base64 text of n bytes, which is what the service documents.
func (e *Envelope) generateDataKey(ctx context.Context, p kmsmigrate.Phase, n int, ec kmsmigrate.EncryptionContext, several bool) (k freshKey, err error) {
	client, err := e.keys.At(p)
	if err != nil {
		return k, err
	}
	text, first, err := client.GenerateDataKey(ctx, n, ec)
	if err != nil {
		return k, err
	}
	k.text = text
	raw, ok := decodeBase64(text)
	k.raw = raw
	if !ok || len(raw) != n || constant(raw) {
		k.wipe()
		return freshKey{}, fmt.Errorf("envelope: the data key that the service made is not the base64 text of %d random bytes: %w", n, kmsmigrate.ErrBadAnswer)
	}
	second := e.askSecond(ctx, p, text, ec, several)
	if e.prove {
		if err := e.proves(ctx, p, first, text, ec); err != nil {
			second(false)
			k.wipe()
			return freshKey{}, err
		}
	}
	k.copies = append([][]byte{first}, second(true)...)
	return k, nil
}

// constant tells bytes that are all the same, which is what a stub or a buffer that nobody filled answers.
func constant(b []byte) bool { return bytes.Count(b, b[:1]) == len(b) }

// wrap has the KMS encrypt one value with the key that phase p writes with and, for a format with room and with
// Config.WrapBoth, with that of the other side.
func (e *Envelope) wrap(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext, several bool) ([][]byte, error) {
	second := e.askSecond(ctx, p, value, ec, several)
	first, err := e.wrapIn(ctx, p, value, ec)
	if err == nil && e.prove {
		err = e.proves(ctx, p, first, value, ec)
	}
	if err != nil {
		second(false)
		return nil, err
	}
	return append([][]byte{first}, second(true)...), nil
}

// wrapIn has the key that phase p writes with encrypt a value.
func (e *Envelope) wrapIn(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	client, err := e.keys.At(p)
	if err != nil {
		return nil, err
	}
	return client.Encrypt(ctx, value, ec)
}

// proves has the side that wrapped a value unwrap it.
func (e *Envelope) proves(ctx context.Context, p kmsmigrate.Phase, wrapped, value []byte, kc kmsmigrate.EncryptionContext) error {
	client, err := e.keys.At(p)
	if err != nil {
		return err
	}
	opened, err := client.Open(ctx, wrapped, kc)
	if err != nil {
		return err
	}
	defer clear(opened.Plaintext)
	if opened.Side != p.Writes() || !bytes.Equal(opened.Plaintext, value) {
		return fmt.Errorf("envelope: the key does not give back what it was given: %w", kmsmigrate.ErrBadAnswer)
	}
	return nil
}

// wrappedBy adds what is known of the keys to wrapped copies.
func (e *Envelope) wrappedBy(copies ...[]byte) []Wrapped {
	known := make([]Wrapped, len(copies))
	for i, c := range copies {
		known[i].Ciphertext = c
		if info, err := e.keys.Inspect(c); err == nil {
			known[i].Key = info.Copies[0].Key
		}
	}
	return known
}

const (
	// secondTimeout is how long WrapBoth waits for the side that the phase does not write with, from when both are asked.
	secondTimeout = 500 * time.Millisecond
	// secondPause is how long that side is not asked after it did not answer, in time or rightly: without it, each fresh data
	// key would cost half a second for as long as that side hangs.
	secondPause = 5 * time.Second
)

// seconds remembers which side did not answer when it was asked for second copies. A sweep's calls may wait for their turn, so
// what becomes of them says nothing to others.
type seconds struct {
	start  time.Time
	paused [2][2]atomic.Int64 // by side and background: until when, in nanoseconds since start; 0: not at all
}

func (s *seconds) of(side kmsmigrate.Side, background bool) *atomic.Int64 {
	i, j := 0, 0
	if side == kmsmigrate.SideNew {
		i = 1
	}
	if background {
		j = 1
	}
	return &s.paused[i][j]
}

// mayAsk reports whether a side may be asked. After a pause one call finds out for all.
func (s *seconds) mayAsk(paused *atomic.Int64) bool {
	until := paused.Load()
	return until == 0 || int64(time.Since(s.start)) >= until && paused.CompareAndSwap(until, s.next())
}

func (s *seconds) next() int64 { return int64(time.Since(s.start) + secondPause) }

// askSecond asks the side that the phase does not write with for a copy of value, and returns what waits for it, or gives it up.
// The copy is there for availability, and must not cost any: where it does not come, there is none.
func (e *Envelope) askSecond(ctx context.Context, p kmsmigrate.Phase, value []byte, ec kmsmigrate.EncryptionContext, several bool) (second func(wanted bool) [][]byte) {
	none := func(bool) [][]byte { return nil }
	other, ok := e.otherSide(p)
	if !several || !ok {
		return none
	}
	paused := e.seconds.of(other.Writes(), kmsmigrate.IsBackground(ctx))
	if !e.seconds.mayAsk(paused) {
		e.counts.single.Add(1)
		e.counts.notAsked.Add(1)
		return none
	}
	bounded, cancel := context.WithTimeout(ctx, secondTimeout)
	answer := make(chan []byte, 1)
	// A Key that does not heed its context may go on after this has returned, with things of its own.
	value, ec = bytes.Clone(value), ec.Clone()
	go func() {
		defer cancel()
		defer clear(value)
		copied, err := e.wrapIn(bounded, other, value, ec)
		// A record with a copy of the new side counts as new, so that nobody would look at this copy before it is the only one.
		if err == nil && e.proves(bounded, other, copied, value, ec) == nil {
			answer <- copied
		}
	}()
	return func(wanted bool) [][]byte {
		defer cancel()
		if !wanted {
			return nil
		}
		<-bounded.Done()
		select {
		case copied := <-answer:
			paused.Store(0)
			return [][]byte{copied}
		default:
		}
		e.counts.single.Add(1)
		if ctx.Err() == nil {
			paused.Store(e.seconds.next())
		}
		return nil
	}
}

// otherSide returns a phase that writes with the side that p does not write with, where WrapBoth asks for it.
func (e *Envelope) otherSide(p kmsmigrate.Phase) (kmsmigrate.Phase, bool) {
	if !e.wrapBoth || p == kmsmigrate.OldOnly || p == kmsmigrate.NewOnly {
		return 0, false
	}
	if p.Writes() == kmsmigrate.SideOld {
		return kmsmigrate.WriteNew, true
	}
	return kmsmigrate.ReadBoth, true
}
