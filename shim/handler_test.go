package shim_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

const callerSecret = "c4ller-s3cret-of-the-app"

func allowed(w *world) shim.Caller {
	return shim.Caller{
		AccessKeyID: "app", AccessKeySecret: callerSecret, Actions: []string{"Encrypt", "Decrypt", "DescribeKey", "ReEncrypt", "GetSecretValue"},
		Keys: []string{w.old.ID(), "alias/app"}, Secrets: []string{"db"},
	}
}

func (w *world) handler(tb testing.TB, phase kmsmigrate.PhaseSource, callers ...shim.Caller) *shim.Handler {
	tb.Helper()
	config := w.config
	config.Phase = phase
	handler, err := shim.NewHandler(config, callers...)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, handler.Close()) })
	return handler
}

func serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// pointed is an official client that is pointed at the shim.
func pointed(tb testing.TB, addr, id, secret string) *kms.Client {
	tb.Helper()
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	client, err := kms.NewClientWithOptions("cn-hangzhou", sdk.NewConfig().WithScheme("HTTP").WithHttpTransport(transport), credentials.NewAccessKeyCredential(id, secret))
	require.NoError(tb, err)
	client.Domain = addr
	return client
}

func TestAnSDKThatIsPointedAtTheShimMigrates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var blobs []string
	for _, phase := range phases[:4] {
		client := pointed(t, serve(t, w.handler(t, phase, allowed(w))), "app", callerSecret)
		made, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "a b*~&=+/é", "EncryptionContext": `{"a":"1"}`})
		require.NoError(t, err)
		blobs = append(blobs, text(t, made, "CiphertextBlob"))
		for _, blob := range blobs {
			got, err := plain(t, client, "Decrypt", "XML", map[string]string{"CiphertextBlob": blob, "EncryptionContext": `{"a":"1"}`})
			require.NoError(t, err)
			require.Equal(t, "a b*~&=+/é", got.(*kms.DecryptResponse).Plaintext)
		}
	}
	require.Len(t, blobs, 4)
}

func TestACallerMayDoWhatItsListSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := w.oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/other"})
	require.NoError(t, err)
	w.config.Keys.Keys["alias/other"] = w.new.ID()
	for _, name := range []string{"db", "mail"} {
		_, err := w.oldAt.CreateSecret(kmstest.SecretSpec{Name: name, Value: "v"})
		require.NoError(t, err)
	}
	made, err := plain(t, sdkClient(t, w.oldAt), "Encrypt", "JSON", map[string]string{"KeyId": other.ID(), "Plaintext": secretText})
	require.NoError(t, err)
	foreign := text(t, made, "CiphertextBlob")
	mine := encryptOld(t, w, "p", "")
	all := shim.Caller{AccessKeyID: "root", AccessKeySecret: callerSecret + "2", Actions: []string{"*"}, Keys: []string{"*"}, Secrets: []string{"*"}}
	addr := serve(t, w.handler(t, kmsmigrate.ReadBoth, allowed(w), all))
	client, root := pointed(t, addr, "app", callerSecret), pointed(t, addr, "root", callerSecret+"2")
	for _, c := range []struct {
		action string
		fields map[string]string
		ok     bool
	}{
		{"Encrypt", map[string]string{"KeyId": "alias/app", "Plaintext": "p"}, true},
		{"DescribeKey", map[string]string{"KeyId": w.old.ARN()}, true},
		{"Decrypt", map[string]string{"CiphertextBlob": mine}, true},
		{"GetSecretValue", map[string]string{"SecretName": "db"}, true},
		{"Encrypt", map[string]string{"KeyId": "alias/other", "Plaintext": "p"}, false},
		{"DescribeKey", map[string]string{"KeyId": other.ID()}, false},
		{"Decrypt", map[string]string{"CiphertextBlob": foreign}, false},
		{"ReEncrypt", map[string]string{"CiphertextBlob": mine, "DestinationKeyId": "alias/other"}, false},
		{"ReEncrypt", map[string]string{"CiphertextBlob": foreign, "DestinationKeyId": "alias/app"}, false},
		{"GetSecretValue", map[string]string{"SecretName": "mail"}, false},
		{"ListKeys", nil, false},
		{"DisableKey", map[string]string{"KeyId": w.old.ID()}, false},
	} {
		got, err := plain(t, client, c.action, "JSON", c.fields)
		if c.ok {
			require.NoError(t, err, c.action)
			continue
		}
		require.Equal(t, "Forbidden.NoPermission", serverError(t, err).ErrorCode(), "%s %v", c.action, c.fields)
		require.NotContains(t, string(got.GetHttpContentBytes()), secretText)
		if c.action != "DisableKey" {
			_, err = plain(t, root, c.action, "JSON", c.fields)
			require.NoError(t, err, c.action)
		}
	}
}

// rpcQuery signs a request with the official SDK and hands out its query.
func rpcQuery(t *testing.T, secret string) string {
	t.Helper()
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/app", secretText
	require.NoError(t, pointed(t, "127.0.0.1:1", "app", secret).BuildRequestWithSigner(request, nil))
	_, query, _ := strings.Cut(request.BuildUrl(), "?")
	return query
}

func post(t *testing.T, addr, query string, header http.Header) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/?"+query, http.NoBody)
	require.NoError(t, err)
	for name, values := range header {
		request.Header[name] = values
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	return answer.StatusCode, bodyOf(t, answer)
}

func TestWhatIsNotSignedByACallerIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := serve(t, w.handler(t, kmsmigrate.ReadBoth, allowed(w)))
	set := func(query, name, value string) string {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		values.Set(name, value)
		return values.Encode()
	}
	good := rpcQuery(t, callerSecret)
	for name, c := range map[string]struct{ query, code string }{
		"another secret":      {rpcQuery(t, callerSecret+"x"), "IncompleteSignature"},
		"changed plaintext":   {set(good, "Plaintext", "other"), "IncompleteSignature"},
		"an added parameter":  {set(good, "DryRun", "true"), "IncompleteSignature"},
		"a parameter twice":   {good + "&KeyId=alias/app", "ParseRequestParameterException"},
		"another method":      {set(good, "SignatureMethod", "HMAC-MD5"), "IncompleteSignature"},
		"nobody":              {set(good, "AccessKeyId", "nobody"), "InvalidAccessKeyId.NotFound"},
		"an old time stamp":   {set(good, "Timestamp", "2020-01-01T00:00:00Z"), "IllegalTimestamp"},
		"no time stamp":       {set(good, "Timestamp", ""), "IllegalTimestamp"},
		"no signature":        {set(good, "Signature", ""), "IncompleteSignature"},
		"another API version": {set(good, "Version", "2015-04-01"), "InvalidParameter"},
		"nothing":             {"", "MissingParameter"},
	} {
		status, body := post(t, addr, c.query, nil)
		require.GreaterOrEqual(t, status, 400, name)
		require.Contains(t, body, c.code, name)
		require.NotContains(t, body, secretText)
		require.NotContains(t, body, callerSecret)
	}
	require.Zero(t, w.cloud.Count(kmstest.Match{}), "nothing of it went on")
	status, _ := post(t, addr, good, nil)
	require.Equal(t, 200, status)
	status, body := post(t, addr, good, nil)
	require.Equal(t, 400, status)
	require.Contains(t, body, "SignatureNonceUsed")
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{}), "the second went no further")

	xml := set(good, "Format", "XML") // which also breaks the signature
	_, body = post(t, addr, xml, nil)
	require.True(t, strings.HasPrefix(body, "<?xml"), "errors have the format that was asked for")
	require.Contains(t, body, "<Code>IncompleteSignature</Code>")
}

// acs3 signs a request the newest way.
func acs3(method, host, action, query, id, secret, nonce string, at time.Time) http.Header {
	empty := sha256.Sum256(nil)
	payload := hex.EncodeToString(empty[:])
	h := http.Header{
		"X-Acs-Action": {action}, "X-Acs-Version": {"2016-01-20"}, "X-Acs-Date": {at.UTC().Format("2006-01-02T15:04:05Z")},
		"X-Acs-Signature-Nonce": {nonce}, "X-Acs-Content-Sha256": {payload},
	}
	const signed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
	canonical := method + "\n/\n" + query + "\nhost:" + host + "\nx-acs-action:" + action + "\nx-acs-content-sha256:" + payload +
		"\nx-acs-date:" + h.Get("X-Acs-Date") + "\nx-acs-signature-nonce:" + nonce + "\nx-acs-version:2016-01-20\n\n" + signed + "\n" + payload
	digest := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(digest[:])))
	h.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+id+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(mac.Sum(nil)))
	return h
}

func TestTheNewestSignatureIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := serve(t, w.handler(t, kmsmigrate.ReadBoth, allowed(w)))
	const query = "KeyId=alias%2Fapp&Plaintext=a%20b%2A"
	good := acs3("POST", addr, "Encrypt", query, "app", callerSecret, "n1", time.Now())
	status, body := post(t, addr, query, good)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"CiphertextBlob"`)
	_, body = post(t, addr, query, good)
	require.Contains(t, body, "SignatureNonceUsed")
	for name, h := range map[string]http.Header{
		"another secret": acs3("POST", addr, "Encrypt", query, "app", callerSecret+"x", "n2", time.Now()),
		"another action": func() http.Header {
			h := acs3("POST", addr, "Encrypt", query, "app", callerSecret, "n3", time.Now())
			h.Set("X-Acs-Action", "Decrypt")
			return h
		}(),
		"another nonce": func() http.Header {
			h := acs3("POST", addr, "Encrypt", query, "app", callerSecret, "n4", time.Now())
			h.Set("X-Acs-Signature-Nonce", "n5")
			return h
		}(),
		"another query": acs3("POST", addr, "Encrypt", "KeyId=alias%2Fapp", "app", callerSecret, "n6", time.Now()),
	} {
		_, body = post(t, addr, query, h)
		require.Contains(t, body, "IncompleteSignature", name)
	}
	_, body = post(t, addr, query, acs3("POST", addr, "Encrypt", query, "app", callerSecret, "n7", time.Now().Add(-time.Hour)))
	require.Contains(t, body, "IllegalTimestamp")

	// The fake takes the same signature, so it is the service's and not one that two of us agreed on.
	id, secret := w.cloud.Credentials()
	direct := acs3("POST", w.oldAt.HTTP, "Encrypt", query, id, secret, "n8", time.Now())
	status, body = post(t, w.oldAt.HTTP, query, direct)
	require.Equal(t, 200, status, body)
}

// TestOnlyTrustedWaysAreTaken asks over a socket, and pretends to come from elsewhere.
func TestOnlyTrustedWaysAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handler := w.handler(t, kmsmigrate.ReadBoth, allowed(w))
	ask := func(change func(*http.Request) *http.Request) (int, string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://kms.example/?"+rpcQuery(t, callerSecret), http.NoBody)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, change(request))
		return recorder.Code, recorder.Body.String()
	}
	status, _ := ask(func(r *http.Request) *http.Request { return r })
	require.Equal(t, 403, status, "from nobody knows where")
	outside := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}
	status, body := ask(func(r *http.Request) *http.Request { return withLocal(r, outside) })
	require.Equal(t, 403, status)
	require.Contains(t, body, "Forbidden.NoPermission")
	status, _ = ask(func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{}
		return withLocal(r, outside)
	})
	require.Equal(t, 403, status, "TLS without a client certificate")
	require.Zero(t, w.cloud.Count(kmstest.Match{}))

	status, _ = ask(func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
		return withLocal(r, outside)
	})
	require.Equal(t, 200, status, "TLS with a client certificate that the server verified")

	path := filepath.Join(t.TempDir(), "s")
	listener, err := shim.Listen(t.Context(), "unix:"+path)
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://kms.example/?"+rpcQuery(t, callerSecret), http.NoBody)
	require.NoError(t, err)
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	require.Contains(t, bodyOf(t, answer), `"CiphertextBlob"`)
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-ended, http.ErrServerClosed)
}

func withLocal(r *http.Request, at net.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))
}

func TestListenRefusesWhatOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", ":0", "0.0.0.0:0", "[::]:0", "10.0.0.1:80", "example.com:80", "127.0.0.1"} {
		_, err := shim.Listen(t.Context(), address)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, address)
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		listener, err := shim.Listen(t.Context(), address)
		require.NoError(t, err, address)
		require.NoError(t, listener.Close())
	}
	_, err := shim.Listen(t.Context(), "unix:"+filepath.Join(t.TempDir(), "none", "s"))
	require.Error(t, err)
}

func TestCallersThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*shim.Caller){
		"no id":           func(c *shim.Caller) { c.AccessKeyID = "" },
		"an odd id":       func(c *shim.Caller) { c.AccessKeyID = "a b" },
		"a short secret":  func(c *shim.Caller) { c.AccessKeySecret = "short" },
		"a side's secret": func(c *shim.Caller) { c.AccessKeySecret = w.config.Old.AccessKeySecret },
		"no actions":      func(c *shim.Caller) { c.Actions = nil },
	} {
		c := allowed(w)
		change(&c)
		_, err := shim.NewHandler(w.config, c)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
	_, err := shim.NewHandler(w.config)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = shim.NewHandler(w.config, allowed(w), allowed(w))
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = shim.NewHandler(shim.Config{}, allowed(w))
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

// TestAFormIsSignedAndReadLikeAQuery is for clients that keep plaintext out of the URL.
func TestAFormIsSignedAndReadLikeAQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := pointed(t, serve(t, w.handler(t, kmsmigrate.WriteNew, allowed(w))), "app", callerSecret)
	request := kms.CreateEncryptRequest()
	request.FormParams["KeyId"], request.FormParams["Plaintext"] = "alias/app", "a b"
	made, err := client.Encrypt(request)
	require.NoError(t, err)
	require.Equal(t, w.new.ID(), made.KeyId)
}
