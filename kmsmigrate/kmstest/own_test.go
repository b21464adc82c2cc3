package kmstest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
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

func TestOurOwnClientsSendFakeCredentialsNowhereElse(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	further, _ := cloud.CreateAccessKey()
	ck := newClientKey(t, instance)
	require.True(t, strings.HasPrefix(ck.ID, "KAAP."+kmstest.CredentialPrefix))
	for _, host := range []string{"kms.cn-shanghai.aliyuncs.com", "kms.cn-shanghai.aliyuncs.com:443", "192.0.2.1:8443", "[2001:db8::1]:443", "localhost.example.com"} {
		for _, id := range []string{region.GatewayConfig().AccessKeyID, further, cloud.AssumeRole().AccessKeyID} {
			require.True(t, strings.HasPrefix(id, kmstest.CredentialPrefix))
			shared := region.GatewayConfig()
			shared.AccessKeyID, shared.Endpoint, shared.CAPEM = id, host, nil
			_, err := alikms.NewGateway(shared)
			require.ErrorContains(t, err, "fake KMS", host)
			require.NotContains(t, err.Error(), shared.AccessKeySecret)
		}
		rpc := instance.RPCConfig()
		rpc.Endpoint = host
		_, err := alikms.NewGateway(rpc)
		require.ErrorContains(t, err, "fake KMS", host)
		own := instance.InstanceConfig(ck)
		own.Endpoint = host
		_, err = alikms.NewInstance(own)
		require.ErrorContains(t, err, "fake KMS", host)
		require.NotContains(t, err.Error(), ck.Password)
	}
	// It is the prefix that is refused: the same config with another id is taken.
	real := region.GatewayConfig()
	real.AccessKeyID, real.Endpoint, real.CAPEM = "LTAIexample", "kms.cn-shanghai.aliyuncs.com", nil
	gateway, err := alikms.NewGateway(real)
	require.NoError(t, err)
	require.NoError(t, gateway.Close())
	require.Zero(t, cloud.Count(kmstest.Match{}))
}
