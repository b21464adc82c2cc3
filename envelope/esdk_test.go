package envelope_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// esdkVector is a record of testdata/esdk.json. The records were written by Alibaba's Encryption SDK itself, for Java in releases
// 1.0.0, 1.0.4, 1.0.5 and 1.1.0 and for Python in 0.1.1. Its client of the KMS alone was another, with esdkKey's keys.
type esdkVector struct {
	By        string                       `json:"by"`
	Form      string                       `json:"form"` // message, stream, or secret: header and body apart
	Algorithm int                          `json:"algorithm"`
	Keys      int                          `json:"keys"`
	Context   kmsmigrate.EncryptionContext `json:"context"`
	Plaintext string                       `json:"plaintext"`
	Header    string                       `json:"header"`
	Record    string                       `json:"record"`
}

func (v esdkVector) String() string {
	return fmt.Sprintf("%s, %s, algorithm %d, %d keys, %d entries of context", v.By, v.Form, v.Algorithm, v.Keys, len(v.Context))
}

// tagged reports whether the header has a tag. CBC and CTR had none, or a block of CBC, before 1.0.5.
func (v esdkVector) tagged() bool {
	gcm := v.Algorithm == 1 || v.Algorithm == 2 || v.Algorithm == 9
	return gcm || v.By != "java 1.0.0" && v.By != "java 1.0.4"
}

func (v esdkVector) layout() envelope.EncryptionSDK {
	return envelope.EncryptionSDK{Stream: v.Form == "stream"}
}

// record returns header and body in one, as the layout opens them.
func (v esdkVector) record(tb testing.TB) []byte {
	tb.Helper()
	body := unhex(tb, v.Record)
	if v.Header == "" {
		return body
	}
	all := append(unhex(tb, v.Header), body...)
	return append([]byte{0x30, 0x82, byte(len(all) >> 8), byte(len(all))}, all...)
}

func esdkVectors(tb testing.TB) []esdkVector {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "esdk.json"))
	require.NoError(tb, err)
	var all []esdkVector
	require.NoError(tb, json.Unmarshal(text, &all))
	require.Len(tb, all, 94)
	return all
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(tb, err)
	return b
}

// esdkKey is a key of the vectors: AES-256 with the hash of its version's id, in the form of the OpenAPI.
type esdkKey struct{ ref kmsmigrate.KeyRef }

var (
	esdkOld    = esdkKey{kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001", KeyID: "0b7c5a1e-1111-4222-8333-444455556666", VersionID: "aaaaaaaa-3d16-4894-bd4f-1fc43f3f2abf"}}
	esdkSecond = esdkKey{kmsmigrate.KeyRef{Region: "cn-shanghai", Account: "1001", KeyID: "1c8d6b2f-1111-4222-8333-444455556666", VersionID: "bbbbbbbb-3d16-4894-bd4f-1fc43f3f2abf"}}
	esdkNew    = esdkKey{kmsmigrate.KeyRef{Region: "cn-beijing", Account: "1001", KeyID: "key-bjj62f1cb66fa42qo0001", VersionID: "key-bjj62f1cb66fa42qo0001-17kedv0001"}}
)

func (k esdkKey) arn() string {
	return "acs:kms:" + k.ref.Region + ":" + k.ref.Account + ":key/" + k.ref.KeyID
}

// bound is what the service makes of a context.
func (esdkKey) bound(ec kmsmigrate.EncryptionContext) []byte {
	if len(ec) == 0 {
		return nil
	}
	pairs := make([]string, 0, len(ec))
	for name := range ec {
		pairs = append(pairs, name)
	}
	slices.Sort(pairs)
	for i, name := range pairs {
		pairs[i] = name + "=" + ec[name]
	}
	sum := sha256.Sum256([]byte(strings.Join(pairs, "&")))
	return sum[:]
}

func (k esdkKey) kek() []byte {
	sum := sha256.Sum256([]byte("encryption sdk vectors " + k.ref.VersionID))
	return sum[:]
}

func (k esdkKey) Encrypt(_ context.Context, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	gcm, err := vectorGCM(k.kek())
	if err != nil {
		return nil, err
	}
	return gcm.Seal(append([]byte(k.ref.VersionID), nonce...), nonce, plaintext, k.bound(ec)), nil
}

func (k esdkKey) Decrypt(_ context.Context, blob []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if version, ok := kmsmigrate.BlobVersion(blob); !ok || version != k.ref.VersionID {
		return nil, kmsmigrate.ErrForeign
	}
	gcm, err := vectorGCM(k.kek())
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(nil, blob[36:48], blob[48:], k.bound(ec))
	if err != nil {
		return nil, fmt.Errorf("the ciphertext or its context: %w", kmsmigrate.ErrInvalid)
	}
	return plaintext, nil
}

func (k esdkKey) Owns(blob []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	if version, ok := kmsmigrate.BlobVersion(blob); ok && version == k.ref.VersionID {
		return k.ref, kmsmigrate.Mine
	}
	return kmsmigrate.KeyRef{}, kmsmigrate.Foreign
}

// renewESDK moves a record from the vectors' old key to their new one.
func renewESDK(tb testing.TB, l envelope.EncryptionSDK, record []byte, ec kmsmigrate.EncryptionContext) []byte {
	tb.Helper()
	e := newEnvelope(tb, envelope.Config{Keys: clientOf(tb, kmsmigrate.Rewrite, esdkOld, esdkNew), Layout: l})
	r, err := e.Renew(tb.Context(), record, ec)
	require.NoError(tb, err)
	require.NotNil(tb, r.Ciphertext)
	return r.Ciphertext
}

func readerWith(tb testing.TB, k kmsmigrate.Key, l envelope.Layout) *envelope.Envelope {
	tb.Helper()
	return newEnvelope(tb, envelope.Config{Keys: clientOf(tb, kmsmigrate.OldOnly, k, nil), Layout: l})
}

func TestWhatTheEncryptionSDKWroteIsReadAndRenewed(t *testing.T) {
	t.Parallel()
	for _, v := range esdkVectors(t) {
		l, record, plaintext := v.layout(), v.record(t), string(unhex(t, v.Plaintext))
		if !v.tagged() {
			_, err := readerWith(t, esdkOld, l).Open(t.Context(), record, nil)
			require.True(t, errors.Is(err, envelope.ErrFormat) || errors.Is(err, envelope.ErrTampered), "%s: there is no header tag, and got %v", v, err)
			continue
		}
		requireOpens(t, readerWith(t, esdkOld, l), record, v.Context, plaintext)
		_, err := readerWith(t, esdkOld, l).Open(t.Context(), record, kmsmigrate.EncryptionContext{"another": "context"})
		require.ErrorIs(t, err, envelope.ErrTampered)
		renewed := renewESDK(t, l, record, v.Context)
		requireOpens(t, readerWith(t, esdkNew, l), renewed, nil, plaintext)
		require.NotContains(t, string(renewed), esdkOld.arn())
		require.Contains(t, string(renewed), esdkNew.arn())
		// Release 1.0.0 gave the second region's key the data key as a string of UTF-8, of which nothing is left.
		if v.Keys == 2 && v.By != "java 1.0.0" {
			require.Contains(t, string(renewed), esdkSecond.arn())
			requireOpens(t, readerWith(t, esdkSecond, l), renewed, nil, plaintext)
		}
		// The payload stays, byte for byte.
		tail := 16 + len(plaintext)
		require.Equal(t, record[len(record)-tail:], renewed[len(renewed)-tail:], v)
		headerOf, err := l.Parse(record)
		require.NoError(t, err)
		require.Len(t, headerOf.Values[0].Copies, v.Keys)
	}
}

// The header of a stream is moved without its body, and a header that a KMS secret holds is moved alone.
func TestAnEncryptionSDKHeaderIsRenewedAlone(t *testing.T) {
	t.Parallel()
	for _, v := range esdkVectors(t) {
		if v.Form != "secret" && v.String() != "java 1.1.0, stream, algorithm 8, 1 keys, 2 entries of context" {
			continue
		}
		l, record := v.layout(), v.record(t)
		var header, body []byte
		if v.Form == "stream" {
			cut := len(record) - (4 + 16 + len(v.Plaintext)/2) // the length of the nonce, the nonce, CTR
			header, body = record[:cut], record[cut:]
		} else {
			header, body = unhex(t, v.Header), unhex(t, v.Record)
		}
		info, err := readerWith(t, esdkOld, l).Inspect(header)
		require.NoError(t, err)
		require.Equal(t, l.Name(), info.Layout)
		_, err = readerWith(t, esdkOld, l).Open(t.Context(), header, nil)
		require.ErrorIs(t, err, envelope.ErrFormat)
		renewed := append(renewESDK(t, l, header, v.Context), body...)
		if v.Form == "secret" {
			renewed = append([]byte{0x30, 0x82, byte(len(renewed) >> 8), byte(len(renewed))}, renewed...)
		}
		requireOpens(t, readerWith(t, esdkNew, l), renewed, v.Context, string(unhex(t, v.Plaintext)))

		// The header's tag tells another header and another data key.
		changed := bytes.Replace(header, []byte("north"), []byte("south"), 1)
		require.NotEqual(t, header, changed)
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.Rewrite, esdkOld, esdkNew), Layout: l})
		_, err = e.Renew(t.Context(), changed, nil)
		require.Error(t, err)
	}
}

func TestTwoWrappedDataKeysOfOneARNAreNotWritten(t *testing.T) {
	t.Parallel()
	for _, stream := range []bool{false, true} {
		l := envelope.EncryptionSDK{Stream: stream, KeyName: func(kmsmigrate.KeyRef) (string, error) { return "one for all", nil }}
		e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.ReadBoth, esdkOld, esdkNew), Layout: l, WrapBoth: true})
		_, err := e.Seal(t.Context(), []byte("x"), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

func vectorGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
