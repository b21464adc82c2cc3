package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The mutants themselves take minutes, so the gate does not run them. It sees at least that code which moves takes its guard along.
func TestEveryGuardStandsOnceWhereTheListSays(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(m.file)))
		require.NoError(t, err, m.invariant)
		require.Equal(t, 1, strings.Count(string(source), m.guard), "%s: %s: %q", m.invariant, m.file, m.guard)
		require.NotEqual(t, m.guard, m.broken, m.invariant)
	}
}
