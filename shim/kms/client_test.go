package kms_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/kms"
)

// world is two regions with a key each, and a migration file that says what the code does not.
type world struct {
	cloud        *kmstest.Cloud
	oldAt, newAt *kmstest.Region
	old, new     *kmstest.Key
	folder       string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	w := &world{cloud: cloud, folder: t.TempDir()}
	for name, into := range map[string]**kmstest.Region{"cn-hangzhou": &w.oldAt, "cn-shanghai": &w.newAt} {
		*into, err = cloud.Region(name)
		require.NoError(t, err)
	}
	w.old, err = w.oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"})
	require.NoError(t, err)
	w.new, err = w.newAt.CreateKey(kmstest.KeySpec{})
	require.NoError(t, err)
	for name, content := range map[string][]byte{"old.pem": w.oldAt.CA(), "new.pem": w.newAt.CA()} {
		require.NoError(t, os.WriteFile(filepath.Join(w.folder, name), content, 0o600))
	}
	return w
}

// file writes a migration file and names it to the process.
func (w *world) file(t *testing.T, change func(map[string]any)) {
	t.Helper()
	fields := map[string]any{
		"phase": "write-new", "keyMap": map[string]any{"keys": map[string]string{"alias/app": w.new.ID()}},
		"old": map[string]any{"caFile": "old.pem"},
		"new": map[string]any{"region": w.newAt.ID, "endpoint": w.newAt.HTTPS, "caFile": "new.pem"},
	}
	if change != nil {
		change(fields)
	}
	text, err := json.Marshal(fields)
	require.NoError(t, err)
	w.text(t, string(text))
}

func (w *world) text(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(w.folder, "migration.json")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	t.Setenv(shim.MigrationVariable, name)
}

func (w *world) client(t *testing.T) *kms.Client {
	t.Helper()
	id, secret := w.cloud.Credentials()
	client, err := kms.NewClientWithAccessKey(w.oldAt.ID, id, secret)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

func encrypt(client *kms.Client, change func(*kms.EncryptRequest)) (*kms.EncryptResponse, error) {
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/app", "hello"
	if change != nil {
		change(request)
	}
	return client.Encrypt(request)
}

func TestTheEndpointIsWhatTheApplicationSays(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		file    func(map[string]any)
		set     func(*kms.Client)
		request func(*kms.EncryptRequest)
	}{
		"Domain": {nil, func(c *kms.Client) { c.Domain = w.oldAt.HTTPS }, nil},
		"EndpointMap": {nil, func(c *kms.Client) {
			c.SetEndpointRules(map[string]string{w.oldAt.ID: w.oldAt.HTTPS}, "regional", "public")
		}, nil},
		"the request": {nil, nil, func(r *kms.EncryptRequest) { r.Domain = w.oldAt.HTTPS }},
		"the file": {func(f map[string]any) { f["old"] = map[string]any{"caFile": "old.pem", "endpoint": w.oldAt.HTTPS} }, func(c *kms.Client) {
			c.Domain = "127.0.0.1:1"
		}, nil},
		"no CA but SetHTTPSInsecure": {func(f map[string]any) { delete(f, "old") }, func(c *kms.Client) {
			c.Domain = w.oldAt.HTTPS
			c.SetHTTPSInsecure(true)
		}, nil},
	} {
		w.file(t, func(f map[string]any) {
			f["phase"] = "read-both"
			if c.file != nil {
				c.file(f)
			}
		})
		client := w.client(t)
		require.Zero(t, client.Stats())
		if c.set != nil {
			c.set(client)
		}
		sealed, err := encrypt(client, c.request)
		require.NoError(t, err, name)
		require.Equal(t, w.old.ID(), sealed.KeyId, name)
		require.EqualValues(t, 1, client.Stats().Old)
	}
}

func TestTheNewSideIsWhatTheFileSays(t *testing.T) {
	w := newWorld(t)
	id, secret := w.cloud.CreateAccessKey()
	t.Setenv("NEW_KMS_ID", id)
	t.Setenv("NEW_KMS_SECRET", secret)
	for _, own := range []bool{false, true} {
		w.file(t, func(f map[string]any) {
			if own {
				f["new"].(map[string]any)["accessKeyIdFrom"], f["new"].(map[string]any)["accessKeySecretFrom"] = "NEW_KMS_ID", "NEW_KMS_SECRET"
			}
		})
		client := w.client(t)
		client.Domain = w.oldAt.HTTPS
		w.cloud.ResetEvidence()
		sealed, err := encrypt(client, nil)
		require.NoError(t, err)
		require.Equal(t, w.new.ID(), sealed.KeyId)
		signedBy, _ := w.cloud.Credentials()
		if own {
			signedBy = id
		}
		require.Equal(t, signedBy, w.cloud.Requests(kmstest.Match{})[0].AccessKeyID)
	}
}

func TestAMigrationThatSaysTooLittleIsRefusedByTheConstructor(t *testing.T) {
	w := newWorld(t)
	id, secret := w.cloud.Credentials()
	construct := func() error {
		_, err := kms.NewClientWithAccessKey(w.oldAt.ID, id, secret)
		return err
	}
	for says, change := range map[string]func(map[string]any){
		"no new":           func(f map[string]any) { delete(f, "new") },
		"key map is empty": func(f map[string]any) { delete(f, "keyMap") },
		"unknown phase":    func(f map[string]any) { f["phase"] = "later" },
		"unknown field":    func(f map[string]any) { f["fase"] = "new-only" },
		"accessKeyIdFrom":  func(f map[string]any) { f["new"].(map[string]any)["accessKeyIdFrom"] = "NO_SUCH_VARIABLE" },
		"CAFile":           func(f map[string]any) { f["new"].(map[string]any)["caFile"] = "no.pem" },
		"others":           func(f map[string]any) { f["others"] = "both" },
		"region id":        func(f map[string]any) { f["new"].(map[string]any)["region"] = "Shanghai!" },
		"Published":        func(f map[string]any) { f["signing"] = "write-new" },
		"no such file":     func(f map[string]any) { f["retained"] = "no.json" },
		"ClientKeyFile": func(f map[string]any) {
			f["new"].(map[string]any)["clientKey"] = map[string]any{"endpoint": "a", "file": "no"}
		},
		`form is "something"`: func(f map[string]any) { f["new"].(map[string]any)["clientKey"] = map[string]any{"form": "something"} },
	} {
		w.file(t, change)
		require.ErrorContains(t, construct(), says)
	}
	for text, says := range map[string]string{`{"phase": "old-only"} {}`: "more than one", `{}`: "no phase", `[]`: "cannot unmarshal", ``: "EOF"} {
		w.text(t, text)
		require.ErrorContains(t, construct(), says)
	}
	t.Setenv(shim.MigrationVariable, filepath.Join(w.folder, "none.json"))
	require.ErrorIs(t, construct(), kmsmigrate.ErrInvalid)
	t.Setenv(shim.MigrationVariable, "")
	require.ErrorContains(t, construct(), shim.MigrationVariable)
	w.file(t, func(f map[string]any) {
		f["phase"] = "old-only"
		delete(f, "new")
		delete(f, "keyMap")
	})
	require.NoError(t, construct(), "nothing has begun")
}

func TestOtherConstructors(t *testing.T) {
	w := newWorld(t)
	w.file(t, nil)
	id, secret := w.cloud.Credentials()
	region := w.oldAt.ID
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", id)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)
	for name, construct := range map[string]func() (*kms.Client, error){
		"Provider": func() (*kms.Client, error) { return kms.NewClientWithProvider(region) },
		"Options": func() (*kms.Client, error) {
			return kms.NewClientWithOptions(region, nil, credentials.NewAccessKeyCredential(id, secret))
		},
		"StsToken": func() (*kms.Client, error) { return kms.NewClientWithStsToken(region, id, secret, "token") },
		"RamRoleArn": func() (*kms.Client, error) {
			return kms.NewClientWithRamRoleArn(region, id, secret, "acs:ram::1:role/r", "s")
		},
		"RamRoleArnAndPolicy": func() (*kms.Client, error) {
			return kms.NewClientWithRamRoleArnAndPolicy(region, id, secret, "acs:ram::1:role/r", "s", "{}")
		},
		"EcsRamRole": func() (*kms.Client, error) { return kms.NewClientWithEcsRamRole(region, "role") },
		"RsaKeyPair": func() (*kms.Client, error) { return kms.NewClientWithRsaKeyPair(region, "id", "key", 3600) },
	} {
		client, err := construct()
		require.NoError(t, err, name)
		require.NoError(t, client.Close(), name)
		_, err = encrypt(client, nil)
		require.ErrorContains(t, err, "closed", name)
	}
	_, err := kms.NewClient()
	require.Error(t, err)
	_, err = kms.NewClientWithOptions(region, nil, struct{}{})
	require.Error(t, err)
	_, err = kms.NewMigratingClient(shim.Config{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	client, err := kms.NewMigratingClient(shim.Config{Old: w.oldAt.GatewayConfig()})
	require.NoError(t, err)
	_, err = encrypt(client, nil)
	require.NoError(t, err)
	require.NoError(t, client.Close())
}
