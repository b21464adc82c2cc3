package consumers_test

import (
	"io"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/aliyun/aliyun-oss-go-sdk/oss"
	osscrypto "github.com/aliyun/aliyun-oss-go-sdk/oss/crypto"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// cryptoBucket is the application's code, as the OSS SDK's sample has it. It holds a concrete *kms.Client.
func cryptoBucket(t *testing.T, endpoint string, client *kms.Client) *osscrypto.CryptoBucket {
	t.Helper()
	storage, err := oss.New(endpoint, "storage-id", "storage-secret")
	require.NoError(t, err)
	master, err := osscrypto.CreateMasterAliKms(map[string]string{"desc": "of the application"}, "alias/app", client)
	require.NoError(t, err)
	bucket, err := osscrypto.GetCryptoBucket(storage, "bucket", osscrypto.CreateAesCtrCipher(master))
	require.NoError(t, err)
	return bucket
}

func read(t *testing.T, bucket *osscrypto.CryptoBucket, name string, options ...oss.Option) (string, error) {
	t.Helper()
	body, err := bucket.GetObject(name, options...)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	return string(text), nil
}

// TestAnOSSCryptoBucketMigratesByOneLine goes through the phases. The line is client.SetTransport.
func TestAnOSSCryptoBucketMigratesByOneLine(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	oldAt, err := cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	newAt, err := cloud.Region("cn-shanghai")
	require.NoError(t, err)
	_, err = oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"})
	require.NoError(t, err)
	newKey, err := newAt.CreateKey(kmstest.KeySpec{Alias: "alias/app-new"})
	require.NoError(t, err)
	objects, endpoint := startStore(t)

	plain := map[kmsmigrate.Side]*osscrypto.CryptoBucket{}
	for side, at := range map[kmsmigrate.Side]*kmstest.Region{kmsmigrate.SideOld: oldAt, kmsmigrate.SideNew: newAt} {
		client, err := at.SDKClient()
		require.NoError(t, err)
		plain[side] = cryptoBucket(t, endpoint, client)
	}
	const text = "what is in the object"
	require.NoError(t, plain[kmsmigrate.SideOld].PutObject("before", strings.NewReader(text)))

	written := map[string]kmsmigrate.Side{"before": kmsmigrate.SideOld}
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly} {
		transport, err := shim.NewTransport(shim.Config{
			Phase: phase, Old: oldAt.GatewayConfig(), New: newAt.GatewayConfig(), Keys: kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": newKey.ID()}},
		})
		require.NoError(t, err)
		client, err := oldAt.SDKClient()
		require.NoError(t, err)
		client.SetTransport(transport) // the line
		bucket := cryptoBucket(t, endpoint, client)

		cloud.ResetEvidence()
		require.NoError(t, bucket.PutObject(phase.String(), strings.NewReader(text)))
		written[phase.String()] = phase.Writes()
		require.Equal(t, phase.Writes() == kmsmigrate.SideOld, cloud.Count(oldAt.Match()) > 0, phase)
		require.Equal(t, phase.Writes() == kmsmigrate.SideNew, cloud.Count(newAt.Match()) > 0, phase)

		for name, side := range written {
			got, err := read(t, bucket, name)
			if !phase.Reads(side) {
				require.ErrorContains(t, err, "Forbidden.KeyNotFound", "%s in %s", name, phase)
				continue
			}
			require.NoError(t, err, "%s in %s", name, phase)
			require.Equal(t, text, got)
			got, err = read(t, bucket, name, oss.Range(8, 9))
			require.NoError(t, err)
			require.Equal(t, text[8:10], got)

			// The shim taken out again: the plain SDK, with the side's own credentials.
			got, err = read(t, plain[side], name)
			require.NoError(t, err, "%s without the shim", name)
			require.Equal(t, text, got)
		}
		require.NoError(t, transport.Close())
	}
	require.False(t, objects.holds(text), "it was encrypted")
}
