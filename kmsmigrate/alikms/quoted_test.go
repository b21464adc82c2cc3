package alikms

import (
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// A service that cuts what it quotes still shows most of a data key.
func TestAPartOfASecretIsNotShownEither(t *testing.T) {
	t.Parallel()
	const secret = "MzJieXRlc29mYWRhdGFrZXkhMzJieXRlc29mYWRhdGE="
	s := secrets{secret}
	for name, quoted := range map[string]string{
		"the beginning": secret[:24] + "...", "the middle": secret[10:20], "the end": secret[len(secret)-8:], "all": secret,
		"hex": hex.EncodeToString([]byte(secret))[:30], "base64": base64.StdEncoding.EncodeToString([]byte(secret))[:16],
	} {
		require.Empty(t, s.show(`The specified parameter Plaintext "`+quoted+`" is not valid.`), name)
	}
	const harmless = `The specified parameter "Plaintext" is not valid.`
	require.Equal(t, harmless, s.show(harmless))
	require.Equal(t, harmless, secrets{"x1", ""}.show(harmless))
	require.Empty(t, secrets{"x1"}.show("the value x1 is odd"), "short ones as a whole")
}
