package envelope_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func allLayouts() []envelope.Layout {
	return []envelope.Layout{
		envelope.ThreeLine{}, envelope.JSON{}, envelope.Columns{}, envelope.Blob{}, envelope.Blob{Raw: true},
		envelope.Blob{Advance: true}, envelope.Blob{Advance: true, Raw: true}, envelope.FourField{}, envelope.Asymmetric{},
		envelope.Tink{}, envelope.BlobInfo{}, envelope.EncryptionSDK{}, envelope.EncryptionSDK{Stream: true}, envelope.OSS{},
	}
}

// Every layout's records are told from every other's, and read and renewed by one Envelope that has them all.
func TestDetectTellsAllLayoutsApart(t *testing.T) {
	t.Parallel()
	ref := func(region string) keytest.Config {
		return keytest.Config{Ref: kmsmigrate.KeyRef{Region: region, Account: "1001"}}
	}
	w := newWorldOf(t, kmsmigrate.ReadBoth, keytest.New(ref("cn-hangzhou")), keytest.New(ref("cn-beijing")))
	reader := w.envelope(t, envelope.Config{Layouts: allLayouts()})
	records := map[string][]byte{"keyhaul": seal(t, reader, "told apart", nil)}
	for _, l := range allLayouts() {
		records[l.Name()] = seal(t, w.envelope(t, envelope.Config{Layout: l}), "told apart", nil)
	}
	require.NoError(t, w.phase.Jump(kmsmigrate.Rewrite))
	for name, record := range records {
		info, err := reader.Inspect(record)
		require.NoError(t, err, name)
		require.Equal(t, name, info.Layout)
		require.True(t, requireOpens(t, reader, record, nil, "told apart").Stale, name)
		renewed, err := reader.Renew(t.Context(), record, nil)
		require.NoError(t, err, name)
		require.False(t, requireOpens(t, reader, renewed.Ciphertext, nil, "told apart").Stale, name)
	}
}

// Every record against every pair of layouts: the one that it has is found, none is found where it is neither's, and where both
// fit both are named. Layouts that differ only in what they write, or in how they take the same record, are such pairs.
func TestDetectRefusesToGuessForEveryPair(t *testing.T) {
	t.Parallel()
	records := layoutRecords(t)
	layouts := append(allLayouts(), named{}, envelope.Tink{Text: true}, envelope.Blob{Undecode: true}, envelope.JSON{Tag: "tag"},
		envelope.Columns{DataKeyRaw: true, NonceRaw: true, PayloadRaw: true}, envelope.Asymmetric{Raw: true})
	both, one, none := 0, 0, 0
	for of, record := range records {
		for i, a := range layouts {
			for _, b := range layouts[i+1:] {
				_, aerr := a.Parse(record)
				_, berr := b.Parse(record)
				l, h, err := envelope.Detect(record, a, b)
				what := of + " as " + a.Name() + " or " + b.Name()
				switch {
				case aerr == nil && berr == nil:
					both++
					require.ErrorIs(t, err, envelope.ErrFormat, what)
					require.ErrorContains(t, err, a.Name()+" and "+b.Name(), what)
				case aerr != nil && berr != nil:
					none++
					require.ErrorIs(t, err, envelope.ErrFormat, what)
					for _, why := range []error{aerr, berr} { // of each
						require.ErrorContains(t, err, why.Error(), what)
					}
					require.Empty(t, h.Values)
				default:
					one++
					require.NoError(t, err, what)
					require.NotEmpty(t, h.Values)
					_, err = l.Parse(record)
					require.NoError(t, err, what)
				}
				if l == nil {
					continue
				}
				// The order in which they are given says nothing.
				again, _, err := envelope.Detect(record, b, a)
				require.NoError(t, err)
				require.Equal(t, l, again)
			}
		}
	}
	require.Positive(t, both)
	require.Positive(t, one)
	require.Positive(t, none)
	for _, l := range allLayouts() { // of those with different names, each record is of one alone
		found, _, err := envelope.Detect(records[l.Name()], allLayouts()...)
		require.NoError(t, err)
		require.Equal(t, l.Name(), found.Name())
	}
	for _, v := range esdkVectors(t) { // and so is what the originals wrote
		if found, _, err := envelope.Detect(v.record(t), allLayouts()...); v.tagged() {
			require.NoError(t, err, v)
			require.Equal(t, v.layout(), found)
		}
	}
}

func TestDetectDoesNotGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.OldOnly)
	record := seal(t, w.envelope(t, envelope.Config{Layout: envelope.JSON{}}), "x", nil)
	renamed := named{envelope.JSON{}}
	_, _, err := envelope.Detect(record, envelope.JSON{}, envelope.ThreeLine{}, renamed)
	require.ErrorIs(t, err, envelope.ErrFormat)
	require.ErrorContains(t, err, "json and renamed")

	_, _, err = envelope.Detect([]byte("nothing of anybody's"), allLayouts()...)
	require.ErrorIs(t, err, envelope.ErrFormat)
	for _, l := range allLayouts() {
		require.ErrorContains(t, err, l.Name())
	}
	_, _, err = envelope.Detect(nil)
	require.ErrorIs(t, err, envelope.ErrFormat)
}

type named struct{ envelope.JSON }

func (named) Name() string { return "renamed" }

func newMemoryKey(ref kmsmigrate.KeyRef) *keytest.Key { return keytest.New(keytest.Config{Ref: ref}) }
