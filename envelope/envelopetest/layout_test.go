package envelopetest_test

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

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

// layoutCase is a layout and what its format cannot notice, with the reason.
type layoutCase struct {
	layout envelope.Layout
	cfg    envelopetest.Config
	why    string
}

func layoutCases() []layoutCase {
	const (
		spaces  = "JSON says the same with other spaces and in another order, and fields of other names are the application's"
		keyInfo = "go-kms-wrapping authenticates no more than ciphertext and iv; the wrapped key is the KMS's to check. key_id, the kind of a field and other fields are free"
		ctr     = "CTR has no tag, and the SDK makes none; headers of other names are not the SDK's, and names are those of HTTP, in any case"
		sets    = "a set has no order"
		newline = "a line feed may stand after the last line"
	)
	lastLine := envelopetest.Config{Contexts: table(), Equivalent: sameLines}
	json := envelopetest.Config{Contexts: table(), Equivalent: sameFields("encryptedDataKey", "iv", "cipherText")}
	four := envelopetest.Config{Contexts: table(), Equivalent: sameFields("DataKeyIV", "EncryptedDataKey", "Iv", "CipherText", "KeyVersionId")}
	oss := envelopetest.Config{Unauthenticated: true, Unbound: ossBody, Equivalent: sameObject}
	return []layoutCase{
		{envelope.ThreeLine{}, lastLine, newline},
		{envelope.ThreeLine{Raw: true, Cipher: envelope.SM4}, envelopetest.Config{Equivalent: sameLines}, newline},
		{envelope.ThreeLine{Cipher: envelope.SM4OrTJFoc}, envelopetest.Config{Equivalent: sameLines}, newline},
		{envelope.JSON{}, json, spaces},
		{envelope.JSON{DataKey: "k", Nonce: "n", Payload: "p", Tag: "t", Raw: true, Bound: bound}, envelopetest.Config{Contexts: table(), Equivalent: sameFields("k", "n", "p", "t")}, spaces},
		{envelope.Columns{}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Columns{DataKeyRaw: true, NonceRaw: true, PayloadRaw: true, Raw: true, Cipher: envelope.SM4, Bound: bound}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Blob{}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Blob{Raw: true}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Blob{Advance: true}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Blob{Advance: true, Raw: true}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.Blob{Undecode: true}, envelopetest.Config{}, ""},
		{envelope.FourField{}, four, spaces},
		{envelope.Asymmetric{}, envelopetest.Config{}, ""},
		{envelope.Asymmetric{Raw: true}, envelopetest.Config{}, ""},
		{envelope.Tink{}, envelopetest.Config{}, ""},
		{envelope.Tink{Text: true, ValueText: true, Bound: bound}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.BlobInfo{}, envelopetest.Config{Equivalent: sameBlobInfo}, keyInfo},
		{envelope.BlobInfo{Bound: bound}, envelopetest.Config{Contexts: table(), Equivalent: sameBlobInfo}, keyInfo},
		{envelope.EncryptionSDK{}, envelopetest.Config{Contexts: table(), Equivalent: sameMessage}, sets},
		{envelope.EncryptionSDK{Stream: true}, envelopetest.Config{Contexts: table()}, ""},
		{envelope.OSS{}, oss, ctr},
		{envelope.OSS{MatDesc: `{"key":"new"}`}, oss, ctr},
	}
}

func sameLines(record, changed []byte) bool {
	return bytes.Equal(bytes.TrimSuffix(record, []byte("\n")), bytes.TrimSuffix(changed, []byte("\n")))
}

// sameFields compares the fields of two JSON objects that a layout reads.
func sameFields(names ...string) func(record, changed []byte) bool {
	return func(record, changed []byte) bool {
		var a, b map[string]any
		if json.Unmarshal(record, &a) != nil || json.Unmarshal(changed, &b) != nil {
			return false
		}
		for _, name := range names {
			if a[name] != b[name] {
				return false
			}
		}
		return true
	}
}

// ossBody is where the body stands in a packed object.
func ossBody(record []byte) (from, to int) {
	parts, err := kmsmigrate.Unpack(record, 2)
	if err != nil {
		return 0, 0
	}
	return len(record) - len(parts[1]), len(record)
}

func sameObject(record, changed []byte) bool {
	a, aerr := kmsmigrate.Unpack(record, 2)
	b, berr := kmsmigrate.Unpack(changed, 2)
	if aerr != nil || berr != nil || !bytes.Equal(a[1], b[1]) {
		return false
	}
	var names [2]map[string]any
	if json.Unmarshal(a[0], &names[0]) != nil || json.Unmarshal(b[0], &names[1]) != nil {
		return false
	}
	header := func(i int, name string) any {
		for long, value := range names[i] {
			if strings.TrimPrefix(strings.ToLower(long), "x-oss-meta-") == "client-side-encryption-"+name {
				return value
			}
		}
		return nil
	}
	for _, name := range []string{"key", "start", "cek-alg", "wrap-alg"} {
		if header(0, name) != header(1, name) {
			return false
		}
	}
	return true
}

// sameBlobInfo compares ciphertext, iv and wrapped_key of two messages.
func sameBlobInfo(record, changed []byte) bool {
	field := func(message []byte, number protowire.Number) []byte {
		for len(message) > 0 {
			got, kind, n := protowire.ConsumeTag(message)
			if n < 0 {
				return nil
			}
			size := protowire.ConsumeFieldValue(got, kind, message[n:])
			if size < 0 {
				return nil
			}
			if got == number && kind == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(message[n:])
				return value
			}
			message = message[n+size:]
		}
		return nil
	}
	return bytes.Equal(field(record, 1), field(changed, 1)) && bytes.Equal(field(record, 2), field(changed, 2)) &&
		bytes.Equal(field(field(record, 5), 5), field(field(changed, 5), 5))
}

// sameMessage compares two messages of the Encryption SDK with their sets in one order.
func sameMessage(record, changed []byte) bool {
	type pair struct{ Name, Value []byte }
	type message struct {
		Header struct {
			Version, Algorithm int
			Keys               []pair `asn1:"set"`
			Context            []pair `asn1:"set"`
			IV, Tag            []byte
		}
		Body struct{ IV, Ciphertext, Tag []byte }
	}
	sorted := func(der []byte) []byte { // encoding/asn1 sorts sets when it writes them
		var m message
		if rest, err := asn1.Unmarshal(der, &m); err != nil || len(rest) > 0 {
			return nil
		}
		out, err := asn1.Marshal(m)
		if err != nil {
			return nil
		}
		return out
	}
	return bytes.Equal(sorted(record), sorted(changed))
}

func TestEveryLayoutKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, c := range layoutCases() {
		t.Run(fmt.Sprintf("%T %s", c.layout, c.layout.Name()), func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.why != "", c.cfg.Equivalent != nil || c.cfg.Unauthenticated, "what a format cannot notice has a reason, and nothing else has")
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
	require.NoError(t, envelopetest.TestLayout(t.Context(), sloppy{}, envelopetest.Config{Equivalent: sameLines}))
	for how, says := range map[string]string{
		"takes anything": "with ErrFormat", "panics": "panic", "aliases": "memory of its own",
		"keeps the old copy": "does not hold the new copies", "overwrites": "must leave the plaintext", "shows": "shows its plaintext",
	} {
		require.ErrorContains(t, envelopetest.TestLayout(t.Context(), sloppy{how: how}, envelopetest.Config{}), says, how)
	}
}

func ExampleTestLayout() {
	old := keytest.New(keytest.Config{KMS1: true})
	err := envelopetest.TestLayout(context.Background(), envelope.Columns{}, envelopetest.Config{Old: old})
	fmt.Println(err)
	// Output: <nil>
}
