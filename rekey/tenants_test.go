package rekey_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestTenantsHaveCodecsAndCountsOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	store := new(rekeytest.Memory)
	for i := range 60 {
		w, tenant := a, "a"
		if i%3 == 0 {
			w, tenant = b, "b"
		}
		value, err := w.old.Encrypt(t.Context(), secret(i), nil)
		require.NoError(t, err)
		store.Put(rekey.Record{ID: tenant + idOf(i), Value: value})
	}
	store.Put(rekey.Record{ID: "c", Value: make([]byte, 100)})
	by := func(rec rekey.Record) string { return rec.ID[:1] }
	report, err := rekey.Sweep(t.Context(), a.client, store, rekey.Options{By: by, CodecFor: func(rec rekey.Record) (rekey.Codec, error) {
		switch by(rec) {
		case "a":
			return a.client, nil
		case "b":
			return b.client, nil
		default:
			return nil, errors.New("no such tenant")
		}
	}})
	require.NoError(t, err)
	require.Equal(t, map[string]rekey.ClassCount{"a": {Renewed: 40}, "b": {Renewed: 20}, "c": {Quarantined: 1}}, report.Classes)
	require.Equal(t, map[string]int64{rekey.ReasonNoCodec: 1}, report.Reasons)
}

func TestOnePlaceServesTheLazyReadsTheSweepAndTheCensusOfAllTenants(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	place := rekey.Place{
		Name: "tenants.secret", Store: a.store, Codec: a.client, Notebook: new(rekey.MemoryNotebook),
		By: func(rec rekey.Record) string { return rec.ID[:1] },
		CodecFor: func(rec rekey.Record) (rekey.Codec, error) {
			switch rec.ID[:1] {
			case "a":
				return a.client, nil
			case "b":
				return b.client, nil
			default:
				return nil, nil //nolint:nilnil // what a careless hook returns
			}
		},
	}
	for i := range 40 {
		for tenant, w := range map[string]*world{"a": a, "b": b} {
			value, err := w.old.Encrypt(t.Context(), secret(i), nil)
			require.NoError(t, err)
			a.store.Put(rekey.Record{ID: tenant + idOf(i), Value: value})
		}
	}
	rekeyer, err := place.Rekeyer(t.Context(), rekey.Config{})
	require.NoError(t, err)
	for _, id := range []string{"a" + idOf(3), "b" + idOf(4)} {
		rec, err := a.store.Get(t.Context(), id)
		require.NoError(t, err)
		_, err = rekeyer.Open(t.Context(), rec)
		require.NoError(t, err)
		_, err = rekeyer.Open(t.Context(), rekey.Record{ID: "c1", Value: rec.Value})
		require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
		_, err = rekeyer.OpenSync(t.Context(), a.store, rekey.Record{ID: "c1", Value: rec.Value})
		require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
	}
	require.NoError(t, rekeyer.Close(t.Context()))
	require.EqualValues(t, 2, rekeyer.Stats().Rewritten)
	report, err := place.Sweep(t.Context(), rekey.Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]rekey.ClassCount{"a": {AlreadyNew: 1, Renewed: 39}, "b": {AlreadyNew: 1, Renewed: 39}}, report.Classes)
	census, err := place.Census(t.Context(), rekey.CensusOptions{})
	require.NoError(t, err)
	for _, tenant := range []string{"a", "b"} {
		require.EqualValues(t, 40, census.Classes[tenant].Held(kmsmigrate.SideNew))
		require.NoError(t, census.Classes[tenant].Clear(kmsmigrate.SideOld))
	}
}
