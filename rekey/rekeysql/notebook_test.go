package rekeysql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestLongNamesOfNotesAreRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		table := d.table(t, db, "CREATE TABLE NAME (x INT)")
		book, err := rekeysql.OpenNotebook(t.Context(), db, table+"_notes")
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+table+"_notes") })
		long := strings.Repeat("ü", 191)
		require.ErrorIs(t, book.Write(t.Context(), long, []byte("x"), 0), kmsmigrate.ErrInvalid)
		_, _, err = book.Read(t.Context(), long)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.NoError(t, book.Write(t.Context(), long[2:], []byte("x"), 0))
		require.ErrorIs(t, book.Write(t.Context(), long[2:], []byte("y"), 0), rekey.ErrConflict)
		text, revision, err := book.Read(t.Context(), long[2:])
		require.NoError(t, err)
		require.Equal(t, "x", string(text))
		require.EqualValues(t, 1, revision)
	})
}
