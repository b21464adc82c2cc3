package rekeysql_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

var _ rekey.BatchSwapper = (*rekeysql.Store)(nil)

func TestEachSwapOfABatchIsComparedByItself(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k INT NOT NULL, l VARCHAR(20) NOT NULL, v VARCHAR(40), w "+d.blob+", kept "+d.of("TEXT", "TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP", "text")+", PRIMARY KEY (k, l), CHECK (v <> 'forbidden'))")
		for i := range 12 {
			run(t, db, d.args("INSERT INTO "+name+" (k, l, v, w) VALUES (?, ?, ?, ?)"), i, fmt.Sprintf("Key %d\"", i), fmt.Sprintf("value %d", i), []byte{byte(i), 0xff})
		}
		run(t, db, d.args("UPDATE "+name+" SET w = NULL WHERE k = 9"))
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k", "l"}, Values: []string{"v", "w"}, Keep: []string{"kept"}})
		var recs []rekey.Record
		for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			recs = append(recs, rec)
		}
		next := func(i int) []byte {
			return kmsmigrate.Pack(fmt.Appendf(nil, "renewed %d", i), []byte{byte(i), 0})
		}
		swaps := make([]rekey.Swap, len(recs))
		for i, rec := range recs {
			swaps[i] = rekey.Swap{ID: rec.ID, Prev: rec.Value, Next: next(i)}
		}
		swaps[2].Prev = kmsmigrate.Pack([]byte("VALUE 2"), []byte{2, 0xff}) // equal under a collation that ignores case
		swaps[3].Next = kmsmigrate.Pack([]byte("forbidden"), []byte{3})
		swaps[4].Next = kmsmigrate.Pack([]byte("0123456789012345678901234567890123456789x"), []byte{4})
		swaps[5].ID = `"5","nobody"`
		swaps[6].ID = "no such form"
		swaps[7].Next = swaps[7].Prev
		swaps = append(swaps, rekey.Swap{ID: recs[8].ID, Prev: next(8), Next: next(80)}, rekey.Swap{ID: recs[8].ID, Prev: recs[8].Value, Next: next(81)}) // one record three times
		errs := store.SwapAll(t.Context(), swaps)
		require.Len(t, errs, len(swaps))
		if d.dialect == rekeysql.SQLite { // whose columns take everything
			require.NoError(t, errs[4])
			errs[4] = rekey.ErrRefused
		}
		for i, want := range map[int]error{2: rekey.ErrConflict, 3: rekey.ErrRefused, 4: rekey.ErrRefused, 5: rekey.ErrConflict, 6: kmsmigrate.ErrInvalid, 13: rekey.ErrConflict} {
			require.ErrorIs(t, errs[i], want, "%d", i)
		}
		for i, err := range errs {
			if i < 2 || i > 6 && i != 13 {
				require.NoError(t, err, "%d", i)
			}
		}
		for i, rec := range recs {
			now, err := store.Get(t.Context(), rec.ID)
			require.NoError(t, err)
			want := next(i)
			switch i {
			case 2, 3, 4, 5, 6, 7:
				if want = rec.Value; i == 4 && d.dialect == rekeysql.SQLite {
					want = swaps[4].Next
				}
			case 8:
				want = next(80)
			}
			require.Equal(t, want, now.Value, "%d", i)
		}
		if d.dialect == rekeysql.MySQL {
			var bumped int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name+" WHERE kept <> '2020-01-01 00:00:00'").Scan(&bumped))
			require.LessOrEqual(t, bumped, 1, "only the row that this test has changed itself")
		}
		require.Empty(t, store.SwapAll(t.Context(), nil))
		stopped, stop := context.WithCancel(t.Context())
		stop()
		for _, err := range store.SwapAll(stopped, swaps[:2]) {
			require.Error(t, err)
		}
	})
}

func TestABatchPassesOverWhatIsLocked(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+d.text+")")
		swaps := make([]rekey.Swap, 20)
		for i := range swaps {
			run(t, db, d.args("INSERT INTO "+name+" VALUES (?, ?)"), i, fmt.Sprint("old ", i))
			swaps[i] = rekey.Swap{ID: fmt.Sprint(i), Prev: fmt.Appendf(nil, "old %d", i), Next: fmt.Appendf(nil, "new %d", i)}
		}
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		run(t, tx, "UPDATE "+name+" SET v = 'locked' WHERE k = 7")
		began := time.Now()
		errs := store.SwapAll(t.Context(), swaps)
		require.Less(t, time.Since(began), 4*time.Second)
		for i, err := range errs {
			if i == 7 || d.dialect == rekeysql.SQLite { // which has one lock for all
				require.ErrorIs(t, err, rekey.ErrBusy)
			} else {
				require.NoError(t, err, "%d", i)
			}
		}
		if d.dialect != rekeysql.SQLite {
			require.NoError(t, store.In(tx).SwapAll(t.Context(), []rekey.Swap{{ID: "7", Prev: []byte("locked"), Next: []byte("mine")}, {ID: "8", Prev: []byte("new 8"), Next: []byte("mine")}})[0])
		}
	})
}

// Several who write the same rows in batches and one by one: each state is replaced once, by one of them.
func TestBatchesAndSinglesNeverOverwriteEachOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		db.SetMaxOpenConns(8)
		const rows, rounds = 30, 6
		name := d.table(t, db, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+d.blob+")")
		for i := range rows {
			run(t, db, d.args("INSERT INTO "+name+" VALUES (?, ?)"), i, []byte("0"))
		}
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
		var won [rows]atomic.Int64
		var wg sync.WaitGroup
		for who := range 4 {
			wg.Go(func() {
				for round := range rounds {
					swaps := make([]rekey.Swap, rows)
					for i := range swaps {
						at := (i + who*7) % rows
						swaps[i] = rekey.Swap{ID: fmt.Sprint(at), Prev: []byte(fmt.Sprint(won[at].Load())), Next: []byte(fmt.Sprint(won[at].Load() + 1))}
					}
					errs := make([]error, rows)
					if who == 0 {
						for i, s := range swaps {
							errs[i] = store.Swap(t.Context(), s.ID, s.Prev, s.Next)
						}
					} else {
						errs = store.SwapAll(t.Context(), swaps)
					}
					for i, err := range errs {
						if err == nil {
							won[(i+who*7)%rows].Add(1)
						}
					}
					_ = round
				}
			})
		}
		wg.Wait()
		total := int64(0)
		for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
			require.NoError(t, err)
			var k int
			_, err = fmt.Sscan(rec.ID, &k)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(won[k].Load()), string(rec.Value), "every success is one step, and no step is lost")
			total += won[k].Load()
		}
		require.Positive(t, total)
	})
}
