package envelope_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func TestAppendingLeavesWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own": {}, "both": {WrapBoth: true}, "table": {Table: new(memoryTable)}, "three-line": {Layout: envelope.ThreeLine{}}, "blob": {Layout: envelope.Blob{}},
	} {
		e := newWorld(t, kmsmigrate.ReadBoth).envelope(t, cfg)
		for _, room := range []int{0, 5, 4096} {
			dst := append(make([]byte, 0, 5+room), "there"...)
			records, err := e.AppendSeal(t.Context(), dst, []byte("first"), customers)
			require.NoError(t, err, name)
			require.Equal(t, "there", string(records[:5]))
			at := len(records)
			records, err = e.AppendSeal(t.Context(), records, []byte("second"), customers)
			require.NoError(t, err)
			requireOpens(t, e, records[5:at], customers, "first")
			requireOpens(t, e, records[at:], customers, "second")

			opened, err := e.AppendOpen(t.Context(), dst, records[5:at:at], customers)
			require.NoError(t, err, "where there is room, the record stands in it")
			require.Equal(t, "therefirst", string(opened.Plaintext))
			into := append(make([]byte, 0, 64), "there"...)
			damaged := bytes.Clone(records[at:])
			damaged[len(damaged)-1] ^= 1
			opened, err = e.AppendOpen(t.Context(), into, damaged, customers)
			require.Error(t, err)
			require.Nil(t, opened.Plaintext)
			require.Equal(t, "there", string(into))
			require.Equal(t, make([]byte, 6), into[5:11], "nothing that was not authenticated")
		}
	}
}

func TestAppendingAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	w := newWorld(t, kmsmigrate.OldOnly)
	e := w.envelope(t, envelope.Config{})
	ctx, plaintext, room := context.Background(), make([]byte, 1000), make([]byte, 0, 2000)
	record := seal(t, e, string(plaintext), customers)
	require.Less(t, testing.AllocsPerRun(200, func() { _, _ = e.AppendSeal(ctx, room, plaintext, customers) }), 1.0)
	require.Less(t, testing.AllocsPerRun(200, func() { _, _ = e.AppendOpen(ctx, room, record, customers) }), 1.0)
}
