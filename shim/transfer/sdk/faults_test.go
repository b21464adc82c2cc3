package sdk_test

import (
	"encoding/base64"
	"testing"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim/transfer/sdk"
)

// both is the original and ours, on the same instance.
type both struct {
	s        *stage
	here     end
	original interface {
		Decrypt(request *kms.DecryptRequest) (*kms.DecryptResponse, error)
		Encrypt(request *kms.EncryptRequest) (*kms.EncryptResponse, error)
	}
	ours *sdk.KmsTransferClient
}

func newBoth(t *testing.T) both {
	t.Helper()
	s := newStage(t)
	s.arrived(t, "new-only")
	here := s.ends[0]
	original, err := here.instance.TransferClient(here.clientKey)
	require.NoError(t, err)
	ours, err := s.constructed(t, here.instance.SDKConfig(here.clientKey))
	require.NoError(t, err)
	return both{s, here, original, ours}
}

func code(t *testing.T, err error) string {
	t.Helper()
	var typed *sdkerrors.ServerError
	require.ErrorAs(t, err, &typed)
	require.NotEmpty(t, typed.Message())
	return typed.ErrorCode()
}

func decryptRequest(blob string) *kms.DecryptRequest {
	request := kms.CreateDecryptRequest()
	request.CiphertextBlob = blob
	return request
}

func TestAShortBlobIsAnErrorAndNotAPanic(t *testing.T) {
	b := newBoth(t)
	for _, blob := range []string{"YWJj", base64.StdEncoding.EncodeToString(make([]byte, 40))} {
		require.Panics(t, func() { _, _ = b.original.Decrypt(decryptRequest(blob)) })
		_, err := b.ours.Decrypt(decryptRequest(blob))
		require.Equal(t, "InvalidParameter", code(t, err))
	}
}

func TestADataKeyOutlivesARotationInBetween(t *testing.T) {
	b := newBoth(t)
	for _, action := range []string{"Encrypt", "GenerateDataKey"} {
		b.s.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Instance: b.here.instance.ID, Action: action}, Times: 1, After: func() {
			require.NoError(t, b.here.symmetric.Rotate())
		}})
	}
	request := kms.CreateGenerateDataKeyRequest()
	request.KeyId = "alias/shared"
	b.s.cloud.ResetEvidence()
	made, err := b.ours.GenerateDataKey(request)
	require.NoError(t, err)
	require.Equal(t, 1, b.s.cloud.Count(b.here.instance.Match()), "one call, where the original has two")
	back, err := b.original.Decrypt(decryptRequest(made.CiphertextBlob))
	require.NoError(t, err)
	require.Equal(t, made.Plaintext, back.Plaintext)
}

func TestErrorsOfAnInstanceHaveACode(t *testing.T) {
	b := newBoth(t)
	request := encryptRequest()
	request.KeyId, request.EncryptionContext = b.here.symmetric.ID(), `{"a":"1"}`
	made, err := b.ours.Encrypt(request)
	require.NoError(t, err)
	wrong := decryptRequest(made.CiphertextBlob)
	wrong.EncryptionContext = `{"a":"2"}`
	_, err = b.original.Decrypt(wrong)
	var typed *sdkerrors.ServerError
	require.ErrorAs(t, err, &typed)
	require.Empty(t, typed.ErrorCode(), "the original's")
	_, err = b.ours.Decrypt(wrong)
	require.Equal(t, "InvalidParameter", code(t, err))
}

func TestBytesThatAreNoTextAreNotChanged(t *testing.T) {
	b := newBoth(t)
	direct, err := alikms.NewInstance(b.here.instance.InstanceConfig(b.here.clientKey))
	require.NoError(t, err)
	defer func() { require.NoError(t, direct.Close()) }()
	sealed, err := direct.AdvanceEncrypt(t.Context(), b.here.symmetric.ID(), []byte{0xff, 0xfe}, alikms.Binding{})
	require.NoError(t, err)
	blob := base64.StdEncoding.EncodeToString(sealed.Ciphertext)
	changed, err := b.original.Decrypt(decryptRequest(blob))
	require.NoError(t, err)
	require.NotEqual(t, "\xff\xfe", changed.Plaintext, "the original's")
	_, err = b.ours.Decrypt(decryptRequest(blob))
	require.Equal(t, "UnsupportedOperation", code(t, err))
}

func TestADryRunDoesNothing(t *testing.T) {
	b := newBoth(t)
	request := encryptRequest()
	request.DryRun = "true"
	b.s.cloud.ResetEvidence()
	_, err := b.ours.Encrypt(request)
	require.Equal(t, "UnsupportedOperation", code(t, err))
	require.Zero(t, b.s.cloud.Count(kmstest.Match{}))
	request.KeyId = b.here.symmetric.ID()
	_, err = b.original.Encrypt(request)
	require.NoError(t, err, "the original encrypts")
	require.Equal(t, 1, b.s.cloud.Count(b.here.instance.Match()))
}

// TestContextsAreTheOriginals has each client open what the other bound to a context, the empty object included.
func TestContextsAreTheOriginals(t *testing.T) {
	b := newBoth(t)
	for _, context := range []string{"", "{}", `{"b":"2","a":"1&c=3"}`} {
		request := encryptRequest()
		request.KeyId, request.EncryptionContext = b.here.symmetric.ID(), context
		for _, pair := range []struct {
			from, to func(*kms.DecryptRequest) (*kms.DecryptResponse, error)
		}{{nil, b.ours.Decrypt}, {b.ours.Decrypt, b.original.Decrypt}} {
			encrypt := b.original.Encrypt
			if pair.from != nil {
				encrypt = b.ours.Encrypt
			}
			made, err := encrypt(request)
			require.NoError(t, err, context)
			back := decryptRequest(made.CiphertextBlob)
			back.EncryptionContext = context
			opened, err := pair.to(back)
			require.NoError(t, err, context)
			require.Equal(t, "hello", opened.Plaintext)
			require.Equal(t, made.KeyId, opened.KeyId)
		}
	}
}
