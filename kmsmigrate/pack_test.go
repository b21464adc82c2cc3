package kmsmigrate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func TestPackedValuesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, values := range [][][]byte{{}, {nil}, {{}}, {nil, {}, []byte("a"), make([]byte, 300)}} {
		got, err := kmsmigrate.Unpack(kmsmigrate.Pack(values...), len(values))
		require.NoError(t, err)
		require.Len(t, got, len(values))
		for i := range values {
			require.Equal(t, values[i] == nil, got[i] == nil)
			require.Equal(t, string(values[i]), string(got[i]))
		}
	}
	packed := kmsmigrate.Pack([]byte("a"), []byte("b"))
	for _, n := range []int{0, 1, 3} {
		_, err := kmsmigrate.Unpack(packed, n)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	_, err := kmsmigrate.Unpack(packed, -1)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	for n := range packed {
		_, err := kmsmigrate.Unpack(packed[:n], 2)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(kmsmigrate.Pack([]byte("a"), nil, []byte{}), 3)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 1)
	f.Fuzz(func(t *testing.T, packed []byte, n int) {
		n &= 7
		values, err := kmsmigrate.Unpack(packed, n)
		if err != nil {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			return
		}
		again, err := kmsmigrate.Unpack(kmsmigrate.Pack(values...), n)
		require.NoError(t, err)
		require.Equal(t, values, again)
	})
}
