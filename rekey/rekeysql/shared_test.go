package rekeysql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestNotesAreReplacedByRevision(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		table := d.table(t, db, "CREATE TABLE NAME (x INT)")
		run(t, db, "DROP TABLE "+table)
		var wg sync.WaitGroup
		for range 4 { // who come at once
			wg.Go(func() {
				if _, err := rekeysql.OpenNotebook(t.Context(), db, table); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		book, err := rekeysql.OpenNotebook(t.Context(), db, table)
		require.NoError(t, err)
		text, revision, err := book.Read(t.Context(), "a")
		require.NoError(t, err)
		require.Empty(t, text)
		require.Zero(t, revision)
		require.NoError(t, book.Write(t.Context(), "a", []byte("one ü"), 0))
		require.NoError(t, book.Write(t.Context(), "A", []byte("another"), 0))
		require.ErrorIs(t, book.Write(t.Context(), "a", []byte("two"), 0), rekey.ErrConflict)
		require.NoError(t, book.Write(t.Context(), "a", []byte("two"), 1))
		require.ErrorIs(t, book.Write(t.Context(), "a", []byte("three"), 1), rekey.ErrConflict)
		require.NoError(t, book.Write(t.Context(), "a", []byte("two"), 2), "the same text is a new revision too")
		text, revision, err = book.Read(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "two", string(text))
		require.EqualValues(t, 3, revision)
	})
}

func TestSplitHasNoGaps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "CREATE TABLE NAME (k INT NOT NULL, l VARCHAR(9) NOT NULL, v "+d.blob+", PRIMARY KEY (k, l))")
		store := mustOpen(t, db, rekeysql.Table{Name: name, Key: []string{"k", "l"}, Value: "v"})
		parts, err := store.Split(t.Context(), 5)
		require.NoError(t, err)
		require.Equal(t, []rekey.Range{{}}, parts)
		for i := range 103 {
			run(t, db, d.args("INSERT INTO "+name+" VALUES (?, ?, ?)"), i%10, fmt.Sprintf("r%03d", i), []byte("v"))
		}
		for _, n := range []int{1, 2, 7, 103, 500} {
			parts, err := store.Split(t.Context(), n)
			require.NoError(t, err)
			require.LessOrEqual(t, len(parts), n)
			total := int64(0)
			after := ""
			for _, part := range parts {
				require.Equal(t, after, part.After)
				after = part.Through
				count, err := store.Count(t.Context(), part)
				require.NoError(t, err)
				total += count
			}
			require.Empty(t, after)
			require.EqualValues(t, 103, total)
		}
	})
}

func TestReplicasShareASweepOverADatabase(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		const n = 600
		name := d.table(t, db, "CREATE TABLE NAME (k INT NOT NULL PRIMARY KEY, v "+d.blob+")")
		old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
		client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh})
		require.NoError(t, err)
		values := make([][]byte, n)
		for i := range values {
			values[i], err = old.Encrypt(t.Context(), fmt.Appendf(nil, "plaintext %d", i), nil)
			require.NoError(t, err)
		}
		require.NoError(t, d.fill(t.Context(), db, name, func(i int) any { return i }, values, false))
		notes := name + "_notes"
		t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+notes) })

		const lease = 2 * time.Second
		share := func(ctx context.Context, codec rekey.Codec) (rekey.Report, error) {
			own := d.openAgain(t, db)
			store, err := rekeysql.Open(ctx, own, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
			if err != nil {
				return rekey.Report{}, err
			}
			book, err := rekeysql.OpenNotebook(ctx, own, notes)
			if err != nil {
				return rekey.Report{}, err
			}
			return rekey.SweepShared(ctx, codec, store, rekey.Shared{Notebook: book, Parts: 12, Lease: lease}, rekey.Options{Name: "x", Workers: 2})
		}
		// One replica dies at once, holding a part: its claim is all that is left of it.
		own := d.openAgain(t, db)
		book, err := rekeysql.OpenNotebook(t.Context(), own, notes)
		require.NoError(t, err)
		store := mustOpen(t, own, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
		dying, die := context.WithCancel(t.Context())
		dead := leaving{book, func(name string) bool { return name == "sweep/x/part-00003" }, die}
		_, err = rekey.SweepShared(dying, client, store, rekey.Shared{Notebook: dead, Parts: 12, Lease: lease}, rekey.Options{Name: "x", Workers: 2})
		require.Error(t, err)
		text, _, err := book.Read(t.Context(), "sweep/x/part-00003")
		require.NoError(t, err)
		require.Contains(t, string(text), `"owner":"`)

		began := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				report, err := share(t.Context(), client)
				if err != nil || !report.Complete || report.Renewed+report.AlreadyNew != n {
					t.Errorf("%+v, %v", report, err)
				}
			})
		}
		wg.Wait()
		require.Less(t, time.Since(began), 10*lease, "taken over, and soon")
		census, err := rekey.TakeCensus(t.Context(), client, store)
		require.NoError(t, err)
		require.NoError(t, census.Clear(kmsmigrate.SideOld))
		encrypts, _ := fresh.Calls()
		require.EqualValues(t, n, encrypts, "every record once")
	})
}

// leaving is the notebook of a process that dies as soon as it has claimed a certain part: from then on nothing gets out.
type leaving struct {
	rekey.Notebook
	last func(name string) bool
	die  func()
}

func (l leaving) Write(ctx context.Context, name string, text []byte, revision int64) error {
	if l.last(name) && revision > 0 {
		return context.Canceled
	}
	err := l.Notebook.Write(ctx, name, text, revision)
	if l.last(name) {
		l.die()
	}
	return err
}
