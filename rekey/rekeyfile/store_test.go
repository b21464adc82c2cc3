package rekeyfile_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeyfile"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func open(t *testing.T, cfg rekeyfile.Config) (string, *rekeyfile.Store) {
	t.Helper()
	dir := t.TempDir()
	store, err := rekeyfile.Open(dir, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return dir, store
}

func write(t *testing.T, dir, name, value string) string {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(value), 0o644))
	return file
}

func TestATreePassesTheSuite(t *testing.T) {
	t.Parallel()
	// In memory where there is such a place: the suite swaps thousands of files, and each is synced.
	dir, err := os.MkdirTemp("/dev/shm", "keyhaul")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	store, err := rekeyfile.Open(dir, rekeyfile.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, rekeytest.TestStore(t.Context(), rekeytest.Subject{
		Store: store, Missing: "a/missing", Empty: true,
		Delete: func(_ context.Context, id string) error { return os.Remove(filepath.Join(dir, filepath.FromSlash(id))) },
		Fill: func(_ context.Context, values [][]byte) error {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
			for i, value := range values {
				// Directories beside files whose names sort around their slash.
				name := filepath.Join(dir, []string{"a", "a.b", "a-b", "b/c/d", ""}[i%5], fmt.Sprintf("f%04d", i))
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(name, value, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}))
}

func TestModeAndTimesAreKept(t *testing.T) {
	t.Parallel()
	dir, store := open(t, rekeyfile.Config{})
	file := write(t, dir, "x/secret", "old")
	require.NoError(t, os.Chmod(file, 0o640))
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.Chtimes(file, then, then))
	require.NoError(t, store.Swap(t.Context(), "x/secret", []byte("old"), []byte("new")))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	require.True(t, info.ModTime().Equal(then), "%s", info.ModTime())
	left, err := filepath.Glob(filepath.Join(dir, "x", ".keyhaul-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNothingOutsideIsTouched(t *testing.T) {
	t.Parallel()
	dir, store := open(t, rekeyfile.Config{Match: func(path string) bool { return !strings.HasSuffix(path, ".tmp") }})
	outside := write(t, t.TempDir(), "outside", "old")
	write(t, dir, "inside", "old")
	write(t, dir, "skipped.tmp", "old")
	write(t, dir, ".keyhaul-left-over", "old")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "linked")))
	var ids []string
	for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
		require.NoError(t, err)
		ids = append(ids, rec.ID)
	}
	require.Equal(t, []string{"inside"}, ids)
	for _, id := range []string{"link", "linked/outside", "../outside", "/etc/passwd", "", "skipped.tmp", ".keyhaul-left-over"} {
		require.Error(t, store.Swap(t.Context(), id, []byte("old"), []byte("new")), id)
	}
	value, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "old", string(value))
	_, err = rekeyfile.Open(filepath.Join(dir, "no such directory"), rekeyfile.Config{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestHardLinksAreRefused(t *testing.T) {
	t.Parallel()
	dir, store := open(t, rekeyfile.Config{})
	file := write(t, dir, "a", "old")
	require.NoError(t, os.Link(file, filepath.Join(dir, "b")))
	require.ErrorIs(t, store.Swap(t.Context(), "a", []byte("old"), []byte("new")), rekey.ErrRefused)
}

func TestWritersThatTakeTheLockLoseNothing(t *testing.T) {
	t.Parallel()
	dir, writer := open(t, rekeyfile.Config{})
	sweeper, err := rekeyfile.Open(dir, rekeyfile.Config{}) // as another process has it
	require.NoError(t, err)
	defer func() { _ = sweeper.Close() }()
	write(t, dir, "a", "w0")
	var wg sync.WaitGroup
	var last string
	ctx, stop := context.WithCancel(t.Context())
	wg.Go(func() {
		for ctx.Err() == nil {
			if rec, err := sweeper.Get(ctx, "a"); err == nil {
				_ = sweeper.Swap(ctx, "a", rec.Value, append([]byte("swept "), rec.Value...))
			}
		}
	})
	for i := 1; i <= 50; i++ {
		last = fmt.Sprintf("w%d", i)
		require.NoError(t, writer.Write(t.Context(), "a", []byte(last), 0o644))
		rec, err := writer.Get(t.Context(), "a")
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(string(rec.Value), last), "%s was overwritten by %s", last, rec.Value)
	}
	stop()
	wg.Wait()
}

func TestATreeIsSwept(t *testing.T) {
	t.Parallel()
	dir, store := open(t, rekeyfile.Config{Context: func(path string) kmsmigrate.EncryptionContext {
		return kmsmigrate.EncryptionContext{"path": path}
	}})
	old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh})
	require.NoError(t, err)
	for i := range 50 {
		name := fmt.Sprintf("d%d/f%d", i%7, i)
		value, err := old.Encrypt(t.Context(), []byte(name), kmsmigrate.EncryptionContext{"path": name})
		require.NoError(t, err)
		write(t, dir, name, string(value))
	}
	report, err := rekey.Sweep(t.Context(), client, store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 50, report.Renewed)
	for rec, err := range store.Scan(t.Context(), rekey.Range{}) {
		require.NoError(t, err)
		plaintext, err := fresh.Decrypt(t.Context(), rec.Value, rec.Context)
		require.NoError(t, err)
		require.Equal(t, rec.ID, string(plaintext))
	}
}
