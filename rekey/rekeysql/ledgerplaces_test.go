package rekeysql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestAFleetKnowsWhichTablesWereNeverSwept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		m := newMigration(t, d, 30)
		cfg, entries := m.keyTable(t)
		env := m.with(t, kmsmigrate.Rewrite, cfg)
		notes := fmt.Sprintf("notes%d", tables.Add(1))
		t.Cleanup(func() { _, _ = m.db.ExecContext(context.Background(), "DROP TABLE "+notes) })
		places := func(db rekeysql.DB) []rekey.Place {
			book, err := rekeysql.OpenNotebook(t.Context(), db, notes)
			if err != nil {
				t.Error(err)
			}
			return []rekey.Place{
				{Name: "customers.secret", Store: m.store, Codec: env, Notebook: book},
				{Name: "data_keys.entry", Store: entries, Codec: env, Notebook: book},
			}
		}
		var starting sync.WaitGroup
		for range 6 { // processes that start at once
			starting.Go(func() {
				for _, place := range places(d.openAgain(t, m.db)) {
					if _, err := place.Rekeyer(t.Context(), rekey.Config{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		starting.Wait()
		all := places(m.db)
		since := time.Now()
		_, err := all[0].Sweep(t.Context(), rekey.Options{})
		require.NoError(t, err)
		_, err = all[0].Census(t.Context(), rekey.CensusOptions{})
		require.NoError(t, err)
		_, err = rekey.Proof(t.Context(), all[0].Notebook, since)
		require.ErrorContains(t, err, "data_keys.entry: it was declared ")
		require.NotContains(t, err.Error(), "customers.secret")
		_, err = all[1].SweepShared(t.Context(), rekey.Shared{}, rekey.Options{})
		require.NoError(t, err)
		_, err = all[1].Census(t.Context(), rekey.CensusOptions{})
		require.NoError(t, err)
		censuses, err := rekey.Proof(t.Context(), all[0].Notebook, since)
		require.NoError(t, err)
		phase, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Rewrite)
		require.NoError(t, err)
		require.NoError(t, phase.SetProven(kmsmigrate.NewOnly, since, censuses...))
		m.mustOpenAlone(t, envelope.Config{Table: cfg.Table, TableContext: cfg.TableContext})
	})
}
