package envelope_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestFlushReachesACallThatIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{"own": {}, "layout": {Layout: envelope.ThreeLine{}}, "table": {Table: new(memoryTable)}, "both": {WrapBoth: true}} {
		w := newWorld(t, kmsmigrate.OldOnly)
		record := seal(t, w.envelope(t, cfg), "x", nil)
		arrived, release := make(chan struct{}, 8), make(chan struct{})
		slow := keytest.Intercept(w.old, func(_ context.Context, call keytest.Call, do func() ([]byte, error)) ([]byte, error) {
			out, err := do()
			if call.Op == "decrypt" {
				arrived <- struct{}{}
				<-release
			}
			return out, err
		})
		cfg.Keys = clientOf(t, kmsmigrate.ReadBoth, slow, w.new)
		e := newEnvelope(t, cfg)
		first := make(chan error, 1)
		go func() {
			_, err := e.Open(t.Context(), record, nil)
			first <- err
		}()
		<-arrived
		e.Flush()
		w.old.Disable()
		second := make(chan error, 1)
		go func() { // who comes now is not served by what was asked before
			_, err := e.Open(t.Context(), record, nil)
			second <- err
		}()
		<-arrived
		close(release)
		require.NoError(t, <-first, "%s: who waited is served", name)
		require.ErrorIs(t, <-second, kmsmigrate.ErrKeyState, name)
		_, err := e.Open(t.Context(), record, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrKeyState, "%s: nothing was kept", name)
	}
}
