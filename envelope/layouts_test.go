package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func gcmOf(tb testing.TB, key []byte) cipher.AEAD {
	tb.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(tb, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(tb, err)
	return gcm
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestJSONKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	key, iv := randomBytes(32), randomBytes(12)
	b64 := base64.StdEncoding.EncodeToString
	blob, err := w.old.Encrypt(t.Context(), []byte(b64(key)), nil)
	require.NoError(t, err)
	record := []byte("{ \"v\": 1.50,\n  \"dk\" : \"" + b64(blob) + "\",\t\"note\":{\"dk\":\"another\",\"n\":[1,2]}, \"iv\":\"" + b64(iv) +
		"\",\"ct\":\"" + b64(gcmOf(t, key).Seal(nil, iv, []byte("with company"), nil)) + "\" }\n")
	layout := envelope.JSON{DataKey: "dk", Nonce: "iv", Payload: "ct"}
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{layout}})
	requireOpens(t, e, record, nil, "with company")
	renewed, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	before, after := strings.Split(string(record), b64(blob)), string(renewed.Ciphertext)
	require.True(t, strings.HasPrefix(after, before[0]))
	require.True(t, strings.HasSuffix(after, before[1]))
	requireOpens(t, e, renewed.Ciphertext, nil, "with company")

	for name, bad := range map[string]string{
		"a field twice":  `{"dk":"AAAA","dk":"AAAA","iv":"AAAAAAAAAAAAAAAA","ct":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		"two objects":    string(record) + string(record),
		"a number":       `{"dk":1,"iv":"AAAAAAAAAAAAAAAA","ct":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		"no nonce":       `{"dk":"AAAA","ct":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		"an array":       `["dk"]`,
		"cut":            string(record[:len(record)-4]),
		"an open string": `{"dk`,
	} {
		_, err := layout.Parse([]byte(bad))
		require.ErrorIs(t, err, envelope.ErrFormat, name)
	}
}

// The sample's program, its struct marshalled as JSON, on both sides of the migration.
func TestTheInstanceSamplesRecordsAreReadRenewedAndStillTheSamples(t *testing.T) {
	t.Parallel()
	type sampleStruct struct{ DataKeyIV, EncryptedDataKey, Iv, CipherText []byte }
	w := newWorld(t, kmsmigrate.Rewrite)
	key, iv := randomBytes(32), randomBytes(12)
	blob, err := w.old.Encrypt(t.Context(), key, nil)
	require.NoError(t, err)
	record, err := json.Marshal(sampleStruct{blob[36:48], blob[48:], iv, gcmOf(t, key).Seal(nil, iv, []byte("four"), nil)})
	require.NoError(t, err)
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.FourField{Version: w.old.Ref().VersionID}}})
	requireOpens(t, e, record, nil, "four")
	renewed, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	var s sampleStruct
	require.NoError(t, json.Unmarshal(renewed.Ciphertext, &s))
	unwrapped, err := w.new.Decrypt(t.Context(), append(append([]byte(w.new.Ref().VersionID), s.DataKeyIV...), s.EncryptedDataKey...), nil)
	require.NoError(t, err)
	plaintext, err := gcmOf(t, unwrapped).Open(nil, s.Iv, s.CipherText, nil)
	require.NoError(t, err)
	require.Equal(t, "four", string(plaintext))
	requireOpens(t, e, renewed.Ciphertext, nil, "four")
	_, err = envelope.FourField{}.Parse(record)
	require.ErrorIs(t, err, envelope.ErrFormat, "nobody says which version wrapped it")
}

func TestBlobsAreEncryptedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	blob, err := w.old.Encrypt(t.Context(), []byte("a password"), customers)
	require.NoError(t, err)
	record := []byte(kmsmigrate.EncodeBlob(blob))
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.Blob{}}})
	requireOpens(t, e, record, customers, "a password")
	renewed, err := e.Renew(t.Context(), record, customers)
	require.NoError(t, err)
	raw, err := kmsmigrate.DecodeBlob(string(renewed.Ciphertext))
	require.NoError(t, err)
	plaintext, err := w.new.Decrypt(t.Context(), raw, customers)
	require.NoError(t, err)
	require.Equal(t, "a password", string(plaintext))
	require.Zero(t, e.Stats().CachedOpen, "plaintext is never cached")

	info, err := e.Inspect(record)
	require.NoError(t, err)
	require.Zero(t, info.Copies[0].Group)
}

func TestATruncatedAnswerForABlobIsAnError(t *testing.T) {
	t.Parallel()
	old := keytest.New(keytest.Config{})
	blob, err := old.Encrypt(t.Context(), []byte("a password"), nil)
	require.NoError(t, err)
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keytest.Truncate(old, 4), nil), Layout: envelope.Blob{}})
	_, err = e.Open(t.Context(), []byte(kmsmigrate.EncodeBlob(blob)), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
}

// The Java transfer SDK once decoded the plaintext before it encrypted it.
func TestPlaintextThatWasDecodedByMistakeIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	blob, err := w.old.Encrypt(t.Context(), []byte{0xff, 0x00, 0x10}, nil)
	require.NoError(t, err)
	e := w.envelope(t, envelope.Config{Layout: envelope.Blob{Undecode: true}})
	record := []byte(kmsmigrate.EncodeBlob(blob))
	requireOpens(t, e, record, nil, "/wAQ")
	renewed, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	requireOpens(t, e, renewed.Ciphertext, nil, "/wAQ")
	_, err = e.Seal(t.Context(), []byte("/wAQ"), nil)
	require.ErrorIs(t, err, envelope.ErrReadOnly)
}

func TestTheEncryptionSDKsKeySetIsKept(t *testing.T) {
	t.Parallel()
	at := func(region string) keytest.Config {
		return keytest.Config{Ref: kmsmigrate.KeyRef{Region: region, Account: "1001"}}
	}
	old, third, new := keytest.New(at("cn-hangzhou")), keytest.New(at("cn-shanghai")), keytest.New(at("cn-beijing"))
	record := seal(t, newEnvelope(t, envelope.Config{
		Keys: clientOf(t, kmsmigrate.ReadBoth, old, third), Layout: envelope.EncryptionSDK{}, WrapBoth: true,
	}), "for two regions", customers)
	w := newWorldOf(t, kmsmigrate.Rewrite, old, new)
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.EncryptionSDK{}}})
	requireOpens(t, e, record, nil, "for two regions")
	requireOpens(t, e, record, customers, "for two regions")
	_, err := e.Open(t.Context(), record, kmsmigrate.EncryptionContext{"table": "orders"})
	require.ErrorIs(t, err, envelope.ErrTampered)
	renewed, err := e.Renew(t.Context(), record, customers)
	require.NoError(t, err)
	for _, arn := range []string{"acs:kms:cn-beijing:1001:key/" + new.Ref().KeyID, "acs:kms:cn-shanghai:1001:key/" + third.Ref().KeyID} {
		require.True(t, bytes.Contains(renewed.Ciphertext, []byte(arn)))
	}
	require.False(t, bytes.Contains(renewed.Ciphertext, []byte("cn-hangzhou")))
	for _, key := range []kmsmigrate.Key{third, new} {
		requireOpens(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, key, nil), Layout: envelope.EncryptionSDK{}}), renewed.Ciphertext, nil, "for two regions")
	}
}

func TestOSSMetadataIsRenewedWithoutTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	object := seal(t, newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, w.old, nil), Layout: envelope.OSS{}}), "an object's body", nil)
	parts, err := kmsmigrate.Unpack(object, 2)
	require.NoError(t, err)
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.OSS{}}})
	renewed, err := e.Renew(t.Context(), kmsmigrate.Pack(parts[0], nil), nil)
	require.NoError(t, err)
	metadata, err := kmsmigrate.Unpack(renewed.Ciphertext, 2)
	require.NoError(t, err)
	require.Nil(t, metadata[1])
	requireOpens(t, e, kmsmigrate.Pack(metadata[0], parts[1]), nil, "an object's body")
	_, err = e.Open(t.Context(), renewed.Ciphertext, nil)
	require.ErrorIs(t, err, envelope.ErrFormat)
}
