package shim_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// badInput is a call that cannot succeed: what the application gets, from a phase on, and what it is told to do.
type badInput struct {
	name, action string
	fields       map[string]string
	from         kmsmigrate.Phase
	status       int
	code         string
	advises      string
}

// badInputs are all of them. ofNobody is ciphertext of a key of a third region.
func badInputs(w *world, ofNobody, ofOld string) []badInput {
	sealed := func(pairs ...string) map[string]string {
		return plus(map[string]string{"KeyId": "alias/app", "Plaintext": "p"}, pairs...)
	}
	blob := func(text string, pairs ...string) map[string]string {
		return plus(map[string]string{"CiphertextBlob": text}, pairs...)
	}
	zeros := base64.StdEncoding.EncodeToString(make([]byte, 80))
	zeros32 := base64.StdEncoding.EncodeToString(make([]byte, 32))
	const old, read, write = kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew
	return []badInput{
		{"a key that Keys does not name", "Encrypt", sealed("KeyId", "alias/other"), write, 404, "Forbidden.KeyNotFound", "Keys.Default"},
		{"a key that Keys does not name", "GenerateDataKey", map[string]string{"KeyId": "alias/other"}, write, 404, "Forbidden.KeyNotFound", "Keys.Default"},
		{"a key that Keys does not name", "ReEncrypt", blob(ofOld, "DestinationKeyId", "alias/other"), write, 404, "Forbidden.KeyNotFound", "Keys.Default"},
		{"a key that Keys does not name", "AsymmetricEncrypt", map[string]string{"KeyId": "alias/other", "KeyVersionId": "v", "Algorithm": "RSAES_OAEP_SHA_256", "Plaintext": "cA=="}, write, 404, "Forbidden.KeyNotFound", "Keys.Default"},
		{"a key that Keys does not name", "AsymmetricSign", map[string]string{"KeyId": "alias/other", "KeyVersionId": "v", "Algorithm": "ECDSA_SHA_256", "Digest": "cA=="}, write, 404, "Forbidden.KeyNotFound", "Keys.Default"},
		{"a key on neither side", "Encrypt", sealed("KeyId", "key-of-nobody"), read, 404, "Forbidden.KeyNotFound", "Keys"},
		{"a key on neither side", "DescribeKey", map[string]string{"KeyId": "key-of-nobody"}, read, 404, "Forbidden.KeyNotFound", "add it to Keys"},
		{"a key on neither side", "EnableKey", map[string]string{"KeyId": "key-of-nobody"}, read, 404, "Forbidden.KeyNotFound", "add it to Keys"},
		{"a key on neither side", "GetPublicKey", map[string]string{"KeyId": "key-of-nobody", "KeyVersionId": "v"}, read, 404, "Forbidden.KeyNotFound", "Keys"},
		{"a key on neither side", "AsymmetricVerify", map[string]string{"KeyId": "key-of-nobody", "KeyVersionId": "v", "Algorithm": "ECDSA_SHA_256", "Digest": zeros32, "Value": "cA=="}, read, 404, "Forbidden.KeyNotFound", "Keys"},
		{"a key on neither side", "AsymmetricDecrypt", map[string]string{"KeyId": "key-of-nobody", "KeyVersionId": "v", "Algorithm": "RSAES_OAEP_SHA_256", "CiphertextBlob": "cA=="}, read, 404, "Forbidden.KeyNotFound", "Keys"},
		{"a name that leads two ways", "Encrypt", sealed("KeyId", "alias/twice"), write, 400, "InvalidParameter", "Name it by its ARN"},
		{"no key", "Encrypt", map[string]string{"Plaintext": "p"}, old, 400, "MissingParameter", "KeyId"},
		{"no blob", "Decrypt", nil, old, 400, "MissingParameter", "CiphertextBlob"},
		{"a blob of neither side", "Decrypt", blob(ofNobody), read, 404, "Forbidden.KeyNotFound", "another key"},
		{"a blob of neither side", "ReEncrypt", blob(ofNobody, "DestinationKeyId", "alias/app"), read, 404, "Forbidden.KeyNotFound", "another key"},
		{"a short blob", "Decrypt", blob("YWJj"), read, 400, "InvalidParameter", "64 bytes"},
		{"a short blob", "ExportDataKey", blob("YWJj"), read, 400, "InvalidParameter", "64 bytes"},
		{"a short blob", "ReEncrypt", blob("YWJj", "DestinationKeyId", "alias/app"), write, 400, "InvalidParameter", "64 bytes"},
		{"a blob without a version", "Decrypt", blob(zeros), read, 400, "InvalidParameter", "key version"},
		{"a blob that is not base64", "Decrypt", blob("***"), read, 400, "InvalidParameter", "base64"},
		{"a context that is a list", "Encrypt", sealed("EncryptionContext", "[1]"), old, 400, "InvalidParameter", "values are strings"},
		{"a context with a number", "Encrypt", sealed("EncryptionContext", `{"a":1}`), old, 400, "InvalidParameter", "values are strings"},
		{"a context with null", "GenerateDataKey", map[string]string{"KeyId": "alias/app", "EncryptionContext": `{"a":null}`}, old, 400, "InvalidParameter", "values are strings"},
		{"a context that is no JSON", "Encrypt", sealed("EncryptionContext", "tool:app"), old, 400, "InvalidParameter", "values are strings"},
		{"no version of the new asymmetric key", "AsymmetricEncrypt", map[string]string{"KeyId": w.old.ID(), "KeyVersionId": "v", "Algorithm": "RSAES_OAEP_SHA_256", "Plaintext": "cA=="}, write, 404, "Forbidden.KeyVersionNotFound", "KeyVersions"},
		{"no version of the new asymmetric key", "AsymmetricSign", map[string]string{"KeyId": w.old.ID(), "KeyVersionId": "v", "Algorithm": "ECDSA_SHA_256", "Digest": "cA=="}, write, 404, "Forbidden.KeyVersionNotFound", "KeyVersions"},
	}
}

// TestBadInputIsExplained takes each with a documented code and a message that says what to do, in every phase in which it is bad.
func TestBadInputIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	third, err := w.cloud.Region("cn-beijing")
	require.NoError(t, err)
	key, err := third.CreateKey(kmstest.KeySpec{UUID: true})
	require.NoError(t, err)
	foreign, err := plain(t, sdkClient(t, third), "Encrypt", "JSON", map[string]string{"KeyId": key.ID(), "Plaintext": "p"})
	require.NoError(t, err)
	own, err := plain(t, sdkClient(t, w.oldAt), "Encrypt", "JSON", map[string]string{"KeyId": w.old.ID(), "Plaintext": "p"})
	require.NoError(t, err)
	w.config.Keys.Keys["acs:kms:cn-hangzhou:1:alias/twice"] = w.new.ID()
	w.config.Keys.Keys["acs:kms:cn-beijing:1:alias/twice"] = "key-other"
	w.config.Published = new(verify.Memory)
	for _, phase := range phases {
		w.config.Signing = phase
		transport := w.transport(t, phase)
		for _, c := range badInputs(w, text(t, foreign, "CiphertextBlob"), text(t, own, "CiphertextBlob")) {
			if phase < c.from {
				continue
			}
			for _, format := range []string{"JSON", "XML"} {
				what := strings.Join([]string{phase.String(), c.action, c.name, format}, ", ")
				_, err = plain(t, w.client(t, transport), c.action, format, c.fields)
				typed := serverError(t, err)
				require.Equal(t, c.code, typed.ErrorCode(), what)
				require.Equal(t, c.status, typed.HttpStatus(), what)
				advises := c.advises
				if phase == kmsmigrate.NewOnly && c.name == "a blob of neither side" {
					advises = "not the new side's" // the other was not asked
				}
				require.Contains(t, typed.Message(), advises, what)
			}
		}
	}
}
