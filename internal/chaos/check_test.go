package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// The checker at the end sees each thing that must not happen, once it has: otherwise its zeros would mean nothing.
func TestTheCheckerSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		phase  kmsmigrate.Phase
		damage string // done to the table
		ledger func(o *orchestra)
		count  func(r result) int
		want   int
	}{
		"nothing":                       {phase: kmsmigrate.WriteNew, count: func(r result) int { return r.Lost + r.Overwritten + r.Unreadable + r.WrongIdentity + int(r.OldAfter) }},
		"a record is gone":              {phase: kmsmigrate.WriteNew, damage: "DELETE FROM %s WHERE id = 7", count: func(r result) int { return r.Lost }, want: 1},
		"an acknowledged write is gone": {phase: kmsmigrate.WriteNew, ledger: func(o *orchestra) { o.acked[9], o.begun[9] = 5, 5 }, count: func(r result) int { return r.Overwritten }, want: 1},
		"a write that nobody made":      {phase: kmsmigrate.WriteNew, ledger: func(o *orchestra) { o.begun[9] = -1; o.acked[9] = -1 }, count: func(r result) int { return r.Lost }, want: 1},
		"a record is another's":         {phase: kmsmigrate.WriteNew, damage: "UPDATE %[1]s SET secret = (SELECT secret FROM %[1]s WHERE id = 50) WHERE id = 10", count: func(r result) int { return r.WrongIdentity }, want: 1},
		"a record is damaged":           {phase: kmsmigrate.WriteNew, damage: "UPDATE %s SET secret = substr(secret, 1, length(secret) - 1) || x'00' WHERE id = 11", count: func(r result) int { return r.Unreadable }, want: 1},
		"a record has another context":  {phase: kmsmigrate.WriteNew, damage: "UPDATE %[1]s SET secret = (SELECT secret FROM %[1]s WHERE id = 13) WHERE id = 12", count: func(r result) int { return r.Unreadable }, want: 1},
		"everything is old":             {phase: kmsmigrate.OldOnly, count: func(r result) int { return int(r.OldAfter) }, want: 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			o := newOrchestra(options{records: 60, db: "sqlite"})
			cloud, err := kmstest.Start(kmstest.Config{})
			require.NoError(t, err)
			t.Cleanup(func() { _ = cloud.Close() })
			old, err := cloud.Region("cn-hangzhou")
			require.NoError(t, err)
			away, err := cloud.Region("cn-shanghai")
			require.NoError(t, err)
			fresh, err := away.CreateInstance(kmstest.InstanceSpec{})
			require.NoError(t, err)
			_, err = o.furnish(t.TempDir(), cloud, old, fresh)
			require.NoError(t, err)
			db, err := o.connect()
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			require.NoError(t, o.populate(ctx, db, c.phase))
			if c.damage != "" {
				done, err := db.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(c.damage, o.Table))
				require.NoError(t, err)
				n, err := done.RowsAffected()
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
			}
			if c.ledger != nil {
				c.ledger(o)
			}
			require.NoError(t, o.check(ctx, db))
			require.Equal(t, c.want, c.count(o.result), "%+v", o.result)
			require.Equal(t, c.want == 0, o.result.ok())
		})
	}
}
