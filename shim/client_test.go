package shim_test

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// migrating makes a Client in a phase.
func (w *world) migrating(tb testing.TB, phase kmsmigrate.PhaseSource) *shim.Client {
	tb.Helper()
	config := w.config
	config.Phase = phase
	client, err := shim.NewMigratingClient(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return client
}

// TestClientHasEveryMethodOfTheOfficialOnes compares the method sets, parameters and results included.
func TestClientHasEveryMethodOfTheOfficialOnes(t *testing.T) {
	t.Parallel()
	ours := reflect.TypeFor[*shim.Client]()
	for _, theirs := range []reflect.Type{reflect.TypeFor[*kms.Client](), reflect.TypeFor[*transfer.KmsTransferClient]()} {
		require.Greater(t, theirs.NumMethod(), 300)
		for i := range theirs.NumMethod() {
			want := theirs.Method(i)
			got, ok := ours.MethodByName(want.Name)
			require.True(t, ok, "%s has no %s", ours, want.Name)
			require.Equal(t, signature(want), signature(got), want.Name)
		}
	}
}

// signature is a method's type without its receiver.
func signature(m reflect.Method) string {
	var parts []string
	for i := 1; i < m.Type.NumIn(); i++ {
		parts = append(parts, m.Type.In(i).String())
	}
	parts = append(parts, "->")
	for i := range m.Type.NumOut() {
		parts = append(parts, m.Type.Out(i).String())
	}
	return strings.Join(parts, " ")
}

// TestOneClientServesManyGoroutines is for the race detector; they share the requests, too.
func TestOneClientServesManyGoroutines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phase := new(kmsmigrate.PhaseSwitch)
	require.NoError(t, phase.Jump(kmsmigrate.ReadBoth))
	client := w.migrating(t, phase)
	shared := kms.CreateEncryptRequest()
	shared.KeyId, shared.Plaintext, shared.EncryptionContext = "alias/app", "hello", `{"a":"1"}`
	var wait sync.WaitGroup
	for n := range 64 {
		wait.Go(func() {
			for i := range 4 {
				if n == 0 && i == 2 {
					require.NoError(t, phase.Set(kmsmigrate.WriteNew))
				}
				made, err := client.Encrypt(shared)
				if !errorIsNil(t, err) {
					return
				}
				request := kms.CreateDecryptRequest()
				request.CiphertextBlob, request.EncryptionContext = made.CiphertextBlob, shared.EncryptionContext
				got, failed := client.DecryptWithChan(request)
				back, ok := <-got
				if !ok {
					errorIsNil(t, <-failed)
					return
				}
				if back.Plaintext != "hello" {
					t.Errorf("got %d bytes back", len(back.Plaintext))
				}
				client.SetReadTimeout(time.Minute)
				client.SetHTTPSInsecure(false)
			}
		})
	}
	wait.Wait()
	require.Equal(t, 256, w.cloud.Count(kmstest.Match{Action: "Encrypt", OK: true}))
}

func errorIsNil(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Errorf("call: %v", err)
	}
	return err == nil
}

func TestARequestIsNotSticky(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.migrating(t, kmsmigrate.ReadBoth)
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext, request.EncryptionContext = "alias/app", "hello", `{"a":"1"}`
	_, err := client.Encrypt(request)
	require.NoError(t, err)
	require.Empty(t, request.GetDomain())
	require.Empty(t, request.GetQueryParams())
	request.EncryptionContext = ""
	made, err := client.Encrypt(request)
	require.NoError(t, err)
	decrypt := kms.CreateDecryptRequest()
	decrypt.CiphertextBlob = made.CiphertextBlob
	back, err := client.Decrypt(decrypt)
	require.NoError(t, err, "it was encrypted without the context")
	require.Equal(t, "hello", back.Plaintext)
}

func TestAsynchronousFormsAlwaysAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.migrating(t, kmsmigrate.WriteNew)
	request := kms.CreateDescribeKeyRequest()
	request.KeyId = w.new.ID()
	for _, before := range []func(){func() {}, func() { client.EnableAsync(1, 1) }, client.Shutdown} {
		before()
		got, failed := client.DescribeKeyWithChan(request)
		require.NotNil(t, <-got)
		require.NoError(t, <-failed)
		called := false
		require.Equal(t, 1, <-client.DescribeKeyWithCallback(request, func(_ *kms.DescribeKeyResponse, err error) { called = err == nil }))
		require.True(t, called)
		require.Equal(t, 1, <-client.DescribeKeyWithCallback(request, nil))
	}
	require.Error(t, client.AddAsyncTask(nil))
}

func TestRequestsThatAreNoneAreErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.migrating(t, kmsmigrate.WriteNew)
	_, err := client.Encrypt(nil)
	require.ErrorContains(t, err, "SDK.InvalidParam")
	_, err = client.Encrypt(&kms.EncryptRequest{})
	require.ErrorContains(t, err, "SDK.InvalidParam")
	_, err = client.Encrypt(&kms.EncryptRequest{RpcRequest: &requests.RpcRequest{}})
	require.ErrorContains(t, err, "SDK.InvalidParam")
	for _, request := range []*requests.CommonRequest{nil, {}} {
		_, err = client.ProcessCommonRequest(request)
		require.ErrorContains(t, err, "SDK.InvalidParam")
	}
	require.ErrorContains(t, client.DoAction(nil, kms.CreateEncryptResponse()), "SDK.InvalidParam")
	other := requests.NewCommonRequest()
	other.Version, other.ApiName = "2015-04-01", "AssumeRole"
	_, err = client.ProcessCommonRequest(other)
	require.ErrorContains(t, err, "SDK.UnsupportedProduct")
	require.Zero(t, w.cloud.Count(kmstest.Match{}))
}

func TestAClientsReadTimeoutBoundsItsCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.Inject(kmstest.Fault{Hang: true})
	client := w.migrating(t, kmsmigrate.WriteNew)
	client.SetReadTimeout(50 * time.Millisecond)
	began := time.Now()
	_, err := plain(t, client, "Encrypt", "XML", map[string]string{"KeyId": "alias/app", "Plaintext": secretText})
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, "ServiceUnavailableTemporary", serverError(t, err).ErrorCode())
	hidesSecrets(t, w, err)
}
