package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestWhatSealWritesOpenReads(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own":            {},
		"own, SM4":       {Suite: envelope.SM4GCM},
		"own, fresh":     {FreshKeys: true},
		"own, no cache":  {MaxAge: -1},
		"three-line":     {Layout: envelope.ThreeLine{}},
		"three-line raw": {Layout: envelope.ThreeLine{Raw: true}},
	} {
		for _, plaintext := range []string{"", "x", "a customer's name", strings.Repeat("long ", 5000)} {
			for _, ec := range []kmsmigrate.EncryptionContext{nil, {}, customers} {
				t.Run(fmt.Sprintf("%s/%d bytes/%d", name, len(plaintext), len(ec)), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, kmsmigrate.OldOnly)
					record := seal(t, w.envelope(t, cfg), plaintext, ec)
					opened := requireOpens(t, w.envelope(t, cfg), record, ec, plaintext)
					require.Equal(t, kmsmigrate.SideOld, opened.Side)
					require.NotNil(t, opened.Plaintext)
					require.False(t, opened.Stale)
					require.Equal(t, w.old.Ref(), opened.Key)
				})
			}
		}
	}
}

func TestOpenNeedsTheContextOfSeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	// The KMS joins both contexts to a=1&b=2, so it unwraps the data key under either. The payload tells them apart.
	record := seal(t, w.envelope(t, envelope.Config{}), "bound", kmsmigrate.EncryptionContext{"a": "1", "b": "2"})
	_, err := w.envelope(t, envelope.Config{}).Open(t.Context(), record, kmsmigrate.EncryptionContext{"a": "1&b=2"})
	require.ErrorIs(t, err, envelope.ErrTampered)
	for _, other := range []kmsmigrate.EncryptionContext{nil, {"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "b": "2", "c": ""}} {
		_, err := w.envelope(t, envelope.Config{}).Open(t.Context(), record, other)
		require.Error(t, err)
	}
}

// Every phase of a writer against every phase of a reader at most one phase away.
func TestNeighbouringPhasesReadEachOther(t *testing.T) {
	t.Parallel()
	for writer := kmsmigrate.OldOnly; writer <= kmsmigrate.NewOnly; writer++ {
		for reader := kmsmigrate.OldOnly; reader <= kmsmigrate.NewOnly; reader++ {
			for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
				old, new := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
				record := seal(t, newWorldOf(t, writer, old, new).envelope(t, cfg), "grid", customers)
				opened, err := newWorldOf(t, reader, old, new).envelope(t, cfg).Open(t.Context(), record, customers)
				if !reader.Reads(writer.Writes()) {
					require.Error(t, err, "%s reads %s", reader, writer)
					continue
				}
				require.NoError(t, err, "%s reads %s", reader, writer)
				require.Equal(t, "grid", string(opened.Plaintext))
				require.Equal(t, writer.Writes(), opened.Side)
				require.Equal(t, reader == kmsmigrate.Rewrite && writer.Writes() == kmsmigrate.SideOld, opened.Stale)
			}
		}
	}
}

func TestCallerOwnsBuffers(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		plaintext, ec := []byte("keep me"), kmsmigrate.EncryptionContext{"k": "v"}
		record, err := e.Seal(t.Context(), plaintext, ec)
		require.NoError(t, err)
		clear(plaintext)
		ec["k"] = "changed"
		kept := bytes.Clone(record)
		clear(record)
		second := seal(t, e, "another", kmsmigrate.EncryptionContext{"k": "v"})
		require.NotEqual(t, kept, second)

		require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
		given := bytes.Clone(kept)
		opened := requireOpens(t, e, given, kmsmigrate.EncryptionContext{"k": "v"}, "keep me")
		clear(opened.Plaintext)
		clear(given)
		requireOpens(t, e, kept, kmsmigrate.EncryptionContext{"k": "v"}, "keep me")

		given = bytes.Clone(kept)
		renewed, err := e.Renew(t.Context(), given, kmsmigrate.EncryptionContext{"k": "v"})
		require.NoError(t, err)
		clear(given)
		copyOfRenewed := bytes.Clone(renewed.Ciphertext)
		clear(renewed.Ciphertext)
		requireOpens(t, e, copyOfRenewed, kmsmigrate.EncryptionContext{"k": "v"}, "keep me")
		again, err := e.Renew(t.Context(), kept, kmsmigrate.EncryptionContext{"k": "v"})
		require.NoError(t, err)
		require.Equal(t, copyOfRenewed, again.Ciphertext)
	}
}

func TestInspectReadsHeadersOnly(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		a, b := seal(t, e, "a", nil), seal(t, e, "b", nil)
		other := seal(t, w.envelope(t, cfg), "c", nil)
		before := w.calls()
		ia, err := e.Inspect(a)
		require.NoError(t, err)
		ib, err := e.Inspect(b)
		require.NoError(t, err)
		ic, err := e.Inspect(other)
		require.NoError(t, err)
		require.Equal(t, before, w.calls())
		require.Equal(t, ia, ib)
		require.Len(t, ia.Copies, 1)
		require.Equal(t, kmsmigrate.SideOld, ia.Copies[0].Side)
		require.Equal(t, kmsmigrate.Mine, ia.Copies[0].Owned)
		require.Equal(t, w.old.Ref(), ia.Copies[0].Key)
		require.NotEqual(t, ia.Copies[0].Group, ic.Copies[0].Group)
		require.NotZero(t, ia.Copies[0].Group)
	}
}

// secrets are planted everywhere and must come out nowhere.
func TestErrorsAndLogsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const secret, value = "PLANTED-PLAINTEXT", "PLANTED-VALUE"
	for _, cfg := range []envelope.Config{{}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		ec := kmsmigrate.EncryptionContext{"tenant": value}
		record := seal(t, w.envelope(t, cfg), secret, ec)
		var texts []string
		for i := range record {
			broken := bytes.Clone(record)
			broken[i] ^= 1
			if _, err := w.envelope(t, cfg).Open(t.Context(), broken, ec); err != nil {
				texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err))
			}
			if _, err := w.envelope(t, cfg).Open(t.Context(), record[:i], ec); err != nil {
				texts = append(texts, err.Error())
			}
		}
		require.Greater(t, len(texts), len(record))
		for _, text := range texts {
			for _, planted := range []string{secret, value, string(record[:20]), string(record[len(record)-20:])} {
				require.NotContains(t, text, planted)
			}
		}
	}
}

func TestAnySingleChangeIsAnError(t *testing.T) {
	t.Parallel()
	for _, cfg := range []envelope.Config{{}, {Suite: envelope.SM4GCM}, {Layout: envelope.ThreeLine{}}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		e := w.envelope(t, cfg)
		record := seal(t, e, "whole", customers)
		for i := range record {
			for _, change := range [][]byte{
				append(append(bytes.Clone(record[:i]), record[i]^0x20), record[i+1:]...),
				append(append(bytes.Clone(record[:i]), record[i]^1), record[i+1:]...),
				append(bytes.Clone(record[:i]), record[i+1:]...),
				append(append(bytes.Clone(record[:i]), record[i]), record[i:]...),
			} {
				_, err := e.Open(t.Context(), change, customers)
				require.Error(t, err, "offset %d", i)
			}
		}
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	client := newWorld(t, kmsmigrate.OldOnly).client
	for name, cfg := range map[string]envelope.Config{
		"no keys":           {},
		"suite":             {Keys: client, Suite: 3},
		"too many messages": {Keys: client, MaxMessages: 1<<32 + 1},
		"messages":          {Keys: client, MaxMessages: -1},
		"bytes":             {Keys: client, MaxBytes: -1},
		"entries":           {Keys: client, MaxEntries: -1},
		"timeout":           {Keys: client, Timeout: -1},
		"nil layout":        {Keys: client, Layouts: []envelope.Layout{nil}},
		"layout twice":      {Keys: client, Layouts: []envelope.Layout{envelope.ThreeLine{}, envelope.ThreeLine{Raw: true}}},
	} {
		_, err := envelope.New(cfg)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
}

func TestBadRecordsAreFormatErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	own := seal(t, w.envelope(t, envelope.Config{}), "x", nil)
	change := func(at int, to byte) []byte {
		b := bytes.Clone(own)
		b[at] = to
		return b
	}
	for name, c := range map[string]struct {
		record []byte
		says   string
	}{
		"empty":              {nil, "offset 0"},
		"short":              {own[:3], "offset 0"},
		"magic alone":        {own[:4], "offset 4"},
		"wrong magic":        {change(0, 'K'), "offset 0"},
		"version":            {change(4, 2), "offset 4: want version 1"},
		"suite":              {change(5, 9), "offset 5: want suite 1 or 2"},
		"too many copies":    {change(38, 17), "offset 38"},
		"a copy too long":    {change(39, 0xff), "offset 39"},
		"no payload":         {own[:len(own)-20], "28 bytes or more"},
		"a three-line text":  {[]byte("AAAA\nAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAAAA"), "offset 0"},
		"the header, cut":    {own[:38], "the record ends"},
		"a copy that is cut": {own[:60], "the record ends"},
	} {
		e := w.envelope(t, envelope.Config{})
		_, err := e.Open(t.Context(), c.record, nil)
		require.ErrorIs(t, err, envelope.ErrFormat, name)
		require.ErrorContains(t, err, c.says, name)
		_, err = e.Inspect(c.record)
		require.ErrorIs(t, err, envelope.ErrFormat, name)
		_, err = e.Renew(t.Context(), c.record, nil)
		require.ErrorIs(t, err, envelope.ErrFormat, name)
	}
}

func TestACommitmentOfAnotherDataKeyIsTampering(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	a := seal(t, w.envelope(t, envelope.Config{}), "same length", nil)
	b := seal(t, w.envelope(t, envelope.Config{}), "same length", nil)
	copy(a[6:38], b[6:38])
	_, err := w.envelope(t, envelope.Config{}).Open(t.Context(), a, nil)
	require.ErrorIs(t, err, envelope.ErrTampered)
	require.ErrorContains(t, err, "offset 6")
}

func TestADoneContextFailsBeforeAnyCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	e := w.envelope(t, envelope.Config{})
	record := seal(t, e, "x", nil)
	before := w.calls()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Seal(ctx, nil, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Open(ctx, record, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Renew(ctx, record, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, w.calls())
}

func TestAnOutageIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	record := seal(t, e, "x", nil)
	w.old.Disable()
	_, err := e.Open(t.Context(), record, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
	w.old.Enable()
	requireOpens(t, e, record, nil, "x")
}

var errPlain = errors.New("a plain error")

func TestAKeysErrorComesThrough(t *testing.T) {
	t.Parallel()
	client := clientOf(t, kmsmigrate.OldOnly, keytest.Fail(keytest.New(keytest.Config{}), errPlain), nil)
	e := newEnvelope(t, envelope.Config{Keys: client})
	_, err := e.Seal(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, errPlain)
}
