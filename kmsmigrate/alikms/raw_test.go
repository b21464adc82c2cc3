package alikms_test

import (
	"encoding/json"
	"testing"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func rawGateway(t *testing.T, w *world) *alikms.Gateway {
	t.Helper()
	gateway, err := alikms.NewGateway(w.gatewayConfig())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	return gateway
}

func TestRawCarriesOutAnyOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key, err := w.region.CreateKey(kmstest.KeySpec{})
	require.NoError(t, err)
	gateway := rawGateway(t, w)
	body, err := gateway.Raw(t.Context(), alikms.RawCall{Action: "DescribeKey", Parameters: map[string]string{"KeyId": key.ID(), "Empty": ""}})
	require.NoError(t, err)
	var described struct{ KeyMetadata struct{ KeyID string } }
	require.NoError(t, json.Unmarshal(body, &described))
	require.Equal(t, key.ID(), described.KeyMetadata.KeyID)

	_, err = gateway.Raw(t.Context(), alikms.RawCall{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = gateway.Raw(t.Context(), alikms.RawCall{Action: "DescribeKey", Parameters: map[string]string{"KeyId": "key-of-nobody"}})
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
	var said *sdkerrors.ServerError
	require.ErrorAs(t, err, &said)
	require.Equal(t, "Forbidden.KeyNotFound", said.ErrorCode())
	require.NotEmpty(t, said.Message())
}

func TestRawRepeatsWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		w := newWorld(t, kmstest.Config{})
		gateway := rawGateway(t, w)
		w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "ListKeys"}, Status: 500, Code: "InternalFailure", Times: 1})
		_, err := gateway.Raw(t.Context(), alikms.RawCall{Action: "ListKeys", Once: once})
		if once {
			require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, map[bool]int{false: 2, true: 1}[once], w.cloud.Count(kmstest.Match{Action: "ListKeys"}))
	}
}

func TestRawShowsNothingOfWhatIsSecret(t *testing.T) {
	t.Parallel()
	const planted = "pl4nted-s3cret"
	w := newWorld(t, kmstest.Config{})
	gateway := rawGateway(t, w)
	w.cloud.Inject(kmstest.Fault{Status: 400, Code: "InvalidParameter", Message: "what is " + planted})
	_, err := gateway.Raw(t.Context(), alikms.RawCall{Action: "TagResource", Parameters: map[string]string{"Tags": planted}, Secret: []string{planted}})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	var said *sdkerrors.ServerError
	require.ErrorAs(t, err, &said)
	require.NotContains(t, err.Error()+said.Error(), "s3cret")
}

func TestRawTakesNoAnswerThatCannotBeRight(t *testing.T) {
	t.Parallel()
	for body, check := range map[kmstest.Body]func([]byte) string{
		kmstest.BodyEmpty: nil, kmstest.BodyNull: nil, kmstest.BodyTruncated: nil, kmstest.BodyHTML: nil,
		kmstest.BodyObject: func([]byte) string { return "it has no KeyId" },
	} {
		w := newWorld(t, kmstest.Config{})
		gateway := rawGateway(t, w)
		w.cloud.Inject(kmstest.Fault{Body: body, Status: 200})
		_, err := gateway.Raw(t.Context(), alikms.RawCall{Action: "ListKeys", Check: check})
		require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
		if check != nil {
			require.ErrorContains(t, err, "KeyId")
		}
	}
}
