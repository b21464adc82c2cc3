package envelopetest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// tableOf is a KeyTable in memory.
type tableOf struct{ entries sync.Map }

func (t *tableOf) Get(_ context.Context, id envelope.KeyID) ([]byte, error) {
	entry, ok := t.entries.Load(id)
	if !ok {
		return nil, envelope.ErrNoDataKey
	}
	return bytes.Clone(entry.([]byte)), nil
}

func (t *tableOf) Add(_ context.Context, id envelope.KeyID, entry []byte) error {
	t.entries.LoadOrStore(id, bytes.Clone(entry))
	return nil
}

// migration is a world of two keys, with an Envelope for each phase.
type migration struct {
	envelopes map[kmsmigrate.Phase]*envelope.Envelope
}

func newMigration(tb testing.TB, cfg envelope.Config) migration {
	tb.Helper()
	old := keytest.New(keytest.Config{KMS1: true, Ref: kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}})
	next := keytest.New(keytest.Config{Ref: kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001"}})
	m := migration{envelopes: map[kmsmigrate.Phase]*envelope.Envelope{}}
	for _, p := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.Rewrite, kmsmigrate.NewOnly} {
		client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: p, Old: old, New: next})
		require.NoError(tb, err)
		c := cfg
		c.Keys = client
		e, err := envelope.New(c)
		require.NoError(tb, err)
		tb.Cleanup(e.Close)
		m.envelopes[p] = e
	}
	return m
}

func drawContext(t *rapid.T, takesOne bool) kmsmigrate.EncryptionContext {
	if !takesOne {
		return nil
	}
	text := rapid.OneOf(rapid.StringN(0, 5, -1), rapid.SampledFrom([]string{"", "=", "&", "a=1&b", "\U0001F600", "\uff5e", "\x00"}))
	return rapid.MapOfN(text, text, 0, 5).Draw(t, "context")
}

// drawPlaintext favours sizes around the borders of blocks. A value that the KMS encrypts itself is shorter than 6 KB and not empty.
func drawPlaintext(t *rapid.T, direct bool) []byte {
	size := rapid.OneOf(rapid.IntRange(0, 40), rapid.SampledFrom([]int{64, 127, 128, 255, 256, 4096, 6000, 70_000})).Draw(t, "size")
	if direct {
		size = 1 + size%6000
	}
	plaintext := make([]byte, size)
	seed := rapid.Byte().Draw(t, "first byte")
	for i := range plaintext {
		plaintext[i] = 'a' + (seed+byte(i))%26 // the gateway takes text alone
	}
	return plaintext
}

// drawChange changes, drops, doubles, moves or cuts a part of a record.
func drawChange(t *rapid.T, record []byte) (how string, changed []byte) {
	at := rapid.OneOf(rapid.IntRange(0, min(400, len(record)-1)), rapid.IntRange(0, len(record)-1))
	i := at.Draw(t, "at")
	n := rapid.OneOf(rapid.Just(1), rapid.IntRange(1, len(record)-i)).Draw(t, "bytes")
	how = rapid.SampledFrom([]string{"changed", "dropped", "doubled", "swapped", "put elsewhere", "cut", "appended"}).Draw(t, "how")
	changed = bytes.Clone(record)
	switch how {
	case "changed":
		changed[i] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
	case "dropped":
		changed = slices.Delete(changed, i, i+n)
	case "doubled":
		changed = slices.Insert(changed, i, record[i:i+n]...)
	case "swapped":
		j := at.Draw(t, "with")
		n = min(n, len(record)-max(i, j), max(1, max(i, j)-min(i, j)))
		copy(changed[i:i+n], record[j:j+n])
		copy(changed[j:j+n], record[i:i+n])
	case "put elsewhere":
		changed = slices.Insert(changed, at.Draw(t, "to"), record[i:i+n]...)
	case "cut":
		changed = changed[:i]
	default:
		changed = append(changed, rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "more")...)
	}
	return how, changed
}

// Every layout, and the own format with one copy and with a table: what is sealed opens, on both sides of the migration and after
// renewal and re-wrapping; what was changed is an error, or a case that its layout states, and never another plaintext.
func TestRecordsOpenAndChangedOnesDoNot(t *testing.T) {
	t.Parallel()
	cases := layoutCases()
	cases = append(cases, layoutCase{why: "own"}, layoutCase{why: "table"})
	for _, c := range cases {
		cfg, name := envelope.Config{Layout: c.layout, MaxAge: -1}, c.why
		if c.layout != nil {
			name = fmt.Sprintf("%T %s", c.layout, c.layout.Name())
		} else if c.cfg.Contexts = table(); name == "table" {
			cfg.Table = new(tableOf)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, cfg)
			direct := false
			if c.layout != nil {
				values, err := c.layout.NewValues([]byte("the plaintext"))
				direct = err != nil || string(values[0]) == "the plaintext"
			}
			rapid.Check(t, func(t *rapid.T) { oneRecord(t, m, c, cfg, direct) })
		})
	}
}

func oneRecord(t *rapid.T, m migration, c layoutCase, cfg envelope.Config, direct bool) {
	ctx, ec := context.Background(), drawContext(t, len(c.cfg.Contexts) > 0)
	plaintext := drawPlaintext(t, direct)
	record, err := m.envelopes[kmsmigrate.ReadBoth].Seal(ctx, plaintext, ec)
	if blob, ok := c.layout.(envelope.Blob); ok && blob.Undecode {
		require.ErrorIs(t, err, envelope.ErrReadOnly)
		return
	}
	require.NoError(t, err)
	opens := func(p kmsmigrate.Phase, record []byte) {
		opened, err := m.envelopes[p].Open(ctx, record, ec)
		require.NoError(t, err)
		require.Equal(t, string(plaintext), string(opened.Plaintext))
	}
	opens(kmsmigrate.ReadBoth, record)
	info, err := m.envelopes[kmsmigrate.ReadBoth].Inspect(record)
	require.NoError(t, err)
	require.NotEmpty(t, info.Layout)
	if cfg.Table == nil {
		renewed, err := m.envelopes[kmsmigrate.Rewrite].Renew(ctx, record, ec)
		require.NoError(t, err)
		opens(kmsmigrate.NewOnly, renewed.Ciphertext)
		rewrapped, err := m.envelopes[kmsmigrate.Rewrite].Rewrap(ctx, bytes.Clone(record), ec)
		require.NoError(t, err)
		opens(kmsmigrate.NewOnly, rewrapped)
	}

	how, changed := drawChange(t, record)
	if bytes.Equal(changed, record) {
		return
	}
	_, _ = m.envelopes[kmsmigrate.ReadBoth].Inspect(changed) // it may fail, and must not panic
	opened, err := m.envelopes[kmsmigrate.ReadBoth].Open(ctx, changed, ec)
	if err != nil || c.cfg.Unauthenticated {
		return
	}
	require.Equal(t, string(plaintext), string(opened.Plaintext), "%s: another plaintext", how)
	require.NotNil(t, c.cfg.Equivalent, "%s, and not noticed", how)
	require.True(t, c.cfg.Equivalent(record, changed), "%s, and not noticed", how)
}

// Streams: whatever was changed, what is released is what was sealed, from its beginning, and the end is an error.
func TestChangedStreamsReleaseNothingButWhatWasSealed(t *testing.T) {
	t.Parallel()
	const sealedChunk = envelope.ChunkSize + 16
	m := newMigration(t, envelope.Config{})
	rapid.Check(t, func(t *rapid.T) {
		ctx, ec := context.Background(), drawContext(t, true)
		size := rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{envelope.ChunkSize - 1, envelope.ChunkSize, envelope.ChunkSize + 1, 3*envelope.ChunkSize + 7})).Draw(t, "size")
		plaintext := make([]byte, size)
		for i := range plaintext {
			plaintext[i] = byte(i ^ i>>8 ^ i>>16)
		}
		var stream bytes.Buffer
		w, err := m.envelopes[kmsmigrate.ReadBoth].NewWriter(ctx, &stream, ec)
		require.NoError(t, err)
		_, err = w.Write(plaintext)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		read := func(p kmsmigrate.Phase, stream []byte) ([]byte, error) {
			r, err := m.envelopes[p].NewReader(ctx, bytes.NewReader(stream), ec)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		whole, err := read(kmsmigrate.ReadBoth, stream.Bytes())
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, whole))
		renewed, err := m.envelopes[kmsmigrate.Rewrite].Renew(ctx, stream.Bytes(), ec)
		require.NoError(t, err)
		whole, err = read(kmsmigrate.NewOnly, renewed.Ciphertext)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, whole))

		_, changed := drawChange(t, stream.Bytes())
		header, err := envelope.ReadHeader(bytes.NewReader(stream.Bytes()))
		require.NoError(t, err)
		if chunks := (stream.Len() - len(header) + sealedChunk - 1) / sealedChunk; chunks > 1 && rapid.Bool().Draw(t, "whole chunks") {
			changed = bytes.Clone(header)
			for range rapid.IntRange(0, chunks+1).Draw(t, "chunks") {
				i := len(header) + sealedChunk*rapid.IntRange(0, chunks-1).Draw(t, "chunk")
				changed = append(changed, stream.Bytes()[i:min(i+sealedChunk, stream.Len())]...)
			}
		}
		if bytes.Equal(changed, stream.Bytes()) {
			return
		}
		part, err := read(kmsmigrate.ReadBoth, changed)
		require.Error(t, err)
		require.True(t, bytes.HasPrefix(plaintext, part))
	})
}
