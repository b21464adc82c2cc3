package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func TestAMigrationLosesNothingAndCallsTheKMSThriftily(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code, err := run(t.Context(), []string{"-rows", "300", "-json"}, &out, io.Discard)
	require.NoError(t, err)
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var got result
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &got), "the last line is the object")
	require.Equal(t, 300, got.Rows)
	require.Equal(t, int64(300), got.OldBefore)
	require.Zero(t, got.OldAfter)
	require.Equal(t, int64(300), got.NewAfter)
	require.Zero(t, got.Lost)
	require.Zero(t, got.Mismatched)
	require.Zero(t, got.Quarantined)
	require.Positive(t, got.ForegroundReads)
	require.Positive(t, got.ForegroundWrites)
	require.LessOrEqual(t, got.SweepKMSCallsOld+got.SweepKMSCallsNew, int64(3*got.DistinctDataKeys))
	require.NotContains(t, out.String(), "\x1b", "no control bytes in a pipe")
}

func TestADatabaseIsKeptWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kept.db")
	code, err := run(t.Context(), []string{"-rows", "1", "-db", file}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.Zero(t, code)
	require.FileExists(t, file)
	code, err = run(t.Context(), []string{"-rows", "1", "-db", file}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "exists", "and it is not written over")
	require.Equal(t, 2, code)
}

func TestWrongFlagsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-rows", "0"}, {"-rows", "-5"}, {"-rows", "many"}, {"customers"}, {"-nonsense"}} {
		var errs bytes.Buffer
		code, err := run(t.Context(), args, io.Discard, &errs)
		require.Equal(t, 2, code, args)
		require.True(t, err != nil || errs.Len() > 0, args)
	}
	code, err := run(t.Context(), []string{"-h"}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.Zero(t, code)
	_, err = run(t.Context(), []string{"-rows", "1", "-db", filepath.Join(os.DevNull, "x")}, io.Discard, io.Discard)
	require.Error(t, err)
}

func TestAnInterruptedMigrationEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, err := run(ctx, []string{"-rows", "10"}, io.Discard, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, code)
}

// The final check must be able to fail.
func TestTheCheckFindsWhatIsLostOrWrong(t *testing.T) {
	t.Parallel()
	w, err := newWorld(t.Context(), filepath.Join(t.TempDir(), "x.db"), 5)
	require.NoError(t, err)
	defer w.close()
	s := &story{world: w, out: io.Discard, bars: newProgress(io.Discard), ledger: newLedger(5)}
	env, closeKeys, err := w.envelope(t.Context(), kmsmigrate.NewOnly, false)
	require.NoError(t, err)
	defer closeKeys()
	for id := int64(1); id <= 4; id++ { // the fifth is gone
		content := text(id, 0)
		if id == 2 {
			content = text(id, 7) // not what the ledger says
		}
		record, err := env.Seal(t.Context(), []byte(content), nil)
		require.NoError(t, err)
		if id == 3 {
			record[len(record)-8] ^= 1 // damaged
		}
		_, err = w.db.ExecContext(t.Context(), `INSERT INTO customers (id, secret) VALUES (?, ?)`, id, string(record))
		require.NoError(t, err)
	}
	require.NoError(t, s.check(t.Context()))
	require.Equal(t, int64(2), s.result.Lost, "the damaged one and the missing one")
	require.Equal(t, int64(1), s.result.Mismatched)
	require.Error(t, s.problem)
	require.NotContains(t, s.problem.Error(), "card 4000", "no plaintext in an error")
}
