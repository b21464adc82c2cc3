package rekey_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// BenchmarkLazyRead compares the lazy read of a record that is new already with opening it directly. The budget is 1.1.
func BenchmarkLazyRead(b *testing.B) {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{}), New: keytest.New(keytest.Config{})})
	require.NoError(b, err)
	env, err := envelope.New(envelope.Config{Keys: client})
	require.NoError(b, err)
	defer env.Close()
	value, err := env.Seal(b.Context(), make([]byte, 300), nil)
	require.NoError(b, err)
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := env.Open(b.Context(), value, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	rekeyer, err := rekey.New(rekey.Config{Codec: env, Store: new(rekeytest.Memory)})
	require.NoError(b, err)
	b.Run("keyhaul", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rekeyer.Open(b.Context(), rekey.Record{ID: "1", Value: value}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
