package envelope_test

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// generating is a key of alikms as a kmsmigrate.DataKeyGenerator.
type generating struct{ kmsmigrate.Key }

func (g generating) GenerateDataKey(ctx context.Context, n int, ec kmsmigrate.EncryptionContext) (plaintext, ciphertext []byte, err error) {
	switch key := g.Key.(type) {
	case kmsmigrate.DataKeyGenerator:
		return key.GenerateDataKey(ctx, n, ec)
	case interface {
		GenerateDataKey(context.Context, int, kmsmigrate.EncryptionContext) (alikms.DataKey, error)
	}:
		made, err := key.GenerateDataKey(ctx, n, ec)
		return base64.StdEncoding.AppendEncode(nil, made.Plaintext), made.Ciphertext, err
	default:
		return nil, nil, kmsmigrate.ErrInvalid
	}
}

// At a service behind a socket: GenerateDataKey makes what is sealed with, the other side wraps the same text, and each side opens
// it alone.
func TestDataKeysComeFromAServiceOverTheWire(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cloud.Close() })
	at := func(region string) kmsmigrate.Key {
		r, err := cloud.Region(region)
		require.NoError(t, err)
		made, err := r.CreateKey(kmstest.KeySpec{})
		require.NoError(t, err)
		gateway, err := alikms.NewGateway(r.GatewayConfig())
		require.NoError(t, err)
		t.Cleanup(func() { _ = gateway.Close() })
		key, err := gateway.Key(made.ID())
		require.NoError(t, err)
		return generating{key}
	}
	old, next := at("cn-hangzhou"), at("cn-shanghai")
	count := func(action string) int { return cloud.Count(kmstest.Match{Action: action, OK: true}) }
	for name, layout := range map[string]envelope.Layout{"own": nil, "three-line": envelope.ThreeLine{}} {
		generated, encrypted := count("GenerateDataKey"), count("Encrypt")
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, old, next), Generate: true, Prove: true, WrapBoth: layout == nil, Layout: layout})
		record := seal(t, e, "over the wire", customers)
		require.Equal(t, generated+1, count("GenerateDataKey"), name)
		requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, old, nil), Layout: layout}), record, customers, "over the wire")
		if layout == nil && e.Stats().Single == 0 {
			require.Equal(t, encrypted+1, count("Encrypt"))
			requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, next)}), record, customers, "over the wire")
		}
	}
}
