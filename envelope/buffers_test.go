package envelope_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// Two callers ask for one data key. The first, whose slices the shared call began with, gives up and reuses them while the call is
// under way. The second must get its plaintext all the same.
func TestASharedCallOutlivesTheBuffersOfWhoBeganIt(t *testing.T) {
	t.Parallel()
	old, next := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
	arrived, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	slow := keytest.Intercept(next, func(_ context.Context, call keytest.Call, do func() ([]byte, error)) ([]byte, error) {
		if call.Op == "decrypt" && calls.Add(1) == 1 {
			close(arrived)
			<-release
		}
		return do()
	})
	ec := kmsmigrate.EncryptionContext{"tenant": "north"}
	record := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.WriteNew, old, next)}), "a record", ec)
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.WriteNew, old, slow)})

	mine, mineContext := append([]byte(nil), record...), ec.Clone()
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := e.Open(ctx, mine, mineContext)
		first <- err
	}()
	<-arrived
	giveUp()
	require.ErrorIs(t, <-first, context.Canceled)
	second := make(chan error, 1)
	var plaintext []byte
	go func() {
		opened, err := e.Open(t.Context(), record, ec)
		plaintext = opened.Plaintext
		second <- err
	}()
	clear(mine)
	mineContext["tenant"] = "south"
	close(release)
	require.NoError(t, <-second)
	require.Equal(t, "a record", string(plaintext))
	require.Equal(t, int64(1), calls.Load(), "it was one call")
}
