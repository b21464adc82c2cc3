package envelope

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// testdata/tjfoc.json was written by github.com/tjfoc/gmsm v1.4.1.
func TestWhatTJFocSealedOpensOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "tjfoc.json"))
	require.NoError(t, err)
	var all []struct{ Key, IV, AAD, Plaintext, Payload string }
	require.NoError(t, json.Unmarshal(text, &all))
	require.NotEmpty(t, all)
	for _, v := range all {
		key, iv, aad, payload := unhex(t, v.Key), unhex(t, v.IV), unhex(t, v.AAD), unhex(t, v.Payload)
		plaintext, ok := SM4OrTJFoc.open(key, iv, payload, aad)
		require.True(t, ok)
		require.Equal(t, unhex(t, v.Plaintext), plaintext)
		_, ok = SM4.open(key, iv, payload, aad)
		require.Equal(t, len(plaintext)+len(aad) == 0, ok, "with nothing to count, bytes are as good as bits")
		payload[len(payload)-1] ^= 1
		_, ok = SM4OrTJFoc.open(key, iv, payload, aad)
		require.False(t, ok)
	}
}

func TestWhatIsWrittenForTJFocIsRight(t *testing.T) {
	t.Parallel()
	value := SM4OrTJFoc.newValue(true)
	nonce, payload, err := SM4OrTJFoc.seal(value, true, []byte("right"), nil)
	require.NoError(t, err)
	plaintext, ok := SM4.open(value, nonce, payload, nil)
	require.True(t, ok)
	require.Equal(t, "right", string(plaintext))
}
