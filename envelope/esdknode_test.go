package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// node runs a reader of testdata, or skips the test where there is no Node and none is required.
func node(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("KEYHAUL_REQUIRE_NODE") != "" {
			t.Fatal("KEYHAUL_REQUIRE_NODE is set and there is no node")
		}
		t.Skip("node is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// The SDK itself cannot run here: releases 1.1.0, 1.0.5, 1.0.4 and 1.0.0 for Java and 0.1.1 for Python have opened what this
// package made of their records and what it sealed, once, by hand. This reader opens what the SDK wrote, and, as a
// witness of the SDK at every run, what is re-wrapped and sealed now.
func TestAReaderWithoutGoOpensWhatWasRewrappedForTheEncryptionSDK(t *testing.T) {
	t.Parallel()
	type record struct {
		Form      string                       `json:"form"`
		Record    string                       `json:"record"`
		DataKey   string                       `json:"data_key"`
		Context   kmsmigrate.EncryptionContext `json:"context"`
		Plaintext string                       `json:"plaintext"`
		Keys      int                          `json:"keys"`
	}
	var records []record
	add := func(l envelope.EncryptionSDK, k esdkKey, raw []byte, ec kmsmigrate.EncryptionContext, plaintext string, keys int) {
		h, err := l.Parse(raw)
		require.NoError(t, err)
		for _, c := range h.Values[0].Copies {
			text, err := k.Decrypt(t.Context(), c, ec)
			if err != nil {
				continue
			}
			dataKey, err := base64.StdEncoding.DecodeString(string(text))
			require.NoError(t, err)
			r := record{Form: "message", Record: hex.EncodeToString(raw), DataKey: hex.EncodeToString(dataKey), Context: ec, Plaintext: plaintext, Keys: keys}
			if l.Stream {
				r.Form = "stream"
			}
			records = append(records, r)
			return
		}
		require.Fail(t, "no copy opens")
	}
	for _, v := range esdkVectors(t) {
		if !v.tagged() || v.Algorithm > 8 { // Node's SM4 has neither GCM nor CTR everywhere
			continue
		}
		add(v.layout(), esdkOld, v.record(t), v.Context, v.Plaintext, v.Keys)
		add(v.layout(), esdkNew, renewESDK(t, v.layout(), v.record(t), v.Context), v.Context, v.Plaintext, v.Keys)
	}
	for _, stream := range []bool{false, true} {
		l := envelope.EncryptionSDK{Stream: stream}
		for _, ec := range []kmsmigrate.EncryptionContext{nil, customers, {"\U0001F600": "after it in UTF-8", "\uff5e": "after it in UTF-16", "": ""}} {
			for _, plaintext := range []string{"", "x", string(pattern(70000))} {
				sealed := seal(t, readerWith(t, esdkNew, l), plaintext, ec)
				add(l, esdkNew, sealed, ec, hex.EncodeToString([]byte(plaintext)), 1)
			}
		}
	}
	input, err := json.Marshal(records)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%d records opened\n", len(records)), node(t, input, filepath.Join("testdata", "esdk.mjs")))
}
