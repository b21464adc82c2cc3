package rekeyfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey/rekeyfile"
)

func TestAStoreTellsItsDirectoryAndThatItChooses(t *testing.T) {
	t.Parallel()
	open := func(dir string, cfg rekeyfile.Config) *rekeyfile.Store {
		t.Helper()
		store, err := rekeyfile.Open(dir, cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	all := open(dir, rekeyfile.Config{})
	require.Empty(t, all.Condition())
	require.Equal(t, all.Identity(), open(link, rekeyfile.Config{}).Identity())
	require.NotEqual(t, all.Identity(), open(t.TempDir(), rekeyfile.Config{}).Identity())
	some := open(dir, rekeyfile.Config{Match: func(string) bool { return true }})
	require.NotEmpty(t, some.Condition())
	require.NotEqual(t, all.Identity(), some.Identity())
}
