package kmsmigrate_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestABlobNamesItsKeyVersion(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("\x00", 28)
	for id, of := range map[string]string{
		"86a9efd9-3d16-4894-bd4f-1fc43f3f2abf": "", // from Alibaba's example of ReEncrypt
		"key-hzz62f1cb66fa42qopd9s-17kedvabcd": "key-hzz62f1cb66fa42qopd9s",
	} {
		got, ok := kmsmigrate.BlobVersion([]byte(id + body))
		require.True(t, ok)
		require.Equal(t, id, got)
		key, ok := kmsmigrate.KeyOfVersion(id)
		require.Equal(t, of != "", ok)
		require.Equal(t, of, key)
	}
	for _, bad := range []string{
		"", "short", "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf", // too short for nonce and tag
		"86a9efd9+3d16-4894-bd4f-1fc43f3f2abf" + body,
		"xxa9efd9-3d16-4894-bd4f-1fc43f3f2abf" + body,
		"key-hzz62f1cb66fa42qopd9s_17kedvabcd" + body,
		"$\x00\x02" + "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf" + body,
	} {
		_, ok := kmsmigrate.BlobVersion([]byte(bad))
		require.False(t, ok, bad)
	}
	_, ok := kmsmigrate.KeyOfVersion("key-short")
	require.False(t, ok)
}

func TestBlobStringsAreDecoded(t *testing.T) {
	t.Parallel()
	blob := encrypt(t, keytest.New(keytest.Config{}), "x")
	for _, text := range []string{kmsmigrate.EncodeBlob(blob), " " + kmsmigrate.EncodeBlob(blob) + "\r\n"} {
		got, err := kmsmigrate.DecodeBlob(text)
		require.NoError(t, err)
		require.Equal(t, blob, got)
	}
	for _, bad := range []string{"", "  ", "not base64!", "abc", string(blob)} {
		_, err := kmsmigrate.DecodeBlob(bad)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

func FuzzOpen(f *testing.F) {
	old, next := pair()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{
		Phase: kmsmigrate.Rewrite, Old: old, New: keytest.Blind(next), WastedTrialsPerSecond: -1,
	})
	require.NoError(f, err)
	blob, err := old.Encrypt(f.Context(), []byte("x"), nil)
	require.NoError(f, err)
	for _, n := range []int{0, 1, 10, 35, 36, 47, 48, len(blob)} {
		f.Add(blob[:n])
		f.Add([]byte(kmsmigrate.EncodeBlob(blob[:n])))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := bytes.Clone(data)
		opened, err := c.Open(t.Context(), data, nil)
		require.True(t, err != nil || string(opened.Plaintext) == "x")
		info, err := c.Inspect(data)
		require.True(t, err != nil || len(info.Copies) == 1)
		require.Equal(t, kept, data)
	})
}
