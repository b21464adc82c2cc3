package envelope_test

import (
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// The Java transfer SDK decoded the plaintext before December 2022. Renewal keeps what the application's own readers expect;
// converting writes what the application meant.
func TestPlaintextThatWasDecodedByMistakeIsConvertedRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	blob, err := w.old.Encrypt(t.Context(), []byte{0xff, 0x00, 0x10}, nil)
	require.NoError(t, err)
	e := w.envelope(t, envelope.Config{Layouts: []envelope.Layout{envelope.Blob{Undecode: true}}})
	r, err := e.Converting().Renew(t.Context(), []byte(kmsmigrate.EncodeBlob(blob)), nil)
	require.NoError(t, err)
	info, err := e.Inspect(r.Ciphertext)
	require.NoError(t, err)
	require.Equal(t, "keyhaul", info.Layout)
	requireOpens(t, w.envelope(t, envelope.Config{}), r.Ciphertext, nil, "/wAQ")
}

// Its GenerateDataKey wrapped raw bytes before January 2023: 96 bytes rather than 108.
func TestDataKeysThatWereWrappedRawAreReadAndTextIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	key := randomBytes(32)
	record := []byte(sample{w.old}.encrypt(t, key, key, "raw"))
	wrapped := func(record []byte) []byte {
		blob, err := base64.StdEncoding.DecodeString(strings.Split(string(record), "\n")[0])
		require.NoError(t, err)
		return blob
	}
	require.Len(t, wrapped(record), 96)
	e := w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}})
	requireOpens(t, e, record, nil, "raw")
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	require.Len(t, wrapped(r.Ciphertext), 96, "renewal keeps what was wrapped, for the application's own readers")
	requireOpens(t, e, r.Ciphertext, nil, "raw")
	require.Len(t, wrapped(seal(t, e, "new", nil)), 108)
}

// noKeyContext is a layout whose data keys were wrapped without the context that their payload is bound to.
type noKeyContext struct{ envelope.JSON }

func (noKeyContext) Context([]byte, kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return nil, nil
}

// Its GenerateDataKey left the context out before March 2023: the second of its two calls gave none to the KMS.
func TestDataKeysThatWereWrappedWithoutTheirContextAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmsmigrate.Rewrite)
	key := randomBytes(32)
	record := []byte(sample{w.old}.encrypt(t, []byte(base64.StdEncoding.EncodeToString(key)), key, "no context"))
	e := w.envelope(t, envelope.Config{Layout: envelope.ThreeLine{}})
	_, err := e.Open(t.Context(), record, customers)
	require.Error(t, err, "nobody guesses that there was none")
	requireOpens(t, e, record, nil, "no context")
	r, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	requireOpens(t, e, r.Ciphertext, nil, "no context")

	// Where the payload is bound to the context all the same, a layout of the application says so.
	bound := envelope.JSON{Bound: func(ec kmsmigrate.EncryptionContext) []byte { return []byte(ec["table"]) }}
	e = w.envelope(t, envelope.Config{Layout: noKeyContext{bound}})
	sealed := seal(t, e, "bound", customers)
	requireOpens(t, e, sealed, customers, "bound")
	_, err = w.envelope(t, envelope.Config{Layout: bound}).Open(t.Context(), sealed, customers)
	require.Error(t, err)
}

// LAYOUTS.md names tests and fuzz targets that there are.
func TestLayoutsDocumentNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("LAYOUTS.md")
	require.NoError(t, err)
	var code strings.Builder
	for _, dir := range []string{".", "envelopetest", "../internal/bench", "../kmsmigrate/alikms"} {
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range files {
			if strings.HasSuffix(f.Name(), "_test.go") {
				text, err := os.ReadFile(dir + "/" + f.Name())
				require.NoError(t, err)
				code.Write(text)
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(doc), -1)
	require.NotEmpty(t, named)
	for _, m := range named {
		require.Contains(t, code.String(), "func "+m[1]+"(", m[1])
	}
	for _, l := range allLayouts() {
		require.Contains(t, string(doc), "`"+l.Name()+"`", "every layout is in the table")
	}
}
