package alikms_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// An answer can be well-formed JSON and still lack a part of the value, as when a proxy or a decoder mangles what is not
// UTF-8. The length of the ciphertext says how long the plaintext is.
func TestATruncatedValueIsNotAValue(t *testing.T) {
	t.Parallel()
	const keyID, version = "key-hzz62f1cb66fa42qopd9s", "key-hzz62f1cb66fa42qopd9s-17kedvabcd"
	const whole = "the whole plaintext"
	blob := []byte(version + strings.Repeat("\x00", 12) + whole + strings.Repeat("\x00", 16))
	answers := make(chan map[string]string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(<-answers)
	}))
	t.Cleanup(server.Close)
	gateway, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: "cn-hangzhou", Endpoint: server.Listener.Addr().String(), PlainHTTP: true, AccessKeyID: "id", AccessKeySecret: "secret",
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	key, err := gateway.Key(keyID)
	require.NoError(t, err)

	for plaintext, want := range map[string]error{whole: nil, whole[:5]: kmsmigrate.ErrBadAnswer, whole + "!": kmsmigrate.ErrBadAnswer, "": kmsmigrate.ErrBadAnswer} {
		answers <- map[string]string{"KeyId": keyID, "KeyVersionId": version, "Plaintext": plaintext, "RequestId": "1"}
		got, err := key.Decrypt(t.Context(), blob, nil)
		require.ErrorIs(t, err, want)
		if want == nil {
			require.Equal(t, whole, string(got))
		} else {
			require.Empty(t, got)
		}
	}
	for name, ciphertext := range map[string][]byte{"cut off": blob[:len(blob)-1], "of another length": append(blob, 0), "none": nil} {
		answers <- map[string]string{"KeyId": keyID, "KeyVersionId": version, "CiphertextBlob": kmsmigrate.EncodeBlob(ciphertext), "RequestId": "1"}
		_, err := key.Encrypt(t.Context(), []byte(whole), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, name)
	}

	generator, ok := key.(kmsmigrate.DataKeyGenerator)
	require.True(t, ok)
	wrapped := kmsmigrate.EncodeBlob([]byte(version + strings.Repeat("\x00", 12+4+16)))
	for text, want := range map[string]error{
		"AQ==": nil,
		"AR==": kmsmigrate.ErrBadAnswer, // the same byte, and another text: Decrypt would give back what was never returned
		"AQI=": kmsmigrate.ErrBadAnswer, // two bytes
		"AQ":   kmsmigrate.ErrBadAnswer,
		"":     kmsmigrate.ErrBadAnswer,
	} {
		answers <- map[string]string{"KeyId": keyID, "KeyVersionId": version, "Plaintext": text, "CiphertextBlob": wrapped, "RequestId": "1"}
		plaintext, ciphertext, err := generator.GenerateDataKey(t.Context(), 1, nil)
		require.ErrorIs(t, err, want, text)
		if want == nil {
			require.Equal(t, text, string(plaintext))
			require.Len(t, ciphertext, 68)
		} else {
			require.Nil(t, plaintext)
			require.Nil(t, ciphertext)
		}
	}
}
