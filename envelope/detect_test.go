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
