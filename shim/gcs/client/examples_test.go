package client_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alibabacloud-go/tea/tea.init.0.func1"))
}

const (
	original = "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk"
	ours     = "github.com/keyhaul/keyhaul/shim/gcs/client"
)

// side is one instance with a key of each kind.
type side struct {
	instance         *kmstest.Instance
	clientKey        *kmstest.ClientKey
	data, rsa, signs *kmstest.Key
}

func newSide(t *testing.T, cloud *kmstest.Cloud, id, secret string) side {
	t.Helper()
	region, err := cloud.Region(id)
	require.NoError(t, err)
	var s side
	s.instance, err = region.CreateInstance(kmstest.InstanceSpec{})
	require.NoError(t, err)
	for into, spec := range map[**kmstest.Key]string{&s.data: "Aliyun_AES_256", &s.rsa: "RSA_2048", &s.signs: "EC_P256"} {
		*into, err = s.instance.CreateKey(kmstest.KeySpec{Spec: spec})
		require.NoError(t, err)
	}
	_, err = s.instance.CreateSecret(kmstest.SecretSpec{Name: "db", Value: secret, Key: s.data})
	require.NoError(t, err)
	s.clientKey, err = s.instance.CreateClientKey()
	require.NoError(t, err)
	return s
}

// TestTheOfficialExamplesRunWithTheirImportPathChanged builds every example program of the SDK, with nothing changed but the import path and what
// stands in them to be filled in, and runs it in the phases of a migration that a file describes.
func TestTheOfficialExamplesRunWithTheirImportPathChanged(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	old, fresh := newSide(t, cloud, "cn-hangzhou", "of the old side"), newSide(t, cloud, "cn-shanghai", "of the new side")
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	programs := examples(t, folder, map[string]string{
		"yourPlaintext": "some plaintext", "your plaintext": "some plaintext", "<your plaintext data>": "some plaintext",
		"<your key id>": old.data.ID(), "yourSymmetricKeyId": old.data.ID(), "<your symmetric key id>": old.data.ID(), "your keyId": old.data.ID(),
		"<your symmetric key id or alias>": old.data.ID(), "<your asymmetric key id>": old.rsa.ID(), "yourAsymmetricKeyId": old.signs.ID(), "yourKeyId": old.signs.ID(),
		"path/to/caCert.pem": write("old/ca.pem", old.instance.CA()), "your caFilePath": filepath.Join(folder, "old/ca.pem"),
		"yourClientKeyContent": string(old.clientKey.JSON), "your clientKeyFile": write("old/key.json", old.clientKey.JSON),
		"yourClientKeyPassword": old.clientKey.Password, "your clientKeyPassword": old.clientKey.Password,
		"yourEndpoint": old.instance.Addr, "your endpoint": old.instance.Addr, "your keyPairSpec": "RSA_2048", "<your-dkms-secret-name>": "db",
	})
	write("new/ca.pem", fresh.instance.CA())
	write("new/key.json", fresh.clientKey.JSON)
	write("new/password", []byte(fresh.clientKey.Password))
	retain(t, filepath.Join(folder, "retained.json"), &old, &fresh)

	prints := map[string]string{
		"advance_encrypt_advance_decrypt": "some plaintext", "asymmetric_encrypt_decrypt": "some plaintext", "encrypt_advance_decrypt": "some plaintext",
		"encrypt_decrypt": "some plaintext", "envelope_encrypt_decrypt": "some plaintext", "advance_generate_data_key": "KeyId: {key}", "generate_data_key": "KeyId: {key}",
		"generate_data_key_pair_key_sign_verify": "true", "get_public_key": "-----BEGIN PUBLIC KEY-----", "get_secret_value": "{secret}", "sign_verify": "true",
	}
	require.Len(t, programs, len(prints))
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.WriteNew, kmsmigrate.NewOnly} {
		signing, writes, secret := kmsmigrate.OldOnly, &old, "of the old side"
		if phase != kmsmigrate.OldOnly {
			signing, writes = kmsmigrate.NewOnly, &fresh
		}
		if phase == kmsmigrate.NewOnly {
			secret = "of the new side"
		}
		migration, err := json.Marshal(map[string]any{
			"phase": phase, "signing": signing, "retained": "retained.json",
			"keyVersions": map[string]string{old.signs.ID(): old.signs.VersionID(), fresh.signs.ID(): fresh.signs.VersionID()},
			"keyMap":      map[string]any{"keys": map[string]string{old.data.ID(): fresh.data.ID(), old.rsa.ID(): fresh.rsa.ID(), old.signs.ID(): fresh.signs.ID()}},
			"new":         map[string]any{"clientKey": map[string]string{"endpoint": fresh.instance.Addr, "caFile": "new/ca.pem", "file": "new/key.json", "passwordFile": "new/password"}},
		})
		require.NoError(t, err)
		file := write("migration-"+phase.String()+".json", migration)
		for name, program := range programs {
			cloud.ResetEvidence()
			run := exec.CommandContext(t.Context(), program)
			run.Env = append(os.Environ(), "KEYHAUL_MIGRATION="+file)
			out, err := run.CombinedOutput()
			require.NoError(t, err, "%s in %s: %s", name, phase, out)
			require.Contains(t, string(out), strings.NewReplacer("{key}", writes.data.ID(), "{secret}", secret).Replace(prints[name]), "%s in %s", name, phase)
			called, other := cloud.Count(old.instance.Match()), cloud.Count(fresh.instance.Match())
			switch {
			case name == "get_public_key":
				require.Zero(t, called+other, "it is retained")
			case phase == kmsmigrate.OldOnly || name == "get_secret_value" && phase != kmsmigrate.NewOnly:
				require.Positive(t, called, "%s in %s", name, phase)
				require.Zero(t, other, "%s in %s", name, phase)
			case name == "envelope_encrypt_decrypt" && phase == kmsmigrate.WriteNew:
				require.Equal(t, []int{1, 2}, []int{called, other}, "it names the old key when it decrypts, so that is tried first")
			default:
				require.Zero(t, called, "%s in %s", name, phase)
				require.Positive(t, other, "%s in %s", name, phase)
			}
		}
	}
}

// retain writes the public keys that sign to a file.
func retain(t *testing.T, file string, sides ...*side) {
	t.Helper()
	store := new(verify.Memory)
	for _, s := range sides {
		official, err := s.instance.SDKClient(s.clientKey)
		require.NoError(t, err)
		public, err := official.GetPublicKey(&dkms.GetPublicKeyRequest{KeyId: tea.String(s.signs.ID())})
		require.NoError(t, err)
		key, err := verify.Retain(s.signs.ID(), s.signs.VersionID(), *public.PublicKey, time.Time{})
		require.NoError(t, err)
		require.NoError(t, store.Add(key))
	}
	require.NoError(t, store.WriteFile(file))
}

// examples builds the example programs of the SDK and returns where each is. filled says what takes the place of the texts that are to be filled in.
func examples(t *testing.T, folder string, filled map[string]string) map[string]string {
	t.Helper()
	where, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", original).Output()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(where)), "example", "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	here, err := os.Getwd()
	require.NoError(t, err)
	overlay, programs := map[string]string{}, map[string]string{}
	build := []string{"build", "-ldflags", "-s -w", "-overlay", filepath.Join(folder, "overlay.json"), "-o", filepath.Join(folder, "bin") + string(filepath.Separator)}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".go")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		program := strings.ReplaceAll(string(text), strconv.Quote(original+"/sdk"), strconv.Quote(ours))
		require.NotEqual(t, string(text), program)
		for placeholder, value := range filled {
			program = strings.ReplaceAll(program, strconv.Quote(placeholder), strconv.Quote(value))
		}
		changed := filepath.Join(folder, "src", name+".go")
		require.NoError(t, os.MkdirAll(filepath.Dir(changed), 0o700))
		require.NoError(t, os.WriteFile(changed, []byte(program), 0o600))
		overlay[filepath.Join(here, "testdata", name, "main.go")] = changed // a place in this module, where there is no file
		programs[name] = filepath.Join(folder, "bin", name)
		build = append(build, "./testdata/"+name)
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "overlay.json"), text, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", build...).CombinedOutput()
	require.NoError(t, err, string(out))
	return programs
}
