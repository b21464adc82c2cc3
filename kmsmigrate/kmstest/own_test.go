package kmstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

func requireOwnClient(t *testing.T, config alikms.GatewayConfig, id string) {
	t.Helper()
	gateway, err := alikms.NewGateway(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	key, err := gateway.Key(id)
	require.NoError(t, err)
	requireOwnRoundTrip(t, key)
}

func requireOwnInstance(t *testing.T, config alikms.InstanceConfig, id string) {
	t.Helper()
	instance, err := alikms.NewInstance(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, instance.Close()) })
	key, err := instance.Key(id)
	require.NoError(t, err)
	requireOwnRoundTrip(t, key)
}

func requireOwnRoundTrip(t *testing.T, key kmsmigrate.Key) {
	t.Helper()
	context := kmsmigrate.EncryptionContext{"a": "1"}
	blob, err := key.Encrypt(t.Context(), []byte("text"), context)
	require.NoError(t, err)
	back, err := key.Decrypt(t.Context(), blob, context)
	require.NoError(t, err)
	require.Equal(t, "text", string(back))
}
