package kmstest_test

import (
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestMain(m *testing.M) {
	fakeprocess.Main()
	// The SDKs keep idle connections in pools of their own; what we own must be gone after Close.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func start(t *testing.T, config kmstest.Config) *kmstest.Cloud {
	t.Helper()
	cloud, err := kmstest.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	return cloud
}

func openRegion(t *testing.T, cloud *kmstest.Cloud, id string) *kmstest.Region {
	t.Helper()
	region, err := cloud.Region(id)
	require.NoError(t, err)
	return region
}

func regionClient(t *testing.T, r *kmstest.Region) *kms.Client {
	t.Helper()
	client, err := r.SDKClient()
	require.NoError(t, err)
	return client
}

func newKey(t *testing.T, create func(kmstest.KeySpec) (*kmstest.Key, error), spec kmstest.KeySpec) *kmstest.Key {
	t.Helper()
	key, err := create(spec)
	require.NoError(t, err)
	return key
}

func newInstance(t *testing.T, r *kmstest.Region, spec kmstest.InstanceSpec) *kmstest.Instance {
	t.Helper()
	instance, err := r.CreateInstance(spec)
	require.NoError(t, err)
	return instance
}

func newClientKey(t *testing.T, i *kmstest.Instance) *kmstest.ClientKey {
	t.Helper()
	ck, err := i.CreateClientKey()
	require.NoError(t, err)
	return ck
}
