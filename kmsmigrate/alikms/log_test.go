package alikms_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestTheLogHoldsAttemptsAndNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	var log bytes.Buffer
	cfg := w.gatewayConfig()
	cfg.Observer = alikms.LogAttempts(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	k := keyAt(t, newGateway(t, cfg), key.ID())
	_, err := k.Encrypt(t.Context(), []byte(plantedText), plantedContext())
	require.NoError(t, err)
	w.cloud.Inject(kmstest.Fault{Match: w.region.Match(), Status: 409, Code: "Rejected.Disabled", Message: plantedText})
	_, err = k.Encrypt(t.Context(), []byte(plantedText), plantedContext())
	require.Error(t, err)
	require.Contains(t, log.String(), "level=DEBUG")
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "Rejected.Disabled")
	require.NotContains(t, log.String(), "planted")
	_, secret := w.cloud.Credentials()
	require.NotContains(t, log.String(), secret)
}
