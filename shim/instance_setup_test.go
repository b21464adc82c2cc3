package shim_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// gcsSide is one KMS instance with a key of each kind, and the official client of it.
type gcsSide struct {
	instance         *kmstest.Instance
	clientKey        *kmstest.ClientKey
	data, rsa, signs *kmstest.Key
	official         *dkms.Client
}

// gcsWorld is a cloud with an instance on either side of a migration.
type gcsWorld struct {
	cloud    *kmstest.Cloud
	old, new gcsSide
	config   shim.InstanceConfig
}

func newGCSWorld(tb testing.TB, oldSpec, newSpec kmstest.InstanceSpec) *gcsWorld {
	tb.Helper()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, cloud.Close()) })
	w := &gcsWorld{cloud: cloud}
	oldSpec.Name, newSpec.Name = "old", "new"
	w.old = gcsPlace(tb, cloud, "cn-hangzhou", oldSpec, "")
	w.new = gcsPlace(tb, cloud, "cn-shanghai", newSpec, "-new")
	keys := map[string]string{
		w.old.data.ID(): w.new.data.ID(), "alias/data": w.new.data.ID(), w.old.rsa.ID(): w.new.rsa.ID(), w.old.signs.ID(): w.new.signs.ID(),
	}
	w.config = shim.InstanceConfig{Old: w.old.instance.InstanceConfig(w.old.clientKey), New: w.new.instance.InstanceConfig(w.new.clientKey), Keys: kmsmigrate.KeyMap{Keys: keys}}
	w.config.Old.Limits.Call, w.config.New.Limits.Call = time.Minute, time.Minute // a busy machine signs slowly
	return w
}

func gcsPlace(tb testing.TB, cloud *kmstest.Cloud, region string, spec kmstest.InstanceSpec, suffix string) gcsSide {
	tb.Helper()
	at, err := cloud.Region(region)
	require.NoError(tb, err)
	var s gcsSide
	s.instance, err = at.CreateInstance(spec)
	require.NoError(tb, err)
	s.data, err = s.instance.CreateKey(kmstest.KeySpec{Alias: "alias/data" + suffix})
	require.NoError(tb, err)
	s.rsa, err = s.instance.CreateKey(kmstest.KeySpec{Spec: "RSA_2048", Alias: "alias/rsa" + suffix})
	require.NoError(tb, err)
	s.signs, err = s.instance.CreateKey(kmstest.KeySpec{Spec: "EC_P256", Usage: "SIGN/VERIFY", Alias: "alias/signs" + suffix})
	require.NoError(tb, err)
	_, err = s.instance.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "s3cret", Key: s.data})
	require.NoError(tb, err)
	s.clientKey, err = s.instance.CreateClientKey()
	require.NoError(tb, err)
	s.official, err = s.instance.SDKClient(s.clientKey)
	require.NoError(tb, err)
	return s
}

// instance makes an Instance in a phase.
func (w *gcsWorld) instance(tb testing.TB, phase kmsmigrate.PhaseSource) *shim.Instance {
	tb.Helper()
	config := w.config
	config.Phase = phase
	i, err := shim.NewMigratingInstance(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, i.Close()) })
	return i
}

// side is the one that a phase writes.
func (w *gcsWorld) side(s kmsmigrate.Side) *gcsSide {
	if s == kmsmigrate.SideNew {
		return &w.new
	}
	return &w.old
}

// gcs calls an operation of the official client or of an Instance by its name.
func gcs(tb testing.TB, client any, operation string, request any, runtime *gcsutil.RuntimeOptions) (any, error) {
	tb.Helper()
	name, arguments := operation, []reflect.Value{reflect.ValueOf(request)}
	if runtime != nil {
		name, arguments = operation+"WithOptions", append(arguments, reflect.ValueOf(runtime))
	}
	method := reflect.ValueOf(client).MethodByName(name)
	require.True(tb, method.IsValid(), name)
	out := method.Call(arguments)
	return out[0].Interface(), errorOf(out[1])
}

// gcsMust is gcs for calls that must succeed.
func gcsMust[Response any](tb testing.TB, client any, operation string, request any) *Response {
	tb.Helper()
	got, err := gcs(tb, client, operation, request, nil)
	require.NoError(tb, err, operation)
	response, ok := got.(*Response)
	require.True(tb, ok, operation)
	return response
}

// gcsField returns a field of a response as text.
func gcsField(response any, name string) string {
	field := reflect.ValueOf(response).Elem().FieldByName(name)
	if !field.IsValid() {
		return ""
	}
	switch value := field.Interface().(type) {
	case *string:
		return tea.StringValue(value)
	case []byte:
		return string(value)
	default:
		return ""
	}
}

// gcsHeader returns a header of a response.
func gcsHeader(response any, name string) string {
	headers, _ := reflect.ValueOf(response).Elem().FieldByName("Headers").Interface().(map[string]*string)
	return tea.StringValue(headers[name])
}

func gcsError(tb testing.TB, err error) *tea.SDKError {
	tb.Helper()
	typed, ok := err.(*tea.SDKError) //nolint:errorlint // as the official SDK's users do it
	require.True(tb, ok, "%T", err)
	require.NotEmpty(tb, tea.StringValue(typed.Code))
	require.NotEmpty(tb, tea.StringValue(typed.Message))
	require.Nil(tb, typed.StatusCode)
	return typed
}

// gcsBlank is a response as the application sees it, without what differs from call to call.
func gcsBlank(tb testing.TB, response any) string {
	tb.Helper()
	raw, err := json.Marshal(response)
	require.NoError(tb, err)
	var fields map[string]any
	require.NoError(tb, json.Unmarshal(raw, &fields))
	for _, name := range []string{"RequestId", "CiphertextBlob", "Iv", "PrivateKeyCiphertextBlob", "PublicKey", "PrivateKeyPlaintext", "Signature", "Random"} {
		if fields[name] != nil {
			require.NotEmpty(tb, fields[name], name)
			fields[name] = "…"
		}
	}
	if _, made := fields["Iv"]; made && fields["Plaintext"] != nil { // a data key
		fields["Plaintext"] = "…"
	}
	if headers, ok := fields["headers"].(map[string]any); ok {
		delete(headers, "x-keyhaul-side")
		delete(headers, "x-keyhaul-stale")
		if len(headers) == 0 {
			delete(fields, "headers")
		}
	}
	raw, err = json.Marshal(fields)
	require.NoError(tb, err)
	return string(raw)
}
