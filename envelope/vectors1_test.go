package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// The streams and the records with their data key in a table were made from FORMAT.md with fixed inputs, once, by a program
// that shares no code with this package or with the reader in testdata.
type streamVector struct {
	Name      string                       `json:"name"`
	DataKey   string                       `json:"data_key"`
	Wrapped   []string                     `json:"wrapped"`
	Context   kmsmigrate.EncryptionContext `json:"context"`
	Plaintext string                       `json:"plaintext"`
	Pattern   int                          `json:"pattern"` // the plaintext is so many bytes of pattern
	Header    string                       `json:"header"`  // where it is kept apart
	Stream    string                       `json:"stream"`
}

type tableVectors struct {
	Entries []struct {
		ID      string                       `json:"id"`
		DataKey string                       `json:"data_key"`
		Wrapped []string                     `json:"wrapped"`
		Context kmsmigrate.EncryptionContext `json:"context"`
		Entry   string                       `json:"entry"`
	} `json:"entries"`
	Records []struct {
		Entry     int                          `json:"entry"`
		Context   kmsmigrate.EncryptionContext `json:"context"`
		Plaintext string                       `json:"plaintext"`
		Record    string                       `json:"record"`
	} `json:"records"`
}

func load(tb testing.TB, name string, into any) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, into))
}

// knownKey unwraps the copies of the vectors, and nothing else.
type knownKey map[string][]byte

func (k knownKey) add(tb testing.TB, wrapped []string, dataKey string) {
	tb.Helper()
	for _, w := range wrapped {
		k[string(unhex(tb, w))] = []byte(base64.StdEncoding.EncodeToString(unhex(tb, dataKey)))
	}
}

func (k knownKey) Encrypt(context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error) {
	return nil, kmsmigrate.ErrInvalid
}

func (k knownKey) Decrypt(_ context.Context, c []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	if value, ok := k[string(c)]; ok {
		return bytes.Clone(value), nil
	}
	return nil, kmsmigrate.ErrForeign
}

func (k knownKey) Owns([]byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	return kmsmigrate.KeyRef{}, kmsmigrate.Unknown
}

func TestVersion1OfStreamsIsFrozen(t *testing.T) {
	t.Parallel()
	var all []streamVector
	load(t, "v1-streams.json", &all)
	require.Len(t, all, 5)
	keys := knownKey{}
	for _, v := range all {
		keys.add(t, v.Wrapped, v.DataKey)
	}
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keys, nil)})
	for _, v := range all {
		plaintext := unhex(t, v.Plaintext)
		if v.Pattern > 0 {
			plaintext = pattern(v.Pattern)
		}
		header := unhex(t, v.Header)
		stream, err := base64.StdEncoding.DecodeString(v.Stream)
		require.NoError(t, err)
		info, err := e.Inspect(append(bytes.Clone(header), stream...))
		require.NoError(t, err, v.Name)
		require.Len(t, info.Copies, len(v.Wrapped))

		var r *envelope.Reader
		var at *envelope.ReaderAt
		if v.Header == "" {
			r, err = e.NewReader(t.Context(), bytes.NewReader(stream), v.Context)
			require.NoError(t, err, v.Name)
			at, err = e.NewReaderAt(t.Context(), bytes.NewReader(stream), int64(len(stream)), v.Context)
		} else {
			r, err = e.NewDetachedReader(t.Context(), header, bytes.NewReader(stream), v.Context)
			require.NoError(t, err, v.Name)
			at, err = e.NewDetachedReaderAt(t.Context(), header, bytes.NewReader(stream), int64(len(stream)), v.Context)
		}
		require.NoError(t, err, v.Name)
		read, err := io.ReadAll(r)
		require.NoError(t, err, v.Name)
		require.Equal(t, plaintext, read, v.Name)
		require.Equal(t, int64(len(plaintext)), at.Size())
		for i := len(plaintext); i >= 0; i -= 1 + len(plaintext)/7 { // across the border of chunks, from the end
			part := make([]byte, min(5, len(plaintext)-i))
			_, err := at.ReadAt(part, int64(i))
			if len(part) > 0 {
				require.NoError(t, err)
			}
			require.Equal(t, plaintext[i:i+len(part)], part)
		}
	}
}

func TestVersion1OfRecordsInATableIsFrozen(t *testing.T) {
	t.Parallel()
	var all tableVectors
	load(t, "v1-table.json", &all)
	require.Len(t, all.Entries, 3)
	require.Len(t, all.Records, 9)
	keys, table := knownKey{}, &memoryTable{entries: map[envelope.KeyID][]byte{}}
	for _, v := range all.Entries {
		keys.add(t, v.Wrapped, v.DataKey)
		table.entries[envelope.KeyID(unhex(t, v.ID))] = unhex(t, v.Entry)
	}
	client := clientOf(t, kmsmigrate.OldOnly, keys, nil)
	for _, v := range all.Records {
		entry := all.Entries[v.Entry]
		e := newEnvelope(t, envelope.Config{Keys: client, Table: table, TableContext: entry.Context})
		requireOpens(t, e, unhex(t, v.Record), v.Context, string(unhex(t, v.Plaintext)))
		requireOpens(t, e, unhex(t, entry.Entry), entry.Context, "") // an entry is a record
		_, err := e.Open(t.Context(), unhex(t, v.Record), kmsmigrate.EncryptionContext{"another": "context"})
		require.ErrorIs(t, err, envelope.ErrTampered)
	}
}

// The reader in testdata shares no line of code with this package: it was written from FORMAT.md.
func TestAReaderWithoutGoOpensVersion1(t *testing.T) {
	t.Parallel()
	var records []struct{ Name string }
	load(t, "v1.json", &records)
	require.Len(t, records, 5)
	files := []string{filepath.Join("testdata", "open.mjs")}
	for _, name := range []string{"v1.json", "v1-table.json", "v1-streams.json"} {
		files = append(files, filepath.Join("testdata", name))
	}
	require.Equal(t, fmt.Sprintf("%d opened\n", len(records)+9+5), node(t, nil, files...))
}
