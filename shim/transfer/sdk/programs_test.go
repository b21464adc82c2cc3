package sdk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// programs are official example programs, and one of the plain SDK, each twice in one binary: as it is, and with another import path.
type programs struct {
	binary string
	names  []string
}

// placeholders are filled with what the environment says, and nothing else of a program is touched but the import path.
var placeholders = map[string]string{
	`"<your region id>"`: `os.Getenv("KMS_REGION")`, `<your access key id env name>`: `KMS_ID`, `<your access key secret env name>`: `KMS_SECRET`,
	"`<your client key content>`": `os.Getenv("KMS_CLIENT_KEY")`, `"<your client key password>"`: `os.Getenv("KMS_PASSWORD")`,
	`"<your dkms instance service endpoint>"`: `os.Getenv("KMS_INSTANCE")`, `"<your key id>"`: `os.Getenv("KMS_KEY")`,
	`"<your key version id>"`: `os.Getenv("KMS_VERSION")`, `"<your algorithm>"`: `os.Getenv("KMS_ALGORITHM")`, `"<your digest>"`: `os.Getenv("KMS_DIGEST")`,
	`"<your signature>"`: `os.Getenv("KMS_SIGNATURE")`, `"<your ciphertext blob>"`: `os.Getenv("KMS_BLOB")`, `"<your ciphertextBlob>"`: `os.Getenv("KMS_BLOB")`,
	`"<your plaintext>"`: `os.Getenv("KMS_PLAINTEXT")`, `"<your secret name>"`: `os.Getenv("KMS_SECRET_NAME")`, `"path/to/caCert.pem"`: `os.Getenv("KMS_CA")`,
}

// moved are the import paths that change.
var moved = map[string]string{
	`"github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"`:   `"github.com/keyhaul/keyhaul/shim/transfer/sdk"`,
	`"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"`:       `"github.com/keyhaul/keyhaul/shim/kms"`,
	`dedicatedkmsopenapi "github.com/aliyun/alibabacloud-dkms-gc`: `dedicatedkmsopenapi "github.com/aliyun/alibabacloud-dkms-gc`,
}

func output(t *testing.T, dir string, command ...string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Dir = dir
	var said bytes.Buffer
	run.Stderr = &said
	out, err := run.Output()
	require.NoError(t, err, "%s: %s", command, said.String())
	return strings.TrimSpace(string(out))
}

// build makes one module of all programs, beside this one. A program's package clause and main are changed, so that they fit into one binary.
func build(t *testing.T) programs {
	t.Helper()
	root := filepath.Dir(output(t, ".", "go", "env", "GOMOD"))
	official := output(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk")
	sources, err := filepath.Glob(filepath.Join(official, "examples", "*.go"))
	require.NoError(t, err)
	require.Len(t, sources, 10)
	dir := t.TempDir()
	var all programs
	main := "package main\n\nimport (\n\"os\"\n"
	run := ""
	for _, source := range append(sources, filepath.Join("testdata", "kmsclient.go.txt")) {
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(source), ".txt"), ".go"), "_sample")
		name = strings.ReplaceAll(name, "_", "")
		all.names = append(all.names, name)
		program := string(text)
		for from, to := range placeholders {
			program = strings.ReplaceAll(program, from, to)
		}
		require.NotContains(t, program, "<your", name)
		program = strings.Replace(strings.Replace(program, "package main", "package "+name, 1), "func main()", "func Main()", 1)
		other := program
		for from, to := range moved {
			other = strings.ReplaceAll(other, from, to)
		}
		require.NotEqual(t, program, other, name)
		for variant, text := range map[string]string{"original": program, "moved": other} {
			place := filepath.Join(dir, variant, name)
			require.NoError(t, os.MkdirAll(place, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(place, "main.go"), []byte(text), 0o600))
			main += fmt.Sprintf("%s_%s \"programs/%s/%s\"\n", variant, name, variant, name)
			run += fmt.Sprintf("case \"%s/%s\": %s_%s.Main()\n", variant, name, variant, name)
		}
	}
	main += ")\n\nfunc main() {\nswitch os.Args[1] {\n" + run + "}\n}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o600))
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	module = regexp.MustCompile(`(?m)^module .*$`).ReplaceAll(module, []byte("module programs"))
	module = append(module, "\nrequire github.com/keyhaul/keyhaul v0.0.0\nreplace github.com/keyhaul/keyhaul => "+root+"\n"...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), module, 0o600))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	all.binary = filepath.Join(dir, "programs.bin")
	output(t, dir, "go", "build", "-o", all.binary, ".")
	return all
}

// run runs a program and returns what it printed. Its values that differ from run to run are kept out, and returned by their names.
func (p programs) run(t *testing.T, variant, name string, env map[string]string) (printed string, differs map[string]string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), p.binary, variant+"/"+name)
	command.Env = os.Environ()
	for key, value := range env {
		command.Env = append(command.Env, key+"="+value)
	}
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", variant, name, out)
	differs = map[string]string{}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, line := range lines {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		fresh := slices.Contains([]string{"RequestId", "CiphertextBlob", "Signature"}, field) || strings.HasPrefix(name, "generate") && field == "Plaintext"
		if fresh {
			require.NotEmpty(t, value, "%s %s: %s", variant, name, field)
			differs[field], lines[i] = value, field+": …"
		}
	}
	return strings.Join(lines, "\n"), differs
}

// stage is a region with a shared key, and two instances with a key for each kind of work.
type stage struct {
	cloud  *kmstest.Cloud
	region *kmstest.Region
	shared *kmstest.Key
	ends   [2]end
}

type end struct {
	instance                   *kmstest.Instance
	clientKey                  *kmstest.ClientKey
	symmetric, wrapper, signer *kmstest.Key
}

func newStage(t *testing.T) *stage {
	t.Helper()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	s := &stage{cloud: cloud}
	s.region, err = cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	s.shared, err = s.region.CreateKey(kmstest.KeySpec{Alias: "alias/shared"})
	require.NoError(t, err)
	for i := range s.ends {
		e := &s.ends[i]
		e.instance, err = s.region.CreateInstance(kmstest.InstanceSpec{})
		require.NoError(t, err)
		e.clientKey, err = e.instance.CreateClientKey()
		require.NoError(t, err)
		for into, spec := range map[**kmstest.Key]kmstest.KeySpec{
			&e.symmetric: {}, &e.wrapper: {Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"}, &e.signer: {Spec: "EC_P256", Usage: "SIGN/VERIFY"},
		} {
			*into, err = e.instance.CreateKey(spec)
			require.NoError(t, err)
		}
	}
	_, err = s.ends[0].instance.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "s3cret", Key: s.ends[0].symmetric})
	require.NoError(t, err)
	return s
}

// env is what the programs read.
func (s *stage) env(t *testing.T, e end) map[string]string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, e.instance.CA(), 0o600))
	id, secret := s.cloud.Credentials()
	return map[string]string{
		"KMS_REGION": s.region.ID, "KMS_ID": id, "KMS_SECRET": secret, "KMS_CLIENT_KEY": string(e.clientKey.JSON), "KMS_PASSWORD": e.clientKey.Password,
		"KMS_INSTANCE": e.instance.Addr, "KMS_CA": ca, "KMS_PLAINTEXT": "hello", "KMS_SECRET_NAME": "db", "KMS_GATEWAY": s.region.HTTPS,
	}
}

// migration writes a migration file and returns what names it.
func (s *stage) migration(t *testing.T, fields map[string]any) map[string]string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "region.pem"), s.region.CA(), 0o600))
	if fields["old"] == nil {
		fields["old"] = map[string]any{"endpoint": s.region.HTTPS, "caFile": "region.pem"}
	}
	for i, e := range s.ends {
		for name, content := range map[string][]byte{"ca": e.instance.CA(), "key": e.clientKey.JSON, "password": []byte(e.clientKey.Password)} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(name, i)), content, 0o600))
		}
	}
	text, err := json.Marshal(fields)
	require.NoError(t, err)
	file := filepath.Join(dir, "migration.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return map[string]string{"KEYHAUL_MIGRATION": file}
}

func with(env map[string]string, more ...any) map[string]string {
	out := map[string]string{}
	for k, v := range env {
		out[k] = v
	}
	for i := 0; i < len(more); i++ {
		if m, ok := more[i].(map[string]string); ok {
			for k, v := range m {
				out[k] = v
			}
			continue
		}
		out[more[i].(string)] = more[i+1].(string)
		i++
	}
	return out
}

// inputs are what each program gets beside: the key of its kind, and what another one made.
func inputs(t *testing.T, s *stage, e end) map[string]map[string]string {
	t.Helper()
	official, err := e.instance.TransferClient(e.clientKey)
	require.NoError(t, err)
	encrypt := kms.CreateEncryptRequest()
	encrypt.KeyId, encrypt.Plaintext = e.symmetric.ID(), "aGVsbG8="
	sealed, err := official.Encrypt(encrypt)
	require.NoError(t, err)
	wrap := kms.CreateAsymmetricEncryptRequest()
	wrap.KeyId, wrap.KeyVersionId, wrap.Algorithm, wrap.Plaintext = e.wrapper.ID(), e.wrapper.VersionID(), "RSAES_OAEP_SHA_256", "aGVsbG8="
	wrapped, err := official.AsymmetricEncrypt(wrap)
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("hello"))
	sign := kms.CreateAsymmetricSignRequest()
	sign.KeyId, sign.KeyVersionId, sign.Algorithm, sign.Digest = e.signer.ID(), e.signer.VersionID(), "ECDSA_SHA_256", base64.StdEncoding.EncodeToString(sum[:])
	signed, err := official.AsymmetricSign(sign)
	require.NoError(t, err)
	symmetric := map[string]string{"KMS_KEY": e.symmetric.ID()}
	wrapper := map[string]string{"KMS_KEY": e.wrapper.ID(), "KMS_VERSION": e.wrapper.VersionID(), "KMS_ALGORITHM": wrap.Algorithm, "KMS_BLOB": wrapped.CiphertextBlob}
	signer := map[string]string{"KMS_KEY": e.signer.ID(), "KMS_VERSION": e.signer.VersionID(), "KMS_ALGORITHM": sign.Algorithm, "KMS_DIGEST": sign.Digest, "KMS_SIGNATURE": signed.Value}
	return map[string]map[string]string{
		"encrypt": symmetric, "decrypt": with(symmetric, "KMS_BLOB", sealed.CiphertextBlob), "generatedatakey": symmetric, "generatedatakeywithoutplaintext": symmetric,
		"asymmetricencrypt": wrapper, "asymmetricdecrypt": wrapper, "asymmetricsign": signer, "asymmetricverify": signer, "getpublickey": signer,
		"getsecretvalue": {}, "kmsclient": {"KMS_KEY": "alias/shared"},
	}
}

// TestOfficialProgramsNeedAnotherImportPathAlone runs each as it is and with the import path changed.
func TestOfficialProgramsNeedAnotherImportPathAlone(t *testing.T) {
	t.Parallel()
	p := build(t)
	t.Run("and print the same before they migrate", func(t *testing.T) {
		t.Parallel()
		printTheSame(t, p)
	})
	t.Run("and migrate", func(t *testing.T) {
		t.Parallel()
		migrate(t, p)
	})
}

func printTheSame(t *testing.T, p programs) {
	t.Helper()
	s := newStage(t)
	here, there := s.ends[0], s.ends[1]
	env := s.env(t, here)
	given := inputs(t, s, here)
	arrives := s.migration(t, map[string]any{"phase": "new-only", "signing": "new-only", "keyMap": map[string]any{"keys": map[string]string{
		here.symmetric.ID(): here.symmetric.ID(), here.wrapper.ID(): here.wrapper.ID(), here.signer.ID(): here.signer.ID(),
	}}})
	leaves := s.migration(t, map[string]any{
		"phase": "read-both", "keyMap": map[string]any{"default": there.symmetric.ID()},
		"new": map[string]any{"caFile": "region.pem", "endpoint": s.region.HTTPS, "clientKey": map[string]any{"endpoint": there.instance.Addr, "caFile": "ca1", "file": "key1", "passwordFile": "password1"}},
	})
	stays := s.migration(t, map[string]any{"phase": "old-only", "old": map[string]any{}})
	for _, name := range p.names {
		want, _ := p.run(t, "original", name, with(env, given[name]))
		files := map[string]map[string]string{"on its way to the instance, arrived": arrives, "about to leave the instance": leaves}
		if name == "kmsclient" {
			files = map[string]map[string]string{"not begun": stays, "begun": leaves}
		}
		for what, file := range files {
			s.cloud.ResetEvidence()
			got, _ := p.run(t, "moved", name, with(env, given[name], file))
			require.Equal(t, want, got, "%s, %s", name, what)
			require.Zero(t, s.cloud.Count(there.instance.Match()), "%s, %s", name, what)
		}
	}
}

// migrate has the same programs write with the new key and read what the old one wrote.
func migrate(t *testing.T, p programs) {
	t.Helper()
	s := newStage(t)
	here, there := s.ends[0], s.ends[1]
	env, given := s.env(t, here), inputs(t, s, here)
	file := s.migration(t, map[string]any{
		"phase": "write-new", "keyMap": map[string]any{"keys": map[string]string{here.symmetric.ID(): there.symmetric.ID(), "alias/shared": there.symmetric.ID()}},
		"new": map[string]any{"caFile": "region.pem", "endpoint": s.region.HTTPS, "clientKey": map[string]any{"endpoint": there.instance.Addr, "caFile": "ca1", "file": "key1", "passwordFile": "password1"}},
	})
	printed, made := p.run(t, "moved", "encrypt", with(env, given["encrypt"], file))
	require.Contains(t, printed, "KeyId: "+there.symmetric.ID())
	before, _ := p.run(t, "original", "decrypt", with(env, given["decrypt"]))
	after, _ := p.run(t, "moved", "decrypt", with(env, given["decrypt"], file))
	require.Equal(t, before, after, "the old side's ciphertext")
	fromNew, _ := p.run(t, "moved", "decrypt", with(env, file, "KMS_BLOB", made["CiphertextBlob"]))
	require.Contains(t, fromNew, "KeyId: "+there.symmetric.ID())

	// The plain transfer SDK, with the new instance's ClientKey, takes over.
	official, err := there.instance.TransferClient(there.clientKey)
	require.NoError(t, err)
	decrypt := kms.CreateDecryptRequest()
	decrypt.CiphertextBlob = made["CiphertextBlob"]
	back, err := official.Decrypt(decrypt)
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte("hello")), back.Plaintext)

	kmsPrinted, _ := p.run(t, "moved", "kmsclient", with(env, given["kmsclient"], file))
	require.Contains(t, kmsPrinted, "KeyId: "+there.symmetric.ID())
	require.Contains(t, kmsPrinted, "Same data key: true 44")
}
