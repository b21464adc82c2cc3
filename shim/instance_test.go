package shim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// TestAKeyMovesIntoAnInstance has the RPC face of an instance, of either kind, as the new side. It serves data operations alone, so control
// operations go to the gateway of its region.
func TestAKeyMovesIntoAnInstance(t *testing.T) {
	t.Parallel()
	for _, hardware := range []bool{false, true} {
		for _, sameRegion := range []bool{false, true} {
			w := newWorld(t)
			at := w.newAt
			if sameRegion {
				at = w.oldAt
			}
			instance, err := at.CreateInstance(kmstest.InstanceSpec{Name: "i", Hardware: hardware})
			require.NoError(t, err)
			key, err := instance.CreateKey(kmstest.KeySpec{})
			require.NoError(t, err)
			control := at.GatewayConfig()
			w.config.New, w.config.NewControl = instance.RPCConfig(), &control
			w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": key.ID(), w.old.ID(): key.ID()}}
			old := encryptOld(t, w, "hello", `{"a":"1"}`)

			for _, client := range []any{w.client(t, w.transport(t, kmsmigrate.Rewrite)), w.migrating(t, kmsmigrate.Rewrite)} {
				w.cloud.ResetEvidence()
				made, err := plain(t, client, "GenerateDataKey", "JSON", map[string]string{"KeyId": "alias/app"})
				require.NoError(t, err)
				back, err := plain(t, client, "Decrypt", "XML", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob")})
				require.NoError(t, err)
				require.Equal(t, text(t, made, "Plaintext"), text(t, back, "Plaintext"))
				require.Equal(t, 2, w.cloud.Count(instance.Match()))

				moved, err := plain(t, client, "ReEncrypt", "JSON", map[string]string{"CiphertextBlob": old, "SourceEncryptionContext": `{"a":"1"}`, "DestinationKeyId": "alias/app"})
				require.NoError(t, err)
				back, err = plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, moved, "CiphertextBlob")})
				require.NoError(t, err)
				require.Equal(t, "hello", text(t, back, "Plaintext"))
				require.Equal(t, key.ID(), text(t, back, "KeyId"))

				described, err := plain(t, client, "DescribeKey", "JSON", map[string]string{"KeyId": key.ID()})
				require.NoError(t, err)
				require.Contains(t, string(described.GetHttpContentBytes()), instance.ID)
				require.Equal(t, 4, w.cloud.Count(instance.Match()), "the instance was not asked to describe it")
			}
		}
	}
}
