package alikms_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	dkmsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// Older transfer SDKs gave an instance the text of the context as additional data, not its digest, and whoever calls the instance
// SDK gives it what it likes. Nothing but the very same text opens that: neither the equal context, nor the same JSON in another order.
func TestDataThatIsBoundToARawTextOpensWithThatText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	official, err := dkms.NewClient(&dkmsapi.Config{
		Protocol: tea.String("https"), Endpoint: tea.String(w.instance.Addr), ClientKeyContent: tea.String(string(w.clientKey.JSON)),
		Password: tea.String(w.clientKey.Password), Ca: tea.String(string(w.instance.CA())), ReadTimeout: tea.Int(int(pools.Add(1)) + 60_000),
	})
	require.NoError(t, err)
	i, rpc := newInstance(t, w.instanceConfig()), newGateway(t, w.rpcConfig())
	k := keyAt(t, i, key.ID())
	const plaintext = "text that an older program wrote"
	context := kmsmigrate.EncryptionContext{"tenant": "a", "name": "b"}
	for _, raw := range []string{`{"tenant":"a","name":"b"}`, `{ "name" : "b", "tenant" : "a" }`, "Tool:bank-vaults", "\xff\x00 no text at all"} {
		sealed, err := official.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte(plaintext), Aad: []byte(raw)})
		require.NoError(t, err)
		blob := sealed.CiphertextBlob
		opened, err := i.AdvanceDecrypt(t.Context(), blob, alikms.Binding{Raw: raw})
		require.NoError(t, err, raw)
		require.Equal(t, plaintext, string(opened.Plaintext))
		require.Equal(t, key.ID(), opened.KeyID)

		for name, b := range map[string]alikms.Binding{"equal context": {Context: context}, "nothing": {}, "another text": {Raw: raw + " "}} {
			_, err := i.AdvanceDecrypt(t.Context(), blob, b)
			require.Error(t, err, name)
		}
		_, err = rpc.Decrypt(t.Context(), blob[3:], alikms.Binding{Raw: `{"tenant":"a","name":"b"}`})
		require.Error(t, err, "the OpenAPI takes the digest of what it is given")
		_, err = k.Decrypt(t.Context(), blob[3:], context)
		require.ErrorIs(t, err, kmsmigrate.ErrForeign, "and so does a Key: such data is moved with the typed operations")

		// The way out: open it with the text, and write it with the context.
		moved, err := k.Encrypt(t.Context(), opened.Plaintext, context)
		require.NoError(t, err)
		again, err := k.Decrypt(t.Context(), moved, context)
		require.NoError(t, err)
		require.Equal(t, plaintext, string(again))

		// The form without a version in front is bound in the same way.
		parts, err := official.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte(plaintext), Aad: []byte(raw)})
		require.NoError(t, err)
		opened, err = i.Decrypt(t.Context(), alikms.Parts{KeyID: key.ID(), IV: parts.Iv, Ciphertext: parts.CiphertextBlob, Algorithm: tea.StringValue(parts.Algorithm)}, alikms.Binding{Raw: raw})
		require.NoError(t, err)
		require.Equal(t, plaintext, string(opened.Plaintext))
	}
	// What Alibaba's Java transfer SDK wrote before 2023-03-10.
	minted, err := key.Mint([]byte(plaintext), []byte(`{"tenant":"a"}`))
	require.NoError(t, err)
	blob, err := kmsmigrate.DecodeBlob(minted)
	require.NoError(t, err)
	opened, err := i.AdvanceDecrypt(t.Context(), blob, alikms.Binding{Raw: `{"tenant":"a"}`})
	require.NoError(t, err)
	require.Equal(t, plaintext, string(opened.Plaintext))
	_, err = k.Decrypt(t.Context(), blob, kmsmigrate.EncryptionContext{"tenant": "a"})
	require.ErrorIs(t, err, kmsmigrate.ErrForeign)
}
