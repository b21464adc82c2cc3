package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"
)

// serve runs the command until the test ends or stop is called, and returns what it wrote.
func serve(t *testing.T, args ...string) (description, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, w, io.Discard)
		w.CloseWithError(err)
		done <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	raw, err := os.ReadFile(filepath.Join(args[1], "fakekms.json"))
	require.NoError(t, err)
	var d description
	require.NoError(t, json.Unmarshal(raw, &d))
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return d, stop
}

// Only what stands in the files is used here: that is all a program in another language has.
func TestFilesAreAllThatAClientNeeds(t *testing.T) {
	t.Parallel()
	d, _ := serve(t, "-dir", t.TempDir())
	require.Len(t, d.Regions, 2)
	require.Len(t, d.Instances, 2)
	client, err := kms.NewClientWithAccessKey(d.Regions[0].ID, d.AccessKeyID, d.AccessKeySecret)
	require.NoError(t, err)
	client.Domain = d.Regions[0].HTTP
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = "alias/app", "x"
	out, err := client.Encrypt(q)
	require.NoError(t, err)
	require.Equal(t, d.Regions[0].Keys[0].ID, out.KeyId)
	require.Equal(t, d.Regions[0].Keys[0].VersionID, out.KeyVersionId)
	s := kms.CreateGetSecretValueRequest()
	s.SecretName = "app-secret"
	secret, err := client.GetSecretValue(s)
	require.NoError(t, err)
	require.Equal(t, "hello", secret.SecretData)

	for i, algorithm := range []string{"AES_GCM", "SM4_GCM"} {
		instance := d.Instances[i]
		password, err := os.ReadFile(instance.PasswordFile)
		require.NoError(t, err)
		native, err := dkms.NewClient(&dkmsapi.Config{Endpoint: tea.String(instance.Addr), Protocol: tea.String("https"),
			ClientKeyFile: tea.String(instance.ClientKeyFile), Password: tea.String(string(password)), CaFilePath: tea.String(instance.CAFile)})
		require.NoError(t, err)
		sealed, err := native.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(instance.Keys[0].Alias), Plaintext: []byte("x")})
		require.NoError(t, err)
		require.Equal(t, algorithm, tea.StringValue(sealed.Algorithm))
		require.Equal(t, instance.Keys[0].ID, tea.StringValue(sealed.KeyId))
	}
	require.Equal(t, "software", d.Instances[0].Kind)
	require.Equal(t, "hardware", d.Instances[1].Kind)
	for _, k := range append(d.Regions[0].Keys, d.Instances[1].Keys...) {
		require.NotEmpty(t, k.ARN)
		require.Len(t, k.VersionID, 36)
		require.NotEmpty(t, k.Usage)
	}
}

func TestKeptStateGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, stop := serve(t, "-dir", dir, "-keep")
	stop()
	second, _ := serve(t, "-dir", dir, "-keep")
	require.Equal(t, first, second)
}

func TestConfigDecidesWhatThereIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"regions":[{"id":"cn-beijing","keys":[{"alias":"alias/old","uuid":true}],"documented_quotas":true}],
		"instances":[{"name":"i","region":"cn-beijing","kind":"software","internet_access":true,"keys":[{"alias":"alias/new"}],"secrets":[{"name":"s","value":"v","key":"alias/new"}]}]}`), 0o600))
	d, _ := serve(t, "-dir", dir, "-config", file)
	require.Len(t, d.Regions, 1)
	require.Len(t, d.Regions[0].Keys[0].ID, 36)
	require.Equal(t, []secretOutput{{Name: "s", VersionID: "v1", Value: "v"}}, d.Instances[0].Secrets)
}

func TestBadArgumentsAndConfigsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.ErrorContains(t, run(t.Context(), nil, io.Discard, io.Discard), "usage")
	require.ErrorContains(t, run(t.Context(), []string{"-dir", dir, "more"}, io.Discard, io.Discard), "usage")
	require.Error(t, run(t.Context(), []string{"-dir", dir, "-config", filepath.Join(dir, "none")}, io.Discard, io.Discard))
	for content, want := range map[string]string{
		`{`: "unexpected", `{"colour":1}`: "colour", `{"instances":[{"region":"cn-beijing","kind":"software"}]}`: "name",
		`{"instances":[{"name":"i","region":"cn-beijing","kind":"soft"}]}`: "kind",
		`{"regions":[{"id":"x"}]}`:                                   "region id",
		`{"regions":[{"id":"cn-beijing","keys":[{"alias":"old"}]}]}`: "AliasName",
		`{"instances":[{"name":"i","region":"cn-b","kind":"software","keys":[{"alias":"alias/x","spec":"Aliyun_SM4"}]}]}`: "KeySpec",
	} {
		file := filepath.Join(t.TempDir(), "config.json")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := run(ctx, []string{"-dir", dir, "-config", file}, io.Discard, io.Discard)
		cancel()
		require.ErrorContains(t, err, want, content)
	}
}
