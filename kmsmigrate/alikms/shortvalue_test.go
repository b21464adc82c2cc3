package alikms_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// A context value of one character is a part of nearly every code. What the code means must not depend on it.
func TestShortContextValuesDoNotHideWhatACodeMeans(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key, other := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{UUID: true})
	for name, at := range map[string]keyMaker{"rpc": newGateway(t, w.rpcConfig()), "instance": newInstance(t, w.instanceConfig())} {
		k := keyAt(t, at, key.ID())
		for _, value := range []string{"a", "e", "de", "Key", "forbidden"} {
			ec := kmsmigrate.EncryptionContext{"v": value}
			blob, err := keyAt(t, at, other.ID()).Encrypt(t.Context(), []byte("x"), ec)
			require.NoError(t, err)
			for _, fault := range []struct {
				code   string
				status int
				means  error
			}{{"Forbidden.KeyNotFound", 404, kmsmigrate.ErrForeign}, {"InvalidParameter", 400, kmsmigrate.ErrForeign}, {"Rejected.Disabled", 409, kmsmigrate.ErrKeyState}, {"Forbidden.NoPermission", 403, kmsmigrate.ErrDenied}} {
				remove := w.cloud.Inject(kmstest.Fault{Status: fault.status, Code: fault.code})
				_, err = k.Decrypt(t.Context(), blob, ec)
				remove()
				require.ErrorIs(t, err, fault.means, "%s, %s", name, value)
				var typed *kmsmigrate.Error
				require.ErrorAs(t, err, &typed)
				require.Equal(t, fault.code, typed.Code)
			}
			remove := w.cloud.Inject(kmstest.Fault{Status: 404, Code: "Forbidden.No" + value})
			_, err = k.Decrypt(t.Context(), blob, ec)
			remove()
			require.ErrorIs(t, err, kmsmigrate.ErrDenied, "by its beginning")
			require.NotContains(t, err.Error(), "Forbidden.No"+value, "a code that nobody knows may be a quotation")
		}
	}
}
