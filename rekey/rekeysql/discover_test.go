package rekeysql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func TestDiscoverFindsWhatNoDeclarationCovers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		db := d.open(t)
		document := d.of("TEXT", "JSON", "jsonb")
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, known "+d.blob+", forgotten "+d.text+", note "+d.text+", three_lines "+d.text+", four "+d.text+", doc "+document+", n INT, at TIMESTAMP NULL)")
		blob, err := keytest.New(keytest.Config{KMS1: true}).Encrypt(t.Context(), []byte("x"), nil)
		require.NoError(t, err)
		text := kmsmigrate.EncodeBlob(blob)
		for i := range 5 {
			run(t, db, d.args("INSERT INTO "+name+" (id, known, forgotten, note, three_lines, four, doc, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
				i, blob, text, "a note that is no ciphertext, 550e8400-e29b-41d4-a716-446655440000", text+"\nAAAA\nBBBB", `{"DataKeyIV":"AAAA","EncryptedDataKey":"AAAA","Iv":"AAAA","CipherText":"AAAA"}`, fmt.Sprintf(`{"a":[1,{"b":%q}]}`, text), i)
		}
		discovery, err := rekeysql.Discover(t.Context(), db, "", 0, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "known"})
		require.NoError(t, err)
		forms := map[string]string{}
		var last rekeysql.Found
		require.Contains(t, strings.Join(discovery.Undiscoverable, "\n"), "four-field form of the instance SDK", "what is not found is said")
		for _, found := range discovery.Found {
			if found.Table != name { // the servers hold other tests' tables too
				continue
			}
			require.Len(t, found.Forms, 1)
			for form, n := range found.Forms {
				require.EqualValues(t, 5, n)
				forms[found.Column] = form
			}
			if version, _ := kmsmigrate.BlobVersion(blob); found.Column != "four" { // which does not tell
				require.Equal(t, version, found.Example)
			}
			last = found
		}
		require.Equal(t, map[string]string{"known": rekeysql.FormBlob, "forgotten": rekeysql.FormBase64, "three_lines": rekeysql.FormLine, "four": rekeysql.FormFields, "doc": rekeysql.FormJSON}, forms)
		require.Equal(t, "known", last.Column)
		require.True(t, last.Declared)
	})
}

func FuzzLook(f *testing.F) {
	blob, err := keytest.New(keytest.Config{KMS1: true}).Encrypt(context.Background(), []byte("x"), nil)
	require.NoError(f, err)
	text := kmsmigrate.EncodeBlob(blob)
	for _, seed := range []string{string(blob), text, "a," + text + ",b", `{"a":["` + text + `"]}`, `{"a":"{\"b\":\"` + text + `\"}"}`, "[[[[", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		s, ok := rekeysql.Look(value)
		require.Equal(t, ok, s.Form != "")
		if s.Head != nil {
			version, isBlob := kmsmigrate.BlobVersion(s.Head)
			require.True(t, isBlob)
			require.Equal(t, version, s.Version)
		}
	})
}
