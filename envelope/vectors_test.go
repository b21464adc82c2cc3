package envelope

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// vector is one record of testdata/v1.json, with all that a reader without a KMS needs.
type vector struct {
	Name      string                       `json:"name"`
	Suite     int                          `json:"suite"`
	DataKey   string                       `json:"data_key"`
	Wrapped   []string                     `json:"wrapped"`
	Context   kmsmigrate.EncryptionContext `json:"context"`
	Nonce     string                       `json:"nonce"`
	Plaintext string                       `json:"plaintext"`
	Record    string                       `json:"record"`
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// record builds what the vector says from its parts.
func (v vector) record(t *testing.T) []byte {
	t.Helper()
	s := Suite(v.Suite)
	aead, commitment, err := s.derive(unhex(t, v.DataKey))
	require.NoError(t, err)
	var copies [][]byte
	for _, w := range v.Wrapped {
		copies = append(copies, unhex(t, w))
	}
	out, err := appendCopies(appendFixed(nil, magic, s, commitment[:]), copies)
	require.NoError(t, err)
	nonce := unhex(t, v.Nonce)
	return aead.Seal(append(out, nonce...), nonce, unhex(t, v.Plaintext), s.bind(magic, commitment[:], v.Context))
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "v1.json"))
	require.NoError(t, err)
	var all []vector
	require.NoError(t, json.Unmarshal(text, &all))
	require.NotEmpty(t, all)
	return all
}

func TestVersion1IsFrozen(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		require.Equal(t, v.Record, hex.EncodeToString(v.record(t)), v.Name)
		record := unhex(t, v.Record)
		h, err := parse(record)
		require.NoError(t, err)
		require.Len(t, h.each(), len(v.Wrapped))
		aead, commitment, err := h.suite.derive(unhex(t, v.DataKey))
		require.NoError(t, err)
		require.Equal(t, h.commitment, commitment[:])
		plaintext, err := aead.Open(nil, h.nonce, h.payload, h.suite.bind(magic, h.commitment, v.Context))
		require.NoError(t, err, v.Name)
		require.Equal(t, v.Plaintext, hex.EncodeToString(plaintext))
	}
}
