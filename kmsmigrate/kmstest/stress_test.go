package kmstest_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// Everything at once: calls on both faces, rotation, aliases, faults, quotas, the clock, evidence and state being saved. Run it with -race.
func TestCloudBearsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{StateFile: t.TempDir() + "/state.json"})
	region := openRegion(t, cloud, "cn-shanghai")
	instance := newInstance(t, region, kmstest.InstanceSpec{})
	outside, inside := newKey(t, region.CreateKey, kmstest.KeySpec{}), newKey(t, instance.CreateKey, kmstest.KeySpec{})
	gateway, err := alikms.NewGateway(region.GatewayConfig())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	native, err := alikms.NewInstance(instance.InstanceConfig(newClientKey(t, instance)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, native.Close()) })
	old, err := gateway.Key(outside.ID())
	require.NoError(t, err)
	moved, err := native.Key(inside.ID())
	require.NoError(t, err)

	const rounds = 30
	var group sync.WaitGroup
	failures := make(chan error, 1000)
	try := func(do func() error) {
		group.Go(func() {
			for range rounds {
				if err := do(); err != nil {
					failures <- err
				}
			}
		})
	}
	for range 4 {
		for _, key := range []kmsmigrate.Key{old, moved} {
			try(func() error {
				blob, err := key.Encrypt(t.Context(), []byte("text"), nil)
				if err != nil {
					return err
				}
				_, err = key.Decrypt(t.Context(), blob, nil)
				return err
			})
		}
	}
	try(outside.Rotate)
	try(inside.Rotate)
	try(func() error { _, err := region.CreateKey(kmstest.KeySpec{}); return err })
	try(func() error {
		cloud.Inject(kmstest.Fault{Match: region.Match(), Latency: time.Millisecond, Times: 1})()
		region.SetQuotas(kmstest.Quotas{kmstest.KeyReads: 1})
		cloud.Advance(time.Second)
		cloud.Requests(kmstest.Match{Action: "Encrypt"})
		cloud.Connections(kmstest.Match{})
		return nil
	})
	group.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	require.Len(t, outside.VersionIDs(), rounds+1)
	require.Equal(t, 4*rounds, cloud.Count(kmstest.Match{Face: kmstest.Protobuf, Action: "AdvanceDecrypt", OK: true}))
}

// Evidence may be printed by any test. It must not hold what the requests were trusted with.
func TestEvidenceHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	client := regionClient(t, region)
	const planted, context = "planted-plaintext", `{"planted":"context"}`
	blob := encryptWith(t, client, key.ID(), planted, context).CiphertextBlob
	_, err := decryptWith(client, blob, context)
	require.NoError(t, err)
	_, err = decryptWith(client, blob, `{"planted":"other"}`)
	require.Error(t, err)
	require.NotContains(t, err.Error(), planted)
	_, err = region.CreateSecret(kmstest.SecretSpec{Name: "s", Value: planted})
	require.NoError(t, err)
	_, err = secretValue(client, "s", "", "")
	require.NoError(t, err)
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.EncryptionContext = key.ID(), planted, "planted-broken"
	_, err = client.Encrypt(q)
	require.NotContains(t, err.Error(), "planted")
	text, err := json.Marshal(cloud.Requests(kmstest.Match{}))
	require.NoError(t, err)
	_, secret := cloud.Credentials()
	for _, word := range []string{"planted", secret, blob, "Signature"} {
		require.NotContains(t, string(text), word)
	}
}
