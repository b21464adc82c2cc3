package alikms_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cloud with a region, an instance in it, and a ClientKey.
type world struct {
	cloud     *kmstest.Cloud
	region    *kmstest.Region
	instance  *kmstest.Instance
	clientKey *kmstest.ClientKey
}

func newWorld(t testing.TB, config kmstest.Config) *world {
	t.Helper()
	var w world
	var err error
	w.cloud, err = kmstest.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.cloud.Close()) })
	w.region, err = w.cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	w.instance, err = w.region.CreateInstance(kmstest.InstanceSpec{})
	require.NoError(t, err)
	w.clientKey, err = w.instance.CreateClientKey()
	require.NoError(t, err)
	return &w
}

func (w *world) gatewayConfig() alikms.GatewayConfig {
	id, secret := w.cloud.Credentials()
	return alikms.GatewayConfig{Region: w.region.ID, Endpoint: w.region.HTTPS, CAPEM: w.region.CA(), AccessKeyID: id, AccessKeySecret: secret}
}

// rpcConfig is the RPC face of the instance.
func (w *world) rpcConfig() alikms.GatewayConfig {
	cfg := w.gatewayConfig()
	cfg.Endpoint, cfg.CAPEM, cfg.Instance = w.instance.Addr, w.instance.CA(), w.instance.ID
	return cfg
}

func (w *world) instanceConfig() alikms.InstanceConfig {
	return alikms.InstanceConfig{
		Endpoint: w.instance.Addr, CAPEM: w.instance.CA(), ClientKey: w.clientKey.JSON, Password: w.clientKey.Password,
		Region: w.region.ID, Instance: w.instance.ID,
	}
}

func newGateway(t testing.TB, cfg alikms.GatewayConfig) *alikms.Gateway {
	t.Helper()
	g, err := alikms.NewGateway(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g
}

func newInstance(t testing.TB, cfg alikms.InstanceConfig) *alikms.Instance {
	t.Helper()
	i, err := alikms.NewInstance(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close()) })
	return i
}

func makeKey(t testing.TB, create func(kmstest.KeySpec) (*kmstest.Key, error), spec kmstest.KeySpec) *kmstest.Key {
	t.Helper()
	key, err := create(spec)
	require.NoError(t, err)
	return key
}

// keyMaker is what Gateway and Instance have in common.
type keyMaker interface {
	Key(id string) (kmsmigrate.Key, error)
}

func keyAt(t testing.TB, at keyMaker, id string) kmsmigrate.Key {
	t.Helper()
	key, err := at.Key(id)
	require.NoError(t, err)
	return key
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
