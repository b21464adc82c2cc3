package rekeysql_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestRowsThatGoAwayDuringAScanTakeNoOthersWithThem(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k VARCHAR(20) NOT NULL PRIMARY KEY, v "+d.blob+")")
		require.NoError(t, rekeytest.TestStore(t.Context(), rekeytest.Subject{
			Store:   mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v", PageRows: 50}),
			Missing: "nobody", Empty: true,
			Fill: func(ctx context.Context, values [][]byte) error {
				return d.fill(ctx, db, name, func(i int) any { return "k" + string(rune('a'+i%26)) + string(rune('a'+i/26)) }, values, false)
			},
			Delete: func(ctx context.Context, id string) error {
				_, err := db.ExecContext(ctx, d.args("DELETE FROM "+name+" WHERE k = ?"), id)
				return err
			},
		}))
	})
}
