package alikms_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// TestACertificateIsCheckedUnlessToldOtherwise leaves the CA of the fake away.
func TestACertificateIsCheckedUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key, err := w.instance.CreateKey(kmstest.KeySpec{})
	require.NoError(t, err)
	for _, unchecked := range []bool{false, true} {
		overRPC := w.gatewayConfig()
		overRPC.CAPEM, overRPC.InsecureSkipVerify, overRPC.Limits.Attempts = nil, unchecked, 1
		gateway, err := alikms.NewGateway(overRPC)
		require.NoError(t, err)
		_, err = gateway.Raw(t.Context(), alikms.RawCall{Action: "ListKeys"})
		if unchecked {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		}
		require.NoError(t, gateway.Close())

		direct := w.instanceConfig()
		direct.CAPEM, direct.InsecureSkipVerify = nil, unchecked
		instance, err := alikms.NewInstance(direct)
		if !unchecked {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			continue
		}
		require.NoError(t, err)
		_, err = instance.AdvanceEncrypt(t.Context(), key.ID(), []byte("p"), alikms.Binding{})
		require.NoError(t, err)
		require.NoError(t, instance.Close())
	}
}
