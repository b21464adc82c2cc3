package kmstest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A thousand out of some thirty thousand free ports would meet again more than a dozen times by chance.
func TestNoTwoInstancesOfAProcessEverShareAnAddress(t *testing.T) {
	t.Parallel()
	cloud, err := Start(Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, cloud.Close()) }()
	seen := map[string]bool{}
	last := ""
	for range 1000 {
		l, err := cloud.listen("", true)
		require.NoError(t, err)
		last = l.Addr().String()
		require.NoError(t, l.Close())
		require.False(t, seen[last], last)
		seen[last] = true
	}
	again, err := cloud.listen(last, true)
	require.NoError(t, err, "a state file's address is taken all the same")
	require.Equal(t, last, again.Addr().String())
	require.NoError(t, again.Close())
}
