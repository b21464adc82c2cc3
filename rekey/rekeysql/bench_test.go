package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// freeCodec is a format whose renewal costs nothing: the first byte says whose a value is. What a sweep over it takes is
// the sweep itself and the database.
type freeCodec struct{}

func (freeCodec) Open(_ context.Context, value []byte, _ kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	return kmsmigrate.Opened{Plaintext: value[1:], Stale: value[0] == 'o'}, nil
}

func (freeCodec) Renew(_ context.Context, value []byte, _ kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	return kmsmigrate.Renewed{Ciphertext: append([]byte{'n'}, value[1:]...)}, nil
}

func (freeCodec) Inspect(value []byte) (kmsmigrate.Info, error) {
	side := kmsmigrate.SideOld
	if value[0] == 'n' {
		side = kmsmigrate.SideNew
	}
	return kmsmigrate.Info{Layout: "free", Copies: []kmsmigrate.Copy{{Side: side, Owned: kmsmigrate.Mine}}}, nil
}

// benchRows is how many records a benchmark sweeps.
const benchRows = 5000

func benchTable(b *testing.B, d database) (*sql.DB, string) {
	b.Helper()
	if d.env != "" && os.Getenv(d.env) == "" {
		b.Skipf("needs %s", d.env)
	}
	db := d.open(b)
	db.SetMaxIdleConns(32)
	return db, d.table(b, db, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+d.blob+")")
}

func benchFill(b *testing.B, d database, db *sql.DB, name string) {
	b.Helper()
	values := make([][]byte, benchRows)
	for i := range values {
		values[i] = append([]byte("o"), make([]byte, 299)...)
	}
	require.NoError(b, d.fill(context.Background(), db, name, func(i int) any { return i }, values, false))
}

// BenchmarkSweep compares a sweep with the loop that anybody would write: read a page, compare-and-swap each row. The
// budget is 0.8 of its rows per second.
func BenchmarkSweep(b *testing.B) {
	for _, d := range databases {
		b.Run("bare/"+d.name, func(b *testing.B) {
			db, name := benchTable(b, d)
			for range b.N {
				b.StopTimer()
				benchFill(b, d, db, name)
				b.StartTimer()
				require.NoError(b, d.bareSweep(b.Context(), db, name))
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		for _, what := range []string{"single", "keyhaul"} { // without batches and with them
			b.Run(what+"/"+d.name, func(b *testing.B) {
				db, name := benchTable(b, d)
				opened, err := rekeysql.Open(b.Context(), db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
				require.NoError(b, err)
				store := rekey.Store(opened)
				if what == "single" {
					store = struct {
						rekey.Scanner
						rekey.Swapper
					}{opened, opened}
				}
				for range b.N {
					b.StopTimer()
					benchFill(b, d, db, name)
					b.StartTimer()
					report, err := rekey.Sweep(b.Context(), freeCodec{}, store, rekey.Options{})
					require.NoError(b, err)
					require.EqualValues(b, benchRows, report.Renewed)
				}
				b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// bareRow is a row of the loops without anything around them.
type bareRow struct {
	k int64
	v []byte
}

// barePage reads the next rows after a key.
func (d database) barePage(ctx context.Context, db *sql.DB, name string, last int64) (page []bareRow, err error) {
	rows, err := db.QueryContext(ctx, d.args("SELECT k, v FROM "+name+" WHERE k > ? ORDER BY k LIMIT 500"), last)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r bareRow
		if err := rows.Scan(&r.k, &r.v); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, rows.Err()
}

// bareSweep is the loop that anybody would write.
func (d database) bareSweep(ctx context.Context, db *sql.DB, name string) error {
	last := int64(-1)
	for {
		page, err := d.barePage(ctx, db, name, last)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			result, err := db.ExecContext(ctx, d.args("UPDATE "+name+" SET v = ? WHERE k = ? AND v = ?"), append([]byte("n"), r.v[1:]...), r.k, r.v)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n != 1 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
		}
		last = page[len(page)-1].k
	}
}

// BenchmarkCensus compares a census with a scan that does nothing.
func BenchmarkCensus(b *testing.B) {
	for _, d := range databases {
		for _, what := range []string{"scan", "keyhaul"} {
			b.Run(what+"/"+d.name, func(b *testing.B) {
				db, name := benchTable(b, d)
				benchFill(b, d, db, name)
				store, err := rekeysql.Open(b.Context(), db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
				require.NoError(b, err)
				for b.Loop() {
					if what == "keyhaul" {
						_, err := rekey.TakeCensus(b.Context(), freeCodec{}, store)
						require.NoError(b, err)
						continue
					}
					last, n := int64(-1), 0
					for {
						page, err := d.barePage(b.Context(), db, name, last)
						require.NoError(b, err)
						if len(page) == 0 {
							break
						}
						n += len(page)
						last = page[len(page)-1].k
					}
					require.Equal(b, benchRows, n)
				}
				b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
