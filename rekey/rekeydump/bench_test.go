package rekeydump_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey/rekeydump"
)

// BenchmarkRead tells how fast dumps are read, without declarations, which is the slowest way: every value is looked at.
func BenchmarkRead(b *testing.B) {
	k := newKeys(b)
	value, note := kmsmigrate.EncodeBlob(k.of(b, 0)), strings.Repeat("it''s a note. ", 20)
	var inserts, copies strings.Builder
	inserts.WriteString("CREATE TABLE `t` (`k` int, `v` text, `n` text);\n")
	copies.WriteString("CREATE TABLE public.t (k int, v text, n text);\nCOPY public.t (k, v, n) FROM stdin;\n")
	for i := range 20000 {
		fmt.Fprintf(&inserts, "INSERT INTO `t` VALUES (%d,'%s','%s');\n", i, value, note)
		fmt.Fprintf(&copies, "%d\t%s\t%s\n", i, value, note)
	}
	copies.WriteString("\\.\n")
	for name, dump := range map[string]string{"insert": inserts.String(), "copy": copies.String()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(dump)))
			for b.Loop() {
				_, err := rekeydump.Read(b.Context(), strings.NewReader(dump), rekeydump.Config{})
				require.NoError(b, err)
			}
		})
	}
	b.Run("memory", func(b *testing.B) { // what merely moving the bytes costs
		b.SetBytes(int64(inserts.Len()))
		dump := []byte(inserts.String())
		for b.Loop() {
			_, err := io.Copy(io.Discard, struct{ io.Reader }{bytes.NewReader(dump)})
			require.NoError(b, err)
		}
	})
}
