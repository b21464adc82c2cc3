package model_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

func TestContextAADHasTheKnownAnswers(t *testing.T) {
	t.Parallel()
	cloud := model.New("1234567890123456", nowFixed, model.Rules{})
	const ab = "8e85be58c1c372ac29fe7bfa80d8ddcbd04a4032c7b51c1c026d67c55b1ab23f"
	for context, want := range map[string]string{
		"":                       "",
		`{"a":"1","b":"2"}`:      ab,
		`{"b":"2","a":"1"}`:      ab,
		`{"a":"1&b=2"}`:          ab, // nothing is escaped, so these two collide
		"{ }":                    hexSum(""),
		`{"k":""}`:               hexSum("k="),
		`{"ü":"\u00e4","z":"1"}`: hexSum("z=1&ü=ä"),
	} {
		got, err := cloud.ContextAAD("EncryptionContext", context)
		require.Nil(t, err, context)
		require.Equal(t, want, hex.EncodeToString(got), context)
		if context != "" {
			official, err := transfer.EncodeUserEncryptionContext(context)
			require.NoError(t, err)
			require.Equal(t, official, got, "the transfer SDK computes the same")
		}
	}
}

func hexSum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestContextAADRefusesWhatIsNoMapOfStrings(t *testing.T) {
	t.Parallel()
	cloud := model.New("1234567890123456", nowFixed, model.Rules{})
	for _, bad := range []string{"x", "null", "[]", `"a"`, `{"a":1}`, `{"a":null}`, `{"a":["b"]}`, `{"a":{"b":"c"}}`, `{"a":"b"}{}`, `{"a":"b"`,
		`{"a":"` + strings.Repeat("x", 8192) + `"}`} {
		_, err := cloud.ContextAAD("EncryptionContext", bad)
		require.Equal(t, model.InvalidParameter("EncryptionContext"), err, bad)
	}
}
