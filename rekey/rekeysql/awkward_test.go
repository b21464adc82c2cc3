package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// A table as applications have them: names that need quotes, a composite key of text under a collation, columns that the
// database computes, soft-deleted rows, tenants with keys of their own, two encrypted columns, NULLs and empty strings.
func TestATableAsApplicationsHaveThem(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		quote := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
		if d.dialect == rekeysql.MySQL {
			quote = func(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
		}
		table := fmt.Sprintf("Or\"der's `t%d_%d; --", os.Getpid(), tables.Add(1))
		const tenant, user, secret, token, deleted = "select", `Üser "id"`, "group", "a`b'c", "deleted at"
		collation := d.of("COLLATE NOCASE", "COLLATE utf8mb4_general_ci", `COLLATE "C"`)
		run(t, db, "CREATE TABLE "+quote(table)+" ("+quote(tenant)+" VARCHAR(20) "+collation+" NOT NULL, "+quote(user)+" VARCHAR(40) "+collation+" NOT NULL, "+
			quote(secret)+" "+d.blob+", "+quote(token)+" VARCHAR(400), "+quote(deleted)+" TIMESTAMP NULL, "+
			quote("computed")+" VARCHAR(30) GENERATED ALWAYS AS ("+quote(user)+") "+d.of("VIRTUAL", "VIRTUAL", "STORED")+", PRIMARY KEY ("+quote(tenant)+", "+quote(user)+"))")
		t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+quote(table)) })

		clients, olds := map[string]*kmsmigrate.Client{}, map[string]*keytest.Key{}
		tenants := []string{"acme", "Ünïon", "o'brien"}
		for _, name := range tenants {
			clients[name], olds[name] = moving(t)
		}
		const users = 150
		held := map[string]int64{}
		for i := range users {
			name := tenants[i%len(tenants)]
			ec := kmsmigrate.EncryptionContext{"tenant": name}
			seal := func(text string) []byte {
				value, err := olds[name].Encrypt(t.Context(), []byte(text), ec)
				require.NoError(t, err)
				return value
			}
			one, two := any(seal("one")), any(kmsmigrate.EncodeBlob(seal("two")))
			switch i % 10 {
			case 8:
				one, two = nil, ""
			case 9:
				one, two = []byte{}, nil
			default:
				held[name]++
			}
			gone := any(nil)
			if i%4 == 0 {
				gone = "2020-01-01 00:00:00"
			}
			run(t, db, d.args("INSERT INTO "+quote(table)+" ("+quote(tenant)+", "+quote(user)+", "+quote(secret)+", "+quote(token)+", "+quote(deleted)+") VALUES (?, ?, ?, ?, ?)"),
				name, fmt.Sprintf(`Usér, "%03d"`, i), one, two, gone)
		}
		for column, wrap := range map[string]func(rekey.Codec) rekey.Codec{
			secret: func(c rekey.Codec) rekey.Codec { return c },
			token:  rekey.Base64,
		} {
			store := mustOpen(t, db, rekeysql.Table{
				Name: table, Key: []string{tenant, user}, Value: column, Columns: []string{tenant}, PageRows: 13,
				Context: func(row map[string]string) kmsmigrate.EncryptionContext {
					return kmsmigrate.EncryptionContext{"tenant": row[tenant]}
				},
			})
			warnings, err := store.Warnings(t.Context(), 1)
			require.NoError(t, err)
			require.Len(t, warnings, 1)
			of := func(rec rekey.Record) (rekey.Codec, error) { return wrap(clients[rec.Context["tenant"]]), nil }
			by := func(rec rekey.Record) string { return rec.Context["tenant"] }
			total := int64(0)
			for _, n := range held {
				total += n
			}
			dry, err := rekey.Sweep(t.Context(), wrap(clients["acme"]), store, rekey.Options{DryRun: true, CodecFor: of, By: by})
			require.NoError(t, err)
			require.Equal(t, total, dry.Stale)
			require.Equal(t, users-total, dry.Empty)
			report, err := rekey.Sweep(t.Context(), wrap(clients["acme"]), store, rekey.Options{CodecFor: of, By: by, ReadBack: 3})
			require.NoError(t, err)
			require.Equal(t, total, report.Renewed, "the deleted ones too: %+v", report)
			require.Positive(t, report.ReadBack)
			census, err := rekey.TakeCensusWith(t.Context(), wrap(clients["acme"]), store, rekey.CensusOptions{CodecFor: of, By: by})
			require.NoError(t, err)
			require.NoError(t, census.Clear(kmsmigrate.SideOld))
			for name, n := range held {
				require.Equal(t, n, report.Classes[name].Renewed)
				require.Equal(t, n, census.Classes[name].Held(kmsmigrate.SideNew))
			}
		}
		// What held nothing holds nothing still, and as it did.
		var nulls, empty int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+quote(table)+" WHERE "+quote(secret)+" IS NULL").Scan(&nulls))
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+quote(table)+" WHERE "+quote(token)+" = ''").Scan(&empty))
		require.Equal(t, []int{users / 10, users / 10}, []int{nulls, empty})
		_, err := rekeysql.Open(t.Context(), db, rekeysql.Table{Name: table, Key: []string{tenant, user}, Value: "computed"})
		require.ErrorContains(t, err, "computed by the database")
		var n sql.NullInt64
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+quote(table)).Scan(&n))
		require.EqualValues(t, users, n.Int64)
	})
}
