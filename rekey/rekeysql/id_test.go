package rekeysql

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzIDsAreReversible(f *testing.F) {
	f.Add("1", "2")
	f.Add("", `"`)
	f.Add("\xff\x00", `a","b`)
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, parts := range [][]string{{a}, {a, b}, {a, b, a}} {
			id := formatID(parts)
			require.NotEmpty(t, id)
			back, err := parseID(id, len(parts))
			require.NoError(t, err)
			require.Equal(t, parts, back)
		}
		if parts, err := parseID(a, 2); err == nil { // whatever comes in, no panic
			require.Len(t, parts, 2)
		}
	})
}
