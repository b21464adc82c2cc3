package rekey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestADryRunMakesNoCallAndWritesNothing(t *testing.T) {
	t.Parallel()
	codec := &groupCodec{renewed: map[byte]bool{}, active: map[byte]int{}}
	store := new(rekeytest.Memory)
	for i := range 300 {
		store.Put(rekey.Record{ID: idOf(i), Value: fmt.Appendf(nil, "%co%d", 'A'+byte(i%30), i)})
	}
	check := new(memoryCheckpoint)
	report, err := rekey.Sweep(t.Context(), codec, store, rekey.Options{DryRun: true, Checkpoint: check})
	require.NoError(t, err)
	require.EqualValues(t, 300, report.Stale)
	require.EqualValues(t, 300, report.Scanned)
	require.Positive(t, report.Bytes)
	require.Zero(t, codec.calls)
	require.Zero(t, store.Swaps())
	require.Empty(t, check.marks)

	w := newWorld(t)
	w.fill(t, 50)
	require.NoError(t, w.phase.Jump(kmsmigrate.OldOnly)) // a rehearsal is for before
	e, d := w.old.Calls()
	report, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{DryRun: true})
	require.NoError(t, err)
	require.EqualValues(t, 50, report.Bare)
	e2, d2 := w.old.Calls()
	require.Equal(t, []int64{e, d}, []int64{e2, d2})
}

func TestASweepWaitsForPauseHoursAndLoad(t *testing.T) {
	t.Parallel()
	// The fake clock starts at midnight UTC on 2000-01-01, a Saturday.
	for _, test := range []struct {
		name    string
		options func(o *rekey.Options)
		atLeast time.Duration
		atMost  time.Duration
		waiting string
	}{
		{"window", func(o *rekey.Options) {
			o.Window = rekey.Window{From: 2 * time.Hour, To: 5 * time.Hour, In: time.UTC}
		}, 2 * time.Hour, 2*time.Hour + time.Second, "hours"},
		{"window of a day", func(o *rekey.Options) {
			o.Window = rekey.Window{From: 23 * time.Hour, To: time.Hour, In: time.UTC, Days: []time.Weekday{time.Sunday}}
		}, 47 * time.Hour, 47*time.Hour + time.Second, "hours"},
		{"pause", func(o *rekey.Options) {
			o.Pause = new(rekey.Pause)
			o.Pause.Set(true)
			time.AfterFunc(time.Minute, func() { o.Pause.Set(false) })
		}, time.Minute, 61 * time.Second, "paused"},
		{"load", func(o *rekey.Options) {
			until := time.Now().Add(time.Minute)
			o.Load = func(context.Context) error {
				if time.Now().Before(until) {
					return errors.New("the replica lags")
				}
				return nil
			}
		}, time.Minute, 66 * time.Second, "the replica lags"},
		{"load that does not answer", func(o *rekey.Options) {
			until := time.Now().Add(time.Minute)
			o.Load = func(ctx context.Context) error {
				if time.Now().Before(until) {
					<-ctx.Done()
				}
				return nil
			}
		}, time.Minute, 80 * time.Second, "load"},
		{"ceiling", func(o *rekey.Options) { o.PerSecond = 10 }, 9 * time.Second, 11 * time.Second, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fill(t, 100)
				reasons := map[string]bool{}
				o := rekey.Options{Progress: func(p rekey.Progress) { reasons[p.Waiting] = true }}
				test.options(&o)
				began := time.Now()
				report, err := rekey.Sweep(t.Context(), w.client, w.store, o)
				require.NoError(t, err)
				require.EqualValues(t, 100, report.Renewed)
				require.GreaterOrEqual(t, time.Since(began), test.atLeast)
				require.LessOrEqual(t, time.Since(began), test.atMost)
				found := test.waiting == ""
				for reason := range reasons {
					found = found || test.waiting != "" && bytes.Contains([]byte(reason), []byte(test.waiting))
				}
				require.True(t, found, "%v", reasons)
			})
		})
	}
}

func TestWhatReadsBackWronglyStopsTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 50)
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{ReadBack: 5})
	require.NoError(t, err)
	require.EqualValues(t, 10, report.ReadBack)

	w.fill(t, 50)
	mangling := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		return w.store.Swap(ctx, id, prev, next[:len(next)-1])
	}}
	report, err = rekey.Sweep(t.Context(), w.client, mangling, rekey.Options{ReadBack: 1, MaxInARow: 3, Workers: 1})
	require.NoError(t, err)
	require.EqualValues(t, 50, report.Reasons[rekey.ReasonMismatch])
}

func TestQuarantinedRecordsAreListedAndRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recs := w.fill(t, 40)
	other := keytest.New(keytest.Config{})
	for i := 5; i < 40; i += 10 {
		value, err := other.Encrypt(t.Context(), secret(i), contextOf(i))
		require.NoError(t, err)
		w.store.Put(rekey.Record{ID: idOf(i), Value: value, Context: contextOf(i)})
	}
	var list bytes.Buffer
	add, failed := rekey.QuarantineLog(&list)
	report, err := rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Quarantine: add})
	require.NoError(t, err)
	require.NoError(t, failed())
	require.EqualValues(t, 4, report.Quarantined)
	w.store.Delete(idOf(35))

	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: w.old, New: w.new, Older: []kmsmigrate.Key{other}})
	require.NoError(t, err)
	ids := func(yield func(string) bool) {
		for q, err := range rekey.ReadQuarantine(bytes.NewReader(list.Bytes())) {
			require.NoError(t, err)
			if !yield(q.ID) {
				return
			}
		}
	}
	report, err = rekey.Retry(t.Context(), client, w.store, ids, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 3, report.Renewed)
	require.EqualValues(t, 3, report.Scanned)
	for i := range recs {
		if i != 35 {
			w.mustHold(t, i)
		}
	}
	for _, err := range rekey.ReadQuarantine(bytes.NewBufferString("{\"id\":\"1\"}\nnot json\n")) {
		if err != nil {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		}
	}
}

func TestCheckpointsInFilesAndNotebooks(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]rekey.Checkpoint{
		"file":     rekey.CheckpointFile(filepath.Join(t.TempDir(), "sweep.json")),
		"notebook": rekey.CheckpointIn(new(rekey.MemoryNotebook), "sweep"),
	} {
		m, err := check.Load(t.Context())
		require.NoError(t, err, name)
		require.Zero(t, m)
		for i := range 3 {
			want := rekey.Mark{Sweep: "s", After: idOf(i), At: time.Unix(int64(i), 0).UTC()}
			require.NoError(t, check.Save(t.Context(), want))
			m, err = check.Load(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, m)
		}
	}
}

// splitting is a store that can be cut.
type splitting struct{ *rekeytest.Memory }

func (s splitting) Split(_ context.Context, n int) ([]rekey.Range, error) {
	parts := make([]rekey.Range, n)
	for i := range parts {
		if i > 0 {
			parts[i].After = parts[i-1].Through
		}
		if i < n-1 {
			parts[i].Through = idOf((i + 1) * 1000 / n)
		}
	}
	return parts, nil
}

func TestProcessesShareASweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 1000
	w.fill(t, n)
	book := new(rekey.MemoryNotebook)
	var wg sync.WaitGroup
	reports := make([]rekey.Report, 3)
	for i := range reports {
		wg.Go(func() {
			var err error
			reports[i], err = rekey.SweepShared(t.Context(), w.client, splitting{w.store}, rekey.Shared{Notebook: book, Parts: 10, Lease: time.Second, Lanes: 2}, rekey.Options{Name: "x"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, report := range reports {
		require.True(t, report.Complete)
		require.EqualValues(t, n, report.Scanned, "every record once")
		require.EqualValues(t, n, report.Renewed)
	}
	for i := range n {
		w.mustHold(t, i)
	}
}

func TestASharedSweepTellsOfAllItsParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 1000
	w.fill(t, n)
	for i := range n {
		if i%100 == 3 || i < 40 { // many in the first part, one in each of the others
			w.store.Put(rekey.Record{ID: idOf(i), Value: make([]byte, 100)})
		}
	}
	var last rekey.Progress
	report, err := rekey.SweepShared(t.Context(), w.client, splitting{w.store}, rekey.Shared{Notebook: new(rekey.MemoryNotebook), Parts: 10}, rekey.Options{
		Name: "x", Progress: func(p rekey.Progress) { last = p },
	})
	require.NoError(t, err)
	require.EqualValues(t, 49, report.Quarantined)
	require.Len(t, report.List, 20+9)
	require.Equal(t, 10, last.Parts)
	require.Equal(t, 9, last.PartsDone, "the last one is told of before it is done")
}

func TestTheWorkOfADeadProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const n = 1000
		w.fill(t, n)
		book := new(rekey.MemoryNotebook)
		sh := rekey.Shared{Notebook: book, Parts: 4, Lease: 10 * time.Second}
		o := rekey.Options{Name: "x", CheckpointEvery: time.Second, Workers: 2}
		// The one that dies: after some records its notebook and its store are out of its reach, and it can say nothing.
		dying := &mortal{Memory: w.store, book: book, lives: 120}
		dead, stop := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		gone.Go(func() {
			_, _ = rekey.SweepShared(dead, w.client, splittingStore{dying}, rekey.Shared{Notebook: dying, Parts: 4, Lease: 10 * time.Second}, o)
		})
		synctest.Wait()
		time.Sleep(3 * time.Second) //nolint:forbidigo // a fake clock
		began := time.Now()
		report, err := rekey.SweepShared(t.Context(), w.client, splitting{w.store}, sh, o)
		require.NoError(t, err)
		require.True(t, report.Complete)
		require.LessOrEqual(t, time.Since(began), 15*time.Second, "taken over within its time")
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second, "and not before")
		for i := range n {
			w.mustHold(t, i)
		}
		stop()
		gone.Wait()
	})
}

// mortal is a process's view of a store and a notebook, until it dies.
type mortal struct {
	*rekeytest.Memory
	book  rekey.Notebook
	lives int64
	swaps atomic.Int64
}

func (m *mortal) dead(ctx context.Context) {
	if m.swaps.Load() >= m.lives {
		<-ctx.Done()
	}
}

func (m *mortal) Swap(ctx context.Context, id string, prev, next []byte) error {
	m.dead(ctx)
	m.swaps.Add(1)
	return m.Memory.Swap(ctx, id, prev, next)
}

func (m *mortal) Read(ctx context.Context, name string) ([]byte, int64, error) {
	m.dead(ctx)
	return m.book.Read(ctx, name)
}

func (m *mortal) Write(ctx context.Context, name string, text []byte, revision int64) error {
	m.dead(ctx)
	return m.book.Write(ctx, name, text, revision)
}

type splittingStore struct{ *mortal }

func (s splittingStore) Split(ctx context.Context, n int) ([]rekey.Range, error) {
	return splitting{s.Memory}.Split(ctx, n)
}

func TestRunGoesOnFromACursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 100)
	part := rekey.Range{After: idOf(9), Through: idOf(89)}
	var cursors []string
	report, err := rekey.Run(t.Context(), w.client, w.store, part, "", func(c string) { cursors = append(cursors, c) }, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 80, report.Renewed)
	require.Equal(t, idOf(89), cursors[len(cursors)-1])
	report, err = rekey.Run(t.Context(), w.client, w.store, part, idOf(50), nil, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 39, report.AlreadyNew)
	require.True(t, report.Complete)
}

func TestSharedSweepsRefuseWhatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := rekey.SweepShared(t.Context(), w.client, w.store, rekey.Shared{}, rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	book := new(rekey.MemoryNotebook)
	require.NoError(t, book.Write(t.Context(), "sweep/x/plan", []byte("{}"), 0))
	_, err = rekey.SweepShared(t.Context(), w.client, w.store, rekey.Shared{Notebook: book}, rekey.Options{Name: "x"})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.SweepShared(t.Context(), w.client, w.store, rekey.Shared{Notebook: new(rekey.MemoryNotebook)}, rekey.Options{ListQuarantined: -1})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.SweepShared(t.Context(), w.client, w.store, rekey.Shared{Notebook: new(rekey.MemoryNotebook)}, rekey.Options{Fleet: &rekey.Fleet{}})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Fleet: &rekey.Fleet{}})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Window: rekey.Window{From: -1}})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.Retry(t.Context(), w.client, w.store, nil, rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}
