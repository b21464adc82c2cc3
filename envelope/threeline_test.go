package envelope_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// sample writes and reads the three lines as the sample does: a program that has never heard of package envelope.
type sample struct{ key kmsmigrate.Key }

func (s sample) encrypt(tb testing.TB, wrappedText []byte, dataKey []byte, plaintext string) string {
	tb.Helper()
	blob, err := s.key.Encrypt(tb.Context(), wrappedText, nil)
	require.NoError(tb, err)
	block, err := aes.NewCipher(dataKey)
	require.NoError(tb, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(tb, err)
	iv := make([]byte, 12)
	rand.Read(iv)
	b64 := base64.StdEncoding.EncodeToString
	return b64(blob) + "\n" + b64(iv) + "\n" + b64(gcm.Seal(nil, iv, []byte(plaintext), nil))
}

func (s sample) decrypt(tb testing.TB, text string) string {
	tb.Helper()
	lines := strings.Split(text, "\n")
	blob, err := base64.StdEncoding.DecodeString(lines[0])
	require.NoError(tb, err)
	wrapped, err := s.key.Decrypt(tb.Context(), blob, nil)
	require.NoError(tb, err)
	dataKey, err := base64.StdEncoding.DecodeString(string(wrapped))
	require.NoError(tb, err)
	iv, err := base64.StdEncoding.DecodeString(lines[1])
	require.NoError(tb, err)
	payload, err := base64.StdEncoding.DecodeString(lines[2])
	require.NoError(tb, err)
	block, err := aes.NewCipher(dataKey)
	require.NoError(tb, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(tb, err)
	plaintext, err := gcm.Open(nil, iv, payload, nil)
	require.NoError(tb, err)
	return string(plaintext)
}

func TestTheSamplesRecordsAreReadRenewedAndStillTheSamples(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	dataKey := make([]byte, 32)
	rand.Read(dataKey)
	text := []byte(base64.StdEncoding.EncodeToString(dataKey))
	record := []byte(sample{w.old}.encrypt(t, text, dataKey, "an old record"))
	for _, tail := range []string{"", "\n"} {
		e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.ThreeLine{}}})
		record := append(record, tail...)
		require.True(t, requireOpens(t, e, record, nil, "an old record").Stale)
		renewed, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err)
		require.Equal(t, "an old record", sample{w.new}.decrypt(t, string(renewed.Ciphertext)))
		require.True(t, strings.HasSuffix(string(renewed.Ciphertext), tail))
	}
	written := seal(t, w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}}), "a new record", nil)
	require.Equal(t, "a new record", sample{w.new}.decrypt(t, string(written)))
}

// 32 unwrapped bytes may be a raw AES-256 key or the text of a 24-byte one; the payload's tag decides, and renewal keeps
// what was wrapped.
func TestTheWrappedValueKeepsItsForm(t *testing.T) {
	t.Parallel()
	key16, key24, key32 := make([]byte, 16), make([]byte, 24), make([]byte, 32)
	rand.Read(key16)
	rand.Read(key24)
	rand.Read(key32)
	text := func(key []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(key)) }
	for name, c := range map[string]struct{ wrapped, key []byte }{
		"text of 32": {text(key32), key32}, "raw 32": {key32, key32},
		"text of 24": {text(key24), key24}, "raw 24": {key24, key24},
		"text of 16": {text(key16), key16}, "raw 16": {key16, key16},
		"raw 32, which is also text": {text(key24), text(key24)},
	} {
		w := newWorld(t, kmsmigrate.Rewrite)
		record := []byte(sample{w.old}.encrypt(t, c.wrapped, c.key, name))
		e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.ThreeLine{}}})
		requireOpens(t, e, record, nil, name)
		renewed, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err, name)
		requireOpens(t, e, renewed.Ciphertext, nil, name)
		blob, err := base64.StdEncoding.DecodeString(strings.Split(string(renewed.Ciphertext), "\n")[0])
		require.NoError(t, err)
		unwrapped, err := w.new.Decrypt(t.Context(), blob, nil)
		require.NoError(t, err)
		require.Equal(t, c.wrapped, unwrapped, name)
	}
}

func TestThreeLineRefusesOtherTexts(t *testing.T) {
	t.Parallel()
	record := sample{keytest.New(keytest.Config{})}.encrypt(t, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), []byte("01234567890123456789012345678901"), "x")
	lines := strings.Split(record, "\n")
	for name, text := range map[string]string{
		"empty": "", "one line": lines[0], "two lines": lines[0] + "\n" + lines[1],
		"four lines": record + "\n" + lines[2], "an empty line": record + "\n\n",
		"carriage returns": strings.ReplaceAll(record, "\n", "\r\n"),
		"no blob":          "\n" + lines[1] + "\n" + lines[2], "a short nonce": lines[0] + "\nAAAA\n" + lines[2],
		"a short payload": lines[0] + "\n" + lines[1] + "\nAAAA", "not base64": "****\n" + lines[1] + "\n" + lines[2],
	} {
		_, err := envelope.ThreeLine{}.Parse([]byte(text))
		require.ErrorIs(t, err, envelope.ErrFormat, name)
	}
	_, err := envelope.ThreeLine{}.Parse([]byte(record))
	require.NoError(t, err)
}
