package envelopetest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/envelope/envelopetest"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func table() []kmsmigrate.EncryptionContext {
	return []kmsmigrate.EncryptionContext{{"table": "customers"}, {"b": "2", "a": "1&c=3"}}
}

func bound(ec kmsmigrate.EncryptionContext) []byte {
	var b bytes.Buffer
	for _, name := range []string{"a", "b", "table"} {
		fmt.Fprintf(&b, "%q", ec[name])
	}
	return b.Bytes()
}

// keyID finds the UUID in a BlobInfo's key_info.key_id: field 3, 36 bytes.
func keyID(record []byte) (from, to int) {
	from = bytes.LastIndex(record, []byte{3<<3 | 2, 36}) + 2
	return from, from + 36
}

func TestEveryLayoutKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		layout envelope.Layout
		cfg    envelopetest.Config
	}{
		{envelope.ThreeLine{}, envelopetest.Config{Contexts: table()}},
		{envelope.ThreeLine{Raw: true, Cipher: envelope.SM4}, envelopetest.Config{}},
		{envelope.ThreeLine{Cipher: envelope.SM4OrTJFoc}, envelopetest.Config{}},
		{envelope.JSON{}, envelopetest.Config{Contexts: table()}},
		{envelope.JSON{DataKey: "k", Nonce: "n", Payload: "p", Tag: "t", Raw: true, Bound: bound}, envelopetest.Config{Contexts: table()}},
		{envelope.Columns{}, envelopetest.Config{Contexts: table()}},
		{envelope.Columns{DataKeyRaw: true, NonceRaw: true, PayloadRaw: true, Raw: true, Cipher: envelope.SM4, Bound: bound}, envelopetest.Config{Contexts: table()}},
		{envelope.Blob{}, envelopetest.Config{Contexts: table()}},
		{envelope.Blob{Raw: true}, envelopetest.Config{Contexts: table()}},
		{envelope.Blob{Advance: true}, envelopetest.Config{Contexts: table()}},
		{envelope.Blob{Advance: true, Raw: true}, envelopetest.Config{Contexts: table()}},
		{envelope.Blob{Undecode: true}, envelopetest.Config{}},
		{envelope.FourField{}, envelopetest.Config{Contexts: table()}},
		{envelope.Asymmetric{}, envelopetest.Config{}},
		{envelope.Asymmetric{Raw: true}, envelopetest.Config{}},
		{envelope.Tink{}, envelopetest.Config{}},
		{envelope.Tink{Text: true, ValueText: true, Bound: bound}, envelopetest.Config{Contexts: table()}},
		{envelope.BlobInfo{}, envelopetest.Config{Unbound: keyID}},
		{envelope.BlobInfo{Bound: bound}, envelopetest.Config{Contexts: table(), Unbound: keyID}},
		{envelope.EncryptionSDK{}, envelopetest.Config{Contexts: table()}},
		{envelope.EncryptionSDK{Stream: true}, envelopetest.Config{Contexts: table()}},
		{envelope.OSS{}, envelopetest.Config{Unauthenticated: true}},
		{envelope.OSS{MatDesc: `{"key":"new"}`}, envelopetest.Config{Unauthenticated: true}},
	} {
		t.Run(fmt.Sprintf("%T %s", c.layout, c.layout.Name()), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, envelopetest.TestLayout(t.Context(), c.layout, c.cfg))
		})
	}
}

// hex-like layouts that get one thing wrong each.
type sloppy struct {
	envelope.ThreeLine
	how string
}

func (s sloppy) Parse(record []byte) (envelope.Header, error) {
	if s.how == "takes anything" && len(record) < 100 {
		return envelope.Header{Values: []envelope.Value{{Copies: [][]byte{{1}}}}}, nil
	}
	if s.how == "panics" && len(record) == 50 {
		_ = record[60]
	}
	return s.ThreeLine.Parse(record)
}

func (s sloppy) Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	plaintext, err := s.ThreeLine.Open(record, values, ec)
	if err == nil && s.how == "aliases" {
		copy(record, plaintext)
		return record[:len(plaintext)], nil
	}
	return plaintext, err
}

func (s sloppy) Rewrap(record []byte, r envelope.Rewrap) ([]byte, error) {
	if s.how == "keeps the old copy" {
		return bytes.Clone(record), nil
	}
	return s.ThreeLine.Rewrap(record, r)
}

func (s sloppy) Seal(plaintext []byte, v envelope.Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if s.how == "overwrites" {
		defer clear(plaintext)
	}
	if s.how == "shows" {
		return append([]byte(base64.StdEncoding.EncodeToString(plaintext)), plaintext...), nil
	}
	return s.ThreeLine.Seal(plaintext, v, ec)
}

func TestTheSuiteFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	require.NoError(t, envelopetest.TestLayout(t.Context(), sloppy{}, envelopetest.Config{}))
	for how, says := range map[string]string{
		"takes anything": "with ErrFormat", "panics": "panic", "aliases": "memory of its own",
		"keeps the old copy": "does not hold the new copies", "overwrites": "must leave the plaintext", "shows": "shows its plaintext",
	} {
		require.ErrorContains(t, envelopetest.TestLayout(t.Context(), sloppy{how: how}, envelopetest.Config{}), says, how)
	}
}

func ExampleTestLayout() {
	old := keytest.New(keytest.Config{KMS1: true})
	err := envelopetest.TestLayout(context.Background(), envelope.ThreeLine{}, envelopetest.Config{Old: old})
	fmt.Println(err)
	// Output: <nil>
}
