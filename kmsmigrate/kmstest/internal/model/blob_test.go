package model_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// The example blob of the API reference begins with the KeyVersionId printed in the same example.
func TestParseBlobReadsTheDocumentedExample(t *testing.T) {
	t.Parallel()
	const head = "ODZhOWVmZDktM2QxNi00ODk0LWJkNGYtMWZjNDNmM2YyYWJm"
	raw, err := base64.StdEncoding.DecodeString(head)
	require.NoError(t, err)
	s, ok := model.ParseBlob(append(raw, make([]byte, 72)...))
	require.True(t, ok)
	require.Equal(t, "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf", s.VersionID)
	require.Len(t, s.IV, 12)
	require.Len(t, s.Data, 60)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("$\x00\x02"))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := model.ParseBlob(b); ok {
			require.Equal(t, b, s.Blob())
		}
		if s, ok := model.ParseAdvance(b); ok {
			require.Equal(t, b, s.Advance())
		}
	})
}

func TestIDsHaveTheServicesLengths(t *testing.T) {
	t.Parallel()
	cloud := model.New("1234567890123456", nowFixed, model.Rules{})
	for _, region := range []string{"cn-hangzhou", "cn-zhangjiakou", "ap-southeast-1", "us-1"} {
		door := cloud.Region(region).Shared()
		for _, uuid := range []bool{true, false} {
			m, err := door.CreateKey(model.NewKey{UUID: uuid})
			require.Nil(t, err)
			require.Len(t, m.PrimaryKeyVersion, model.VersionIDSize)
			if uuid {
				require.Len(t, m.KeyId, 36)
				require.NotEqual(t, m.KeyId, m.PrimaryKeyVersion)
			} else {
				require.Len(t, m.KeyId, 25)
				require.Equal(t, m.KeyId+"-", m.PrimaryKeyVersion[:26])
			}
		}
	}
}
