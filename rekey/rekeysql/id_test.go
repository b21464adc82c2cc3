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

func FuzzPackedValuesAreReversible(f *testing.F) {
	f.Add([]byte("one"), []byte{}, true)
	f.Add([]byte{0x80, 0x80}, []byte{0xff}, false)
	f.Fuzz(func(t *testing.T, a, b []byte, null bool) {
		values := [][]byte{a, b}
		if a == nil || null {
			values[0] = nil
		}
		if b == nil {
			values[1] = []byte{}
		}
		back, err := unpack(pack(values), 2)
		require.NoError(t, err)
		for i := range values {
			require.Equal(t, values[i] == nil, back[i] == nil)
			require.Equal(t, string(values[i]), string(back[i]))
		}
		_, _ = unpack(a, 2)
		_, _ = unpack(a, 1)
	})
}
