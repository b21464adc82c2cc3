package envelope_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// What crypto/cipher allows, sealing and opening in one buffer, works here too, and in any place of the buffer.
func TestAppendingOverTheInputReadsItFirst(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own": {}, "SM4": {Suite: envelope.SM4GCM}, "table": {Table: new(memoryTable)}, "three-line": {Layout: envelope.ThreeLine{}}, "blob": {Layout: envelope.Blob{}},
	} {
		e := newWorld(t, kmsmigrate.WriteNew).envelope(t, cfg)
		for _, n := range []int{1, 19, 100, 3000} {
			for _, at := range []int{0, 1, 7, 150, 400} {
				for _, there := range []int{0, 5} {
					about := fmt.Sprint(name, " ", n, " bytes at ", at, " behind ", there)
					want := bytes.Repeat([]byte("4000 0000 0000 0002 "), n/20+1)[:n]
					buf := make([]byte, 16384)
					copy(buf, "there")
					input := buf[there+at:][:n]
					copy(input, want)
					out, err := e.AppendSeal(t.Context(), buf[:there], input, customers)
					require.NoError(t, err, about)
					require.Equal(t, "there"[:there], string(out[:there]), about)
					requireOpens(t, e, out[there:], customers, string(want))
					require.Same(t, &buf[0], &out[0], "dst had room")

					record := bytes.Clone(out[there:])
					copy(buf, "there")
					input = buf[there+at:][:len(record)]
					copy(input, record)
					input[len(input)-2] ^= 1
					damaged := bytes.Clone(buf)
					_, err = e.AppendOpen(t.Context(), buf[:there], input, customers)
					require.Error(t, err, about)
					require.Equal(t, damaged, buf, "%s: a record that does not open stays", about)
					copy(input, record)
					opened, err := e.AppendOpen(t.Context(), buf[:there], input, customers)
					require.NoError(t, err, about)
					require.Equal(t, "there"[:there]+string(want), string(opened.Plaintext), about)
				}
			}
		}
	}
}
