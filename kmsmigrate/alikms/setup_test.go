package alikms_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// fail is how a test binary ends that was started as a client.
func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestMain(m *testing.M) {
	fakeprocess.Main()
	if os.Getenv(roleProcess) != "" {
		os.Exit(serveRole())
	}
	if os.Getenv(proxiedProcess) != "" {
		os.Exit(serveProxied())
	}
	// Tests here wait much more than they compute: for deadlines, and for the pauses between attempts.
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	goleak.VerifyTestMain(m)
}

// world is a cloud with a region, an instance in it, and a ClientKey.
type world struct {
	cloud     *kmstest.Cloud
	region    *kmstest.Region
	instance  *kmstest.Instance
	clientKey *kmstest.ClientKey
}

func newWorld(tb testing.TB, config kmstest.Config) *world {
	tb.Helper()
	var w world
	var err error
	w.cloud, err = kmstest.Start(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, w.cloud.Close()) })
	w.region, err = w.cloud.Region("cn-hangzhou")
	require.NoError(tb, err)
	w.instance, err = w.region.CreateInstance(kmstest.InstanceSpec{})
	require.NoError(tb, err)
	w.clientKey, err = w.instance.CreateClientKey()
	require.NoError(tb, err)
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

func newGateway(tb testing.TB, cfg alikms.GatewayConfig) *alikms.Gateway {
	tb.Helper()
	g, err := alikms.NewGateway(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, g.Close()) })
	return g
}

func newInstance(tb testing.TB, cfg alikms.InstanceConfig) *alikms.Instance {
	tb.Helper()
	i, err := alikms.NewInstance(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, i.Close()) })
	return i
}

func makeKey(tb testing.TB, create func(kmstest.KeySpec) (*kmstest.Key, error), spec kmstest.KeySpec) *kmstest.Key {
	tb.Helper()
	key, err := create(spec)
	require.NoError(tb, err)
	return key
}

// keyMaker is what Gateway and Instance have in common.
type keyMaker interface {
	Key(id string) (kmsmigrate.Key, error)
}

func keyAt(tb testing.TB, at keyMaker, id string) kmsmigrate.Key {
	tb.Helper()
	key, err := at.Key(id)
	require.NoError(tb, err)
	return key
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

func openGateway(cfg alikms.GatewayConfig) func(testing.TB) keyMaker {
	return func(tb testing.TB) keyMaker {
		tb.Helper()
		return newGateway(tb, cfg)
	}
}

func openInstance(cfg alikms.InstanceConfig) func(testing.TB) keyMaker {
	return func(tb testing.TB) keyMaker {
		tb.Helper()
		return newInstance(tb, cfg)
	}
}
