package shim_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/shim"
)

// FuzzRoundTrip sends requests of any shape: none may panic, fail with a Go error, or be answered with what the SDK cannot read.
func FuzzRoundTrip(f *testing.F) {
	nowhere := alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: "127.0.0.1:1", AccessKeyID: "KMSTESTid", AccessKeySecret: "secret", PlainHTTP: true}
	other := nowhere
	other.Region = "cn-shanghai"
	transport, err := shim.NewTransport(shim.Config{Phase: kmsmigrate.WriteNew, Old: nowhere, New: other, Keys: kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": "alias/new"}}})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, transport.Close()) })
	for _, query := range []string{"Action=Encrypt&KeyId=alias/app", "Action=Decrypt&CiphertextBlob=YWJj&Format=XML", "Action=AsymmetricVerify&KeyId=x", "Action=%zz", "Version=1", "Action=GetSecretValue&SecretName=a"} {
		f.Add("POST", query, "", "Action=DescribeKey")
		f.Add("GET", query, "application/x-www-form-urlencoded", query)
	}
	f.Fuzz(func(t *testing.T, method, query, contentType, body string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://kms.example/", strings.NewReader(body))
		if err != nil {
			return
		}
		request.URL.RawQuery = query
		request.Header.Set("Content-Type", contentType)
		answer, err := transport.RoundTrip(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, answer.Body.Close()) }()
		require.Error(t, responses.Unmarshal(kms.CreateEncryptResponse(), answer, "JSON"), "nobody is there")
	})
}

// FuzzServeHTTP sends what no caller signed: nothing of it may pass, whatever it looks like.
func FuzzServeHTTP(f *testing.F) {
	nowhere := alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: "127.0.0.1:1", AccessKeyID: "KMSTESTid", AccessKeySecret: "secret", PlainHTTP: true}
	handler, err := shim.NewHandler(shim.Config{Old: nowhere}, shim.Caller{AccessKeyID: "app", AccessKeySecret: callerSecret, Actions: []string{"*"}, Keys: []string{"*"}})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, handler.Close()) })
	f.Add("POST", "Action=Encrypt&Version=2016-01-20&AccessKeyId=app&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Signature=", "", "")
	f.Add("GET", "Action=Encrypt&Format=XML", "ACS3-HMAC-SHA256 Credential=app,SignedHeaders=host;x-acs-action,Signature=00", "x")
	f.Fuzz(func(t *testing.T, method, query, authorization, body string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://kms.example/", strings.NewReader(body))
		if err != nil {
			return
		}
		request.URL.RawQuery = query
		request.Header.Set("Authorization", authorization)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, withLocal(request, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		require.GreaterOrEqual(t, recorder.Code, 400)
		require.NotEqual(t, http.StatusServiceUnavailable, recorder.Code, "it went on to a side")
		require.NotEmpty(t, recorder.Body.String())
	})
}

// FuzzMigration reads files of any content: none may panic, and what is taken makes a Config or says why not.
func FuzzMigration(f *testing.F) {
	f.Add(`{"phase": "write-new", "keyMap": {"keys": {"alias/app": "key-1"}}, "new": {"region": "cn-shanghai"}}`)
	f.Add(`{"phase": "new-only", "others": "new", "new": {"clientKey": {"endpoint": "a", "file": "b", "passwordFile": "c", "form": "advance"}}}`)
	f.Add(`{"keyMap": []}`)
	f.Add(`{"old": {"accessKeyIdFrom": "X"}} {}`)
	file := filepath.Join(f.TempDir(), "migration.json")
	own := shim.Application{Gateway: alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: "127.0.0.1:1", AccessKeyID: "KMSTESTid", AccessKeySecret: "secret"}}
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		migration, err := shim.ReadMigrationFile(file)
		if err != nil {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			return
		}
		cfg, err := migration.Config(own)
		if err != nil {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			return
		}
		transport, err := shim.NewTransport(cfg)
		if err == nil {
			require.NoError(t, transport.Close())
		}
	})
}
