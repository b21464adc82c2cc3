package shim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

func TestMain(m *testing.M) {
	fakeprocess.Main()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("github.com/alibabacloud-go/tea/tea.init.0.func1")); err != nil {
			println("goroutines are left:", err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// world is a cloud with a key on either side of a migration from one region to another.
type world struct {
	cloud            *kmstest.Cloud
	oldAt, newAt     *kmstest.Region
	old, new         *kmstest.Key
	config           shim.Config
	oldMatch, newOne kmstest.Match
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, cloud.Close()) })
	w := &world{cloud: cloud}
	w.oldAt, w.old = place(tb, cloud, "cn-hangzhou", kmstest.KeySpec{Alias: "alias/app"})
	w.newAt, w.new = place(tb, cloud, "cn-shanghai", kmstest.KeySpec{Alias: "alias/app-new"})
	w.oldMatch, w.newOne = w.oldAt.Match(), w.newAt.Match()
	w.config = shim.Config{
		Phase: kmsmigrate.ReadBoth, Old: w.oldAt.GatewayConfig(), New: w.newAt.GatewayConfig(),
		Keys: kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": w.new.ID(), w.old.ID(): w.new.ID()}},
	}
	return w
}

func place(tb testing.TB, cloud *kmstest.Cloud, id string, spec kmstest.KeySpec) (*kmstest.Region, *kmstest.Key) {
	tb.Helper()
	region, err := cloud.Region(id)
	require.NoError(tb, err)
	key, err := region.CreateKey(spec)
	require.NoError(tb, err)
	return region, key
}

// transport makes a Transport in a phase.
func (w *world) transport(tb testing.TB, phase kmsmigrate.PhaseSource) *shim.Transport {
	tb.Helper()
	config := w.config
	config.Phase = phase
	transport, err := shim.NewTransport(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, transport.Close()) })
	return transport
}

// client is the application's: the official client of the old side, with one line added.
func (w *world) client(tb testing.TB, transport *shim.Transport) *kms.Client {
	tb.Helper()
	client := sdkClient(tb, w.oldAt)
	client.SetTransport(transport)
	return client
}

func sdkClient(tb testing.TB, region *kmstest.Region) *kms.Client {
	tb.Helper()
	client, err := region.SDKClient()
	require.NoError(tb, err)
	return client
}

// calls returns how many calls came to the old and to the new side since f began.
func (w *world) calls(f func()) (toOld, toNew int) {
	w.cloud.ResetEvidence()
	f()
	return w.cloud.Count(w.oldMatch), w.cloud.Count(w.newOne)
}

// request makes the SDK's request of an action, with its fields filled.
func request(tb testing.TB, client any, action string, fields map[string]string) reflect.Value {
	tb.Helper()
	method := reflect.ValueOf(client).MethodByName(action)
	require.True(tb, method.IsValid(), action)
	r := reflect.New(method.Type().In(0).Elem())
	rpc := &requests.RpcRequest{}
	rpc.InitWithApiInfo("Kms", "2016-01-20", action, "kms", "openAPI")
	r.Elem().FieldByName("RpcRequest").Set(reflect.ValueOf(rpc))
	for name, value := range fields {
		field := r.Elem().FieldByName(name)
		if !field.IsValid() || field.Kind() != reflect.String {
			rpc.QueryParams[name] = value // parts of lists
			continue
		}
		field.SetString(value)
	}
	return r
}

// form is a way of calling the SDK.
type form struct {
	name string
	call func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error)
}

func errorOf(v reflect.Value) error {
	err, _ := v.Interface().(error)
	return err
}

var forms = []form{
	{"plain", func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
		tb.Helper()
		return plain(tb, client, action, format, fields)
	}},
	{"WithChan", func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
		tb.Helper()
		r := request(tb, client, action, fields)
		setFormat(r, format)
		out := reflect.ValueOf(client).MethodByName(action + "WithChan").Call([]reflect.Value{r})
		if got, ok := out[0].Recv(); ok {
			return got.Interface().(responses.AcsResponse), nil
		}
		err, _ := out[1].Recv()
		return nil, errorOf(err)
	}},
	{"WithCallback", func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
		tb.Helper()
		r := request(tb, client, action, fields)
		setFormat(r, format)
		method := reflect.ValueOf(client).MethodByName(action + "WithCallback")
		var got responses.AcsResponse
		var failed error
		callback := reflect.MakeFunc(method.Type().In(1), func(in []reflect.Value) []reflect.Value {
			failed = errorOf(in[1])
			got, _ = in[0].Interface().(responses.AcsResponse)
			return nil
		})
		done := method.Call([]reflect.Value{r, callback})[0]
		_, _ = done.Recv()
		return got, failed
	}},
	{"CommonRequest", common(requests.POST, false)},
	{"CommonRequest GET", common(requests.GET, false)},
	{"CommonRequest form", common(requests.POST, true)},
}

func setFormat(r reflect.Value, format string) {
	r.Elem().FieldByName("AcceptFormat").SetString(format)
}

func plain(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
	tb.Helper()
	r := request(tb, client, action, fields)
	setFormat(r, format)
	out := reflect.ValueOf(client).MethodByName(action).Call([]reflect.Value{r})
	return out[0].Interface().(responses.AcsResponse), errorOf(out[1])
}

func common(method string, inForm bool) func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
	return func(tb testing.TB, client any, action, format string, fields map[string]string) (responses.AcsResponse, error) {
		tb.Helper()
		r := requests.NewCommonRequest()
		r.Product, r.Version, r.ApiName, r.Method, r.Domain, r.Scheme = "Kms", "2016-01-20", action, method, "kms.example", "https"
		r.AcceptFormat = format
		for name, value := range fields {
			if inForm {
				r.FormParams[name] = value
			} else {
				r.QueryParams[name] = value
			}
		}
		return client.(interface {
			ProcessCommonRequest(*requests.CommonRequest) (*responses.CommonResponse, error)
		}).ProcessCommonRequest(r)
	}
}

// text returns a field of an answer in either format.
func text(t *testing.T, got interface{ GetHttpContentBytes() []byte }, field string) string {
	t.Helper()
	body := string(got.GetHttpContentBytes())
	if strings.HasPrefix(body, "<") {
		_, rest, ok := strings.Cut(body, "<"+field+">")
		require.True(t, ok, "no %s", field)
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	return fmt.Sprint(fields[field])
}

// actions are all operations that the SDK has.
func actions() []string {
	var all []string
	t := reflect.TypeFor[*kms.Client]()
	for i := range t.NumMethod() {
		if name, ok := strings.CutSuffix(t.Method(i).Name, "WithChan"); ok {
			all = append(all, name)
		}
	}
	return all
}

const patience = 20 * time.Second
