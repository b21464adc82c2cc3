package alikms_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// roleProcess is the environment variable that makes the test binary a client that works under a role. The SDK's providers go to fixed
// addresses, 100.100.100.200 and sts.<region>.aliyuncs.com, by way of http.DefaultTransport: through the proxy of the environment,
// which is read once in a process. Its value is a roleCall.
const roleProcess = "KEYHAUL_ALIKMS_ROLE"

const (
	stsHost      = "sts.cn-hangzhou.aliyuncs.com"
	metadataHost = "100.100.100.200"
	roleARN      = "acs:ram::1234567890123456:role/mover"
	oidcARN      = "acs:ram::1234567890123456:oidc-provider/cluster"
	oidcToken    = "oidc-token-planted"
)

// roleCall is what the client is to do: encrypt and decrypt twice under a role that it takes in one of the SDK's ways.
type roleCall struct {
	Way                          string // ecs, arn or oidc
	RoleARN, OIDCProviderARN     string
	Endpoint                     string
	CA, STSCA                    []byte
	AccessKeyID, AccessKeySecret string
	TokenFile                    string
	Key, Text                    string
}

func (c roleCall) credential() (any, error) {
	switch c.Way {
	case "ecs":
		return credentials.NewEcsRamRoleCredential(""), nil // the metadata tell which role
	case "arn":
		return &credentials.RamRoleArnCredential{
			AccessKeyId: c.AccessKeyID, AccessKeySecret: c.AccessKeySecret, RoleArn: c.RoleARN, RoleSessionName: "keyhaul", RoleSessionExpiration: 900, StsRegion: "cn-hangzhou",
		}, nil
	case "oidc":
		return credentials.NewOIDCCredentialsProviderBuilder().WithRoleArn(c.RoleARN).WithOIDCProviderARN(c.OIDCProviderARN).WithOIDCTokenFilePath(c.TokenFile).
			WithRoleSessionName("keyhaul").WithDurationSeconds(900).WithStsRegion("cn-hangzhou").Build()
	}
	return nil, errors.New("no such way")
}

func serveRole() int {
	var c roleCall
	if err := json.Unmarshal([]byte(os.Getenv(roleProcess)), &c); err != nil {
		return fail(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.STSCA)
	if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		shared.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	credential, err := c.credential()
	if err != nil {
		return fail(err)
	}
	g, err := alikms.NewGateway(alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: c.Endpoint, CAPEM: c.CA, Credential: credential})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = g.Close() }()
	key, err := g.Key(c.Key)
	if err != nil {
		return fail(err)
	}
	for range 2 {
		blob, err := key.Encrypt(context.Background(), []byte(c.Text), nil)
		if err == nil {
			_, err = key.Decrypt(context.Background(), blob, nil)
		}
		if err != nil {
			return fail(fmt.Errorf("denied: %t: %w", errors.Is(err, kmsmigrate.ErrDenied), err))
		}
	}
	return 0
}

// roleGivers are the metadata of an ECS instance and an STS, behind a proxy. They give out credentials of the cloud.
type roleGivers struct {
	cloud      *kmstest.Cloud
	id, secret string
	proxy      string
	stsCA      []byte

	refuse, soon atomic.Bool // soon: what is given out expires at once

	mu    sync.Mutex
	given []string // access key ids
}

// take returns the ids that were given out since it was last called.
func (g *roleGivers) take() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	given := g.given
	g.given = nil
	return given
}

func startRoleGivers(t *testing.T, cloud *kmstest.Cloud) *roleGivers {
	t.Helper()
	g := &roleGivers{cloud: cloud}
	g.id, g.secret = cloud.Credentials()
	sts := httptest.NewServer(http.HandlerFunc(g.sts))
	t.Cleanup(sts.Close)
	ca, front := terminateTLS(t, stsHost, sts.Listener.Addr().String())
	g.stsCA = ca
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect && r.Host == stsHost+":443":
			tunnel(w, front)
		case r.URL.Host == metadataHost:
			g.metadata(w, r)
		default:
			http.Error(w, "nowhere", http.StatusBadGateway)
		}
	}))
	t.Cleanup(proxy.Close)
	g.proxy = proxy.URL
	return g
}

func tunnel(w http.ResponseWriter, to string) {
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	out, err := new(net.Dialer).Dial("tcp", to)
	if err != nil {
		_ = in.Close()
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	both(out, in, buffered, out)
}

// give makes a credential in the shape that both services answer with.
func (g *roleGivers) give() map[string]string {
	made := g.cloud.AssumeRole()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.given = append(g.given, made.AccessKeyID)
	expires := time.Now().Add(time.Hour)
	if g.soon.Load() {
		expires = time.Now().Add(time.Minute)
	}
	return map[string]string{
		"AccessKeyId": made.AccessKeyID, "AccessKeySecret": made.AccessKeySecret, "SecurityToken": made.SecurityToken,
		"Expiration": expires.UTC().Format(time.RFC3339), "LastUpdated": time.Now().UTC().Format(time.RFC3339), "Code": "Success",
	}
}

// metadata answers as an ECS instance with a role does (ECS documents, instance metadata in the security-hardening mode).
func (g *roleGivers) metadata(w http.ResponseWriter, r *http.Request) {
	const token, list = "metadata-token-planted", "/latest/meta-data/ram/security-credentials/"
	switch {
	case g.refuse.Load():
		http.Error(w, "no: "+token, http.StatusForbidden)
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		_, _ = io.WriteString(w, token)
	case r.Header.Get("X-aliyun-ecs-metadata-token") != token:
		http.Error(w, "token", http.StatusForbidden)
	case r.URL.Path == list:
		_, _ = io.WriteString(w, "mover")
	case r.URL.Path == list+"mover":
		_ = json.NewEncoder(w).Encode(g.give())
	default:
		http.NotFound(w, r)
	}
}

// sts checks what the request proves, and answers AssumeRole and AssumeRoleWithOIDC (STS API reference).
func (g *roleGivers) sts(w http.ResponseWriter, r *http.Request) {
	err := r.ParseForm()
	ok := err == nil && r.Form.Get("RoleArn") == roleARN && !g.refuse.Load()
	switch r.Form.Get("Action") {
	case "AssumeRole":
		ok = ok && r.Form.Get("AccessKeyId") == g.id && r.Form.Get("Signature") == rpcSignature(r, g.secret)
	case "AssumeRoleWithOIDC":
		ok = ok && r.Form.Get("OIDCProviderArn") == oidcARN && r.Form.Get("OIDCToken") == oidcToken
	default:
		ok = false
	}
	if !ok {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]string{"Code": "NoPermission", "Message": "no: " + r.Form.Get("OIDCToken") + " planted", "RequestId": "1"})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"RequestId": "1", "Credentials": g.give()})
}

// rpcSignature is the signature that the request should have.
func rpcSignature(r *http.Request, secret string) string {
	form := url.Values{}
	for name, values := range r.Form {
		if name != "Signature" {
			form[name] = values
		}
	}
	encode := strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~")
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	_, _ = io.WriteString(mac, r.Method+"&%2F&"+url.QueryEscape(encode.Replace(form.Encode())))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// run runs the client in a process of its own.
func (g *roleGivers) run(t *testing.T, program string, c roleCall) (out string, ok bool) {
	t.Helper()
	c.RoleARN, c.OIDCProviderARN, c.Text = roleARN, oidcARN, plantedText
	c.STSCA, c.AccessKeyID, c.AccessKeySecret = g.stsCA, g.id, g.secret
	call, err := json.Marshal(c)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), roleProcess+"="+string(call), "HTTP_PROXY="+g.proxy, "HTTPS_PROXY="+g.proxy, "NO_PROXY=", "no_proxy=")
	text, err := command.CombinedOutput()
	return string(text), err == nil
}

// v2Program is the environment variable that names the program of kmstest/testdata/v2sdk, built beforehand: it does the same with the
// credentials of credentials-go, which this module does not depend on.
const v2Program = "KEYHAUL_V2SDK"

func TestRolesOpenTheGateway(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	programs := map[string]string{"alibaba-cloud-sdk-go": self}
	if v2 := os.Getenv(v2Program); v2 != "" {
		programs["credentials-go"] = v2
	}
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(oidcToken), 0o600))
	for sdk, program := range programs {
		for _, way := range []string{"ecs", "arn", "oidc"} {
			t.Run(sdk+"/"+way, func(t *testing.T) {
				t.Parallel()
				openUnderRole(t, program, roleCall{Way: way, TokenFile: file})
			})
		}
	}
}

func openUnderRole(t *testing.T, program string, call roleCall) {
	t.Helper()
	w := newWorld(t, kmstest.Config{})
	call.Endpoint, call.CA, call.Key = w.region.HTTPS, w.region.CA(), makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()
	used := func() (ids []string) {
		for _, r := range w.cloud.Requests(kmstest.Match{KeyID: call.Key, OK: true}) {
			ids = append(ids, r.AccessKeyID)
		}
		return ids
	}
	givers := startRoleGivers(t, w.cloud)
	out, ok := givers.run(t, program, call)
	require.True(t, ok, out)
	given := givers.take()
	require.Len(t, given, 1, "one credential does for all four calls")
	require.Equal(t, []string{given[0], given[0], given[0], given[0]}, used())

	givers.soon.Store(true)
	w.cloud.ResetEvidence()
	out, ok = givers.run(t, program, call)
	require.True(t, ok, out)
	given = givers.take()
	require.GreaterOrEqual(t, len(given), 4, "one that is about to expire is renewed before each call")
	require.Subset(t, given, used())
	last := used()
	require.Equal(t, given[len(given)-1], last[len(last)-1], "and the new one is used")

	givers.refuse.Store(true)
	w.cloud.ResetEvidence()
	out, ok = givers.run(t, program, call)
	require.False(t, ok)
	require.Contains(t, out, "denied: true")
	for _, word := range []string{"planted", givers.secret, "://"} {
		require.NotContains(t, out, word)
	}
	require.Zero(t, w.cloud.Count(kmstest.Match{}), "nothing is sent without a credential")
}
