package rekeysql_test

import (
	"fmt"
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
		name := d.table(t, db, "CREATE TABLE NAME (id INT NOT NULL PRIMARY KEY, known "+d.blob+", forgotten "+d.text+", note "+d.text+", three_lines "+d.text+", doc "+document+", n INT, at TIMESTAMP NULL)")
		blob, err := keytest.New(keytest.Config{KMS1: true}).Encrypt(t.Context(), []byte("x"), nil)
		require.NoError(t, err)
		text := kmsmigrate.EncodeBlob(blob)
		for i := range 5 {
			run(t, db, d.args("INSERT INTO "+name+" (id, known, forgotten, note, three_lines, doc, n) VALUES (?, ?, ?, ?, ?, ?, ?)"),
				i, blob, text, "a note that is no ciphertext, 550e8400-e29b-41d4-a716-446655440000", text+"\nAAAA\nBBBB", fmt.Sprintf(`{"a":[1,{"b":%q}]}`, text), i)
		}
		all, err := rekeysql.Discover(t.Context(), db, "", 0, rekeysql.Table{Name: name, Key: []string{"id"}, Value: "known"})
		require.NoError(t, err)
		forms := map[string]string{}
		var last rekeysql.Found
		for _, found := range all {
			if found.Table != name { // the servers hold other tests' tables too
				continue
			}
			require.Len(t, found.Forms, 1)
			for form, n := range found.Forms {
				require.EqualValues(t, 5, n)
				forms[found.Column] = form
			}
			version, _ := kmsmigrate.BlobVersion(blob)
			require.Equal(t, version, found.Example)
			last = found
		}
		require.Equal(t, map[string]string{"known": rekeysql.FormBlob, "forgotten": rekeysql.FormBase64, "three_lines": rekeysql.FormLine, "doc": rekeysql.FormJSON}, forms)
		require.Equal(t, "known", last.Column)
		require.True(t, last.Declared)
	})
}
