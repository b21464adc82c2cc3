package rekey_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
)

func TestCensusCountsByKeyWithoutAKMSCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 30)
	w.old.Rotate()
	first := w.old.Versions()
	for i := range 10 {
		value, err := w.old.Encrypt(t.Context(), secret(i), nil)
		require.NoError(t, err)
		w.store.Put(rekey.Record{ID: idOf(i), Value: value})
	}
	for i := 20; i < 25; i++ {
		value, err := w.new.Encrypt(t.Context(), secret(i), nil)
		require.NoError(t, err)
		w.store.Put(rekey.Record{ID: idOf(i), Value: value})
	}
	foreign, err := keytest.New(keytest.Config{}).Encrypt(t.Context(), secret(0), nil)
	require.NoError(t, err)
	w.store.Put(rekey.Record{ID: "foreign", Value: foreign})
	w.store.Put(rekey.Record{ID: "text", Value: []byte(kmsmigrate.EncodeBlob(foreign))})
	w.store.Put(rekey.Record{ID: "nothing"})
	calls := func() (n int64) {
		for _, key := range []*keytest.Key{w.old, w.new} {
			e, d := key.Calls()
			n += e + d
		}
		return n
	}
	before := calls()
	census := w.census(t)
	require.Equal(t, before, calls())
	require.True(t, census.Complete)
	require.EqualValues(t, 32, census.Records)
	require.EqualValues(t, 25, census.Held(kmsmigrate.SideOld))
	require.EqualValues(t, 5, census.Held(kmsmigrate.SideNew))
	require.EqualValues(t, 1, census.Unreadable)
	require.EqualValues(t, 2, census.Unowned())
	versions := map[string]int64{}
	for _, c := range census.Counts {
		versions[c.Key.VersionID] += c.Records
	}
	require.Len(t, versions, 4)
	require.Len(t, first, 2)
	require.ElementsMatch(t, []int64{10, 15}, []int64{versions[first[0]], versions[first[1]]})
	mustKeepSecrets(t, census)
}

func TestACensusThatBreaksOffIsNotComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 30)
	census, err := rekey.TakeCensus(t.Context(), w.client, &brittle{Memory: w.store, every: 10})
	require.ErrorContains(t, err, "after 10 records")
	require.False(t, census.Complete)
	require.Error(t, census.Clear(kmsmigrate.SideNew))
}

func TestBase64TextIsAValueToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, rec := range w.fill(t, 20) {
		rec.Value = []byte(kmsmigrate.EncodeBlob(rec.Value) + "\n")
		w.store.Put(rec)
	}
	codec := rekey.Base64(w.client)
	report, err := rekey.Sweep(t.Context(), codec, w.store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 20, report.Renewed)
	for i := range 20 {
		rec, err := w.store.Get(t.Context(), idOf(i))
		require.NoError(t, err)
		raw, err := kmsmigrate.DecodeBlob(string(rec.Value))
		require.NoError(t, err)
		plaintext, err := w.new.Decrypt(t.Context(), raw, contextOf(i))
		require.NoError(t, err)
		require.Equal(t, secret(i), plaintext)
		opened, err := codec.Open(t.Context(), rec.Value, contextOf(i))
		require.NoError(t, err)
		require.Equal(t, kmsmigrate.SideNew, opened.Side)
	}
	_, err = codec.Open(t.Context(), []byte("not base64!"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestACensusGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 100)
	book := new(rekey.MemoryNotebook)
	by := func(rec rekey.Record) string { return rec.ID[len(rec.ID)-1:] }
	o := rekey.CensusOptions{Notebook: book, Name: "x", By: by}
	var first rekey.CensusReport
	for n := range 5 {
		b := &brittle{Memory: w.store, every: 23}
		report, err := rekey.TakeCensusWith(t.Context(), w.client, b, o)
		if n == 0 {
			first = report
		}
		if n < 4 {
			require.Error(t, err)
			require.False(t, report.Complete)
			require.EqualValues(t, 23*(n+1), report.Records)
			continue
		}
		require.NoError(t, err)
		require.True(t, report.Complete)
		require.EqualValues(t, 100, report.Records)
		require.EqualValues(t, 100, report.Held(kmsmigrate.SideOld))
		require.Len(t, report.Counts, 1)
		require.True(t, first.Started.Equal(report.Started), "it is as old as its first record")
		require.Len(t, report.Classes, 10)
		for _, class := range report.Classes {
			require.EqualValues(t, 10, class.Records)
		}
	}
	report, err := rekey.TakeCensusWith(t.Context(), w.client, w.store, o)
	require.NoError(t, err)
	require.EqualValues(t, 100, report.Records, "a new one starts anew")
	require.False(t, first.Started.Equal(report.Started))
}

func TestASampleTellsTheShareAndItsMargin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 1000)
	for i := range 1000 {
		if i%4 == 0 {
			value, err := w.new.Encrypt(t.Context(), secret(i), nil)
			require.NoError(t, err)
			w.store.Put(rekey.Record{ID: idOf(i), Value: value})
		}
	}
	report, err := rekey.TakeCensusWith(t.Context(), w.client, splitting{w.store}, rekey.CensusOptions{Sample: 200})
	require.NoError(t, err)
	require.False(t, report.Complete)
	require.Error(t, report.Clear(kmsmigrate.SideOld))
	require.EqualValues(t, 200, report.Records)
	require.InDelta(t, 0.75, report.Sample.OldShare, 0.1)
	require.Less(t, report.Sample.Margin, 0.35)
}

func TestACensusIsWrittenForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 3)
	w.store.Put(rekey.Record{ID: "x", Value: []byte(kmsmigrate.EncodeBlob(make([]byte, 100)))})
	var b bytes.Buffer
	require.NoError(t, rekey.WriteCensus(&b, w.census(t)))
	require.Contains(t, b.String(), "old")
	require.Contains(t, b.String(), w.old.Ref().KeyID)
	require.Regexp(t, `all, complete +4`, b.String())
}
