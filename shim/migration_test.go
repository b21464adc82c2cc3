package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/shim"
)

func configOf(t *testing.T, file string) error {
	t.Helper()
	name := filepath.Join(t.TempDir(), "migration.json")
	require.NoError(t, os.WriteFile(name, []byte(file), 0o600))
	m, err := shim.ReadMigrationFile(name)
	if err == nil {
		_, err = m.Config(shim.Application{Gateway: alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "secret"}})
	}
	if err != nil {
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.Contains(t, err.Error(), name)
		require.Equal(t, 1, strings.Count(err.Error(), kmsmigrate.ErrInvalid.Error()), err.Error())
	}
	return err
}

// TestAMigrationFileSaysItsPhase and says it once: nobody would notice a process that stays on the old key.
func TestAMigrationFileSaysItsPhase(t *testing.T) {
	t.Parallel()
	const rest = `"keyMap": {"default": "key-1"}, "new": {"region": "cn-shanghai"}`
	require.NoError(t, configOf(t, `{"phase": "write-new", `+rest+`}`))
	for file, says := range map[string]string{
		`{}`:                            "phase",
		`null`:                          "phase",
		`{"phase": null, ` + rest + `}`: "phase",
		`{` + rest + `}`:                "phase",
		`{"phase": "", ` + rest + `}`:   "phase",
		`{"signing": "new-only", "phase": "write-new", "phase": "old-only"}`:               `"phase" twice`,
		`{"phase": "write-new", "Phase": "old-only"}`:                                      `"Phase" twice`,
		`{"phase": "old-only", "new": {"region": "a", "region": "b"}}`:                     `"region" twice`,
		"\xef\xbb\xbf" + `{"phase": "write-new", ` + rest + `}`:                            "byte order mark",
		`{"phase": "write-new", "new": {"region": "cn-shanghai"}}`:                         "keyMap",
		`{"phase": "write-new", "keyMap": null, "new": {"region": "cn-shanghai"}}`:         "keyMap",
		`{"phase": "write-new", "keyMap": {"kyes": {}}, "new": {"region": "cn-shanghai"}}`: "keyMap",
	} {
		require.ErrorContains(t, configOf(t, file), says, file)
	}
	require.NoError(t, configOf(t, `{"phase": "old-only", "keyVersions": {"key-a": "1", "key-A": "2"}}`), "ids differ by case")
}

func TestAnErrorOfAMigrationFileNamesFieldsAndNoValues(t *testing.T) {
	t.Setenv("KEYHAUL_TEST_EMPTY", "")
	t.Setenv("KEYHAUL_TEST_SET", "something")
	for endpoint, says := range map[string]string{
		`"accessKeyIdFrom": "LTAIplanted", "accessKeySecretFrom": "planted"`:                                                          "accessKeyIdFrom",
		`"accessKeyIdFrom": "KEYHAUL_TEST_SET", "accessKeySecretFrom": "planted"`:                                                     "accessKeySecretFrom",
		`"accessKeyIdFrom": "KEYHAUL_TEST_SET"`:                                                                                       "accessKeySecretFrom",
		`"accessKeyIdFrom": "KEYHAUL_TEST_SET", "accessKeySecretFrom": "KEYHAUL_TEST_SET", "securityTokenFrom": "planted"`:            "securityTokenFrom",
		`"accessKeyIdFrom": "KEYHAUL_TEST_SET", "accessKeySecretFrom": "KEYHAUL_TEST_SET", "securityTokenFrom": "KEYHAUL_TEST_EMPTY"`: "securityTokenFrom",
		`"securityTokenFrom": "KEYHAUL_TEST_SET"`:                                                                                     "securityTokenFrom",
	} {
		err := configOf(t, `{"phase": "write-new", "keyMap": {"default": "key-1"}, "new": {"region": "cn-shanghai", `+endpoint+`}}`)
		require.ErrorContains(t, err, says, endpoint)
		require.NotContains(t, err.Error(), "planted")
	}
}

func TestAnErrorSaysOnceThatTheInputIsInvalid(t *testing.T) {
	t.Parallel()
	_, err := shim.NewTransport(shim.Config{Old: alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "secret", CAFile: "no.pem"}})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.Equal(t, 1, strings.Count(err.Error(), kmsmigrate.ErrInvalid.Error()), err.Error())
}
