package shim_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	gcsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/gcs/client"
)

// migrationFile reads a migration file whose files are w's new side.
func migrationFile(t *testing.T, w *gcsWorld, text string) shim.Migration {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string][]byte{
		"migration.json": []byte(strings.NewReplacer("ADDR", w.new.instance.Addr, "OLD", w.old.data.ID(), "NEW", w.new.data.ID()).Replace(text)),
		"ca.pem":         w.new.instance.CA(), "key.json": w.new.clientKey.JSON, "password": []byte(w.new.clientKey.Password + "\n"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	m, err := shim.ReadMigrationFile(filepath.Join(folder, "migration.json"))
	require.NoError(t, err)
	return m
}

const gcsMigration = `{"phase": "PHASE", "keyMap": {"keys": {"OLD": "NEW", "alias/data": "NEW"}}, "new": {"clientKey": {"endpoint": "ADDR", "caFile": "ca.pem", "file": "key.json", "passwordFile": "password"}}}`

func gcsFile(t *testing.T, content []byte) *string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	return &name
}

// TestAnInstanceIsMadeOfWhatTheOriginalTakes has the ways of giving ClientKey and CA that the original's examples have.
func TestAnInstanceIsMadeOfWhatTheOriginalTakes(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	ca := tea.String(string(w.old.instance.CA()))
	request := &dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")}
	still := migrationFile(t, w, `{"phase": "old-only"}`)
	for name, c := range map[string]struct {
		change  func(*gcsapi.Config)
		runtime *gcsutil.RuntimeOptions
	}{
		"content":         {func(*gcsapi.Config) {}, nil},
		"https in front":  {func(c *gcsapi.Config) { c.Endpoint = tea.String("https://" + *c.Endpoint) }, nil},
		"time-outs":       {func(c *gcsapi.Config) { c.SetReadTimeout(9000).SetConnectTimeout(5).SetMaxIdleConns(3) }, nil},
		"time-outs in ms": {func(c *gcsapi.Config) { c.SetConnectTimeout(5000).SetUserAgent("mine") }, nil},
		"files": {func(c *gcsapi.Config) {
			c.ClientKeyContent, c.ClientKeyFile, c.Ca, c.CaFilePath = nil, gcsFile(t, w.old.clientKey.JSON), nil, gcsFile(t, w.old.instance.CA())
		}, nil},
		"the CA at the call": {func(c *gcsapi.Config) { c.Ca = nil }, &gcsutil.RuntimeOptions{Verify: ca}},
		"no CA":              {func(c *gcsapi.Config) { c.Ca = nil }, &gcsutil.RuntimeOptions{IgnoreSSL: tea.Bool(true)}},
		"no CA at all":       {func(c *gcsapi.Config) { c.Ca = nil; c.SetIgnoreSSL(true) }, nil},
	} {
		config := w.old.instance.SDKConfig(w.old.clientKey)
		c.change(config)
		before := *config.Endpoint
		i, err := still.Instance(config)
		require.NoError(t, err, name)
		require.Equal(t, before, *config.Endpoint, "what was given is not written to")
		require.Nil(t, config.Type)
		sealed, err := i.EncryptWithOptions(request, c.runtime)
		require.NoError(t, err, name)
		opened, err := i.Decrypt(&client.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err, name)
		require.Equal(t, "hello", string(opened.Plaintext))
		require.NoError(t, i.Close())
	}
}

func TestAConfigOfTheOriginalThatCannotWork(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	still := migrationFile(t, w, `{"phase": "old-only"}`)
	for name, change := range map[string]func(*gcsapi.Config){
		"no endpoint":                   func(c *gcsapi.Config) { c.Endpoint = nil },
		"no ClientKey":                  func(c *gcsapi.Config) { c.ClientKeyContent = nil },
		"wrong password":                func(c *gcsapi.Config) { c.Password = tea.String("wrong") },
		"wrong password, and no CA yet": func(c *gcsapi.Config) { c.Ca, c.Password = nil, tea.String("wrong") },
		"a CA that is none":             func(c *gcsapi.Config) { c.Ca = tea.String("none") },
		"no such file":                  func(c *gcsapi.Config) { c.Ca, c.CaFilePath = nil, tea.String("/nowhere") },
		"a proxy":                       func(c *gcsapi.Config) { c.SetHttpsProxy("proxy:3128") },
		"a key without a certificate":   func(c *gcsapi.Config) { c.ClientKeyContent = nil; c.SetAccessKeyId("id").SetPrivateKey("pem") },
		"plain HTTP to the network":     func(c *gcsapi.Config) { c.SetProtocol("http").SetEndpoint("kst.example.com") },
	} {
		config := w.old.instance.SDKConfig(w.old.clientKey)
		change(config)
		_, err := still.Instance(config)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
		require.NotContains(t, err.Error(), w.old.clientKey.Password)
	}
	_, err := still.Instance(nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	config := w.old.instance.SDKConfig(w.old.clientKey)
	config.Ca = nil
	i, err := still.Instance(config)
	require.NoError(t, err)
	_, err = i.Encrypt(&dkms.EncryptRequest{})
	require.Contains(t, tea.StringValue(gcsError(t, err).Message), "CA is needed")
	_, err = i.EncryptWithOptions(&dkms.EncryptRequest{}, &gcsutil.RuntimeOptions{Verify: tea.String("none")})
	require.Contains(t, tea.StringValue(gcsError(t, err).Message), "CAPEM")
	require.NoError(t, i.Close())
}

// TestAnImportPathAndAFileAreTheWholeChange goes through the phases, each a process of its own, with the CA at the first call as in the original's
// examples.
func TestAnImportPathAndAFileAreTheWholeChange(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	runtime := &gcsutil.RuntimeOptions{Verify: tea.String(string(w.old.instance.CA()))}
	var stored []*client.EncryptResponse
	for _, phase := range phases {
		config := w.old.instance.SDKConfig(w.old.clientKey)
		config.Ca = nil
		i, err := migrationFile(t, w, strings.ReplaceAll(gcsMigration, "PHASE", phase.String())).Instance(config)
		require.NoError(t, err)
		sealed, err := i.EncryptWithOptions(&client.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")}, runtime)
		require.NoError(t, err)
		require.Equal(t, phase.Writes().String(), *sealed.Headers["x-keyhaul-side"])
		for _, value := range append(stored, sealed) {
			opened, err := i.DecryptWithOptions(&client.DecryptRequest{KeyId: value.KeyId, Iv: value.Iv, CiphertextBlob: value.CiphertextBlob}, runtime)
			if phase == kmsmigrate.NewOnly && *value.Headers["x-keyhaul-side"] == "old" {
				require.Equal(t, "Forbidden.KeyNotFound", *gcsError(t, err).Code)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, "hello", string(opened.Plaintext))
		}
		stored = append(stored, sealed)
		require.NoError(t, i.Close())
	}
}

func TestAMigrationFileThatDoesNotSuitAnInstance(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	for text, says := range map[string]string{
		`{"phase": "write-new", "keyMap": {"default": "NEW"}}`:                                           "no new",
		`{"phase": "write-new", "keyMap": {"default": "NEW"}, "new": {"region": "cn-shanghai"}}`:         "clientKey",
		strings.ReplaceAll(gcsMigration, "PHASE", "write-new\", \"signing\": \"write-new"):               "Published",
		strings.ReplaceAll(strings.ReplaceAll(gcsMigration, "PHASE", "write-new"), "ca.pem", "none.pem"): "CA",
	} {
		_, err := migrationFile(t, w, text).Instance(w.old.instance.SDKConfig(w.old.clientKey))
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, text)
		require.ErrorContains(t, err, says, text)
	}
}

// TestTheEnvironmentNamesTheMigrationOfAnInstance changes the environment, and so runs alone.
func TestTheEnvironmentNamesTheMigrationOfAnInstance(t *testing.T) {
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	t.Setenv(shim.MigrationVariable, "")
	_, err := client.NewClient(w.old.instance.SDKConfig(w.old.clientKey))
	require.ErrorContains(t, err, shim.MigrationVariable)
	t.Setenv(shim.MigrationVariable, *gcsFile(t, []byte(`{"phase": "old-only"}`)))
	i := new(client.Client)
	for _, s := range []*gcsSide{&w.old, &w.new} {
		require.NoError(t, i.Init(s.instance.SDKConfig(s.clientKey)))
		sealed, err := i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(s.data.ID()), Plaintext: []byte("hello")})
		require.NoError(t, err)
		require.Equal(t, s.data.ID(), *sealed.KeyId)
	}
	require.ErrorIs(t, i.Init(nil), kmsmigrate.ErrInvalid)
	require.NoError(t, i.Close())
	migrating, err := client.NewMigratingClient(w.config)
	require.NoError(t, err)
	require.NoError(t, migrating.Close())
}
