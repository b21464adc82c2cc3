package alikms_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// proxiedProcess is the environment variable that makes the test binary a client behind a proxy: net/http reads the proxy from the
// environment once in a process, and never uses one for a loopback address. Its value is a proxiedCall.
const proxiedProcess = "KEYHAUL_ALIKMS_PROXIED"

// proxiedCall is what the client is to do: encrypt and decrypt Text.
type proxiedCall struct {
	CA                           []byte
	AccessKeyID, AccessKeySecret string
	Key, Text                    string
	Context                      map[string]string
}

// serveProxied makes the call and prints its error, or that it went well.
func serveProxied() int {
	var c proxiedCall
	if err := json.Unmarshal([]byte(os.Getenv(proxiedProcess)), &c); err != nil {
		return fail(err)
	}
	g, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: "cn-hangzhou", CAPEM: c.CA, AccessKeyID: c.AccessKeyID, AccessKeySecret: c.AccessKeySecret, Limits: alikms.Limits{Attempts: 1},
	})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = g.Close() }()
	key, err := g.Key(c.Key)
	if err != nil {
		return fail(err)
	}
	blob, err := key.Encrypt(context.Background(), []byte(c.Text), c.Context)
	if err != nil {
		return fail(err)
	}
	opened, err := key.Decrypt(context.Background(), blob, c.Context)
	if err != nil {
		return fail(err)
	}
	_, _ = os.Stdout.Write(opened)
	return 0
}

// callProxied runs the client in a process of its own.
func callProxied(t *testing.T, c proxiedCall, proxy string) (out string, ok bool) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	call, err := json.Marshal(c)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), proxiedProcess+"="+string(call), "HTTPS_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
	text, err := command.CombinedOutput()
	return string(text), err == nil
}

const gatewayHost = "kms.cn-hangzhou.aliyuncs.com"

func TestCallsGoThroughTheProxyOfTheEnvironmentInATunnel(t *testing.T) {
	t.Parallel()
	const id, secret, password = "access-key-7d2e", "secret-key-planted-5f", "proxy-password-planted"
	w := newWorld(t, kmstest.Config{AccessKeyID: id, AccessKeySecret: secret})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	ca, addr := terminateTLS(t, gatewayHost, w.region.HTTP)
	call := proxiedCall{CA: ca, AccessKeyID: id, AccessKeySecret: secret, Key: key.ID(), Text: plantedText, Context: plantedContext()}

	proxy := startProxy(t, addr)
	out, ok := callProxied(t, call, "http://user:"+password+"@"+proxy.addr)
	require.True(t, ok, out)
	require.Equal(t, plantedText, out)
	require.Equal(t, 2, w.cloud.Count(kmstest.Match{KeyID: key.ID(), OK: true}), "Encrypt and Decrypt")
	tunnels, crossed := proxy.seen()
	require.Equal(t, []string{"CONNECT " + gatewayHost + ":443 Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password))}, tunnels)
	require.Greater(t, len(crossed), 2000, "the calls were seen")
	for _, word := range []string{plantedText, plantedValue, id, secret, key.ID(), "Plaintext", "Signature", "Action"} {
		require.NotContains(t, crossed, word)
	}

	refuses := startProxy(t, "")
	out, ok = callProxied(t, call, "http://user:"+password+"@"+refuses.addr)
	require.False(t, ok)
	require.Contains(t, out, "kmsmigrate")
	for _, word := range []string{plantedText, plantedValue, secret, password, "://"} {
		require.NotContains(t, out, word)
	}
	require.Equal(t, 2, w.cloud.Count(kmstest.Match{KeyID: key.ID()}), "nothing goes around the proxy")
}

// proxy is an HTTP proxy that knows CONNECT alone, and keeps what crosses it.
type proxy struct {
	addr string
	to   string // where every tunnel ends; "": refused

	mu      sync.Mutex
	tunnels []string
	crossed []byte
}

func (p *proxy) seen() ([]string, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tunnels, string(p.crossed)
}

// Write keeps what crosses.
func (p *proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crossed = append(p.crossed, b...)
	return len(b), nil
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	p := &proxy{to: to}
	p.addr = serve(t, func(conn net.Conn, add func(io.Closer)) {
		reader := bufio.NewReader(conn)
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.tunnels = append(p.tunnels, request.Method+" "+request.Host+" "+request.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		if p.to == "" || request.Method != http.MethodConnect {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required: "+plantedText+"\r\nContent-Length: 0\r\n\r\n")
			return
		}
		out, err := new(net.Dialer).Dial("tcp", p.to)
		if err != nil {
			return
		}
		add(out)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		both(out, conn, io.TeeReader(reader, p), io.TeeReader(out, p))
	})
	return p
}

// terminateTLS is a front that has a certificate for host and hands what it decrypts to another address. It returns its CA.
func terminateTLS(t *testing.T, host, to string) (ca []byte, addr string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr = serve(t, func(conn net.Conn, add func(io.Closer)) {
		clear, err := new(net.Dialer).Dial("tcp", to)
		if err != nil {
			return
		}
		add(clear)
		secure := tls.Server(conn, config)
		both(clear, secure, secure, clear)
	})
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), addr
}

// both copies both ways, until one end closes.
func both(out, in net.Conn, fromIn, fromOut io.Reader) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(in, fromOut)
		_ = in.Close()
		_ = out.Close()
	}()
	_, _ = io.Copy(out, fromIn)
	_ = in.Close()
	_ = out.Close()
	<-done
}

// serve gives every connection to handle, and closes it after that, and at the end of the test with all that handle added.
func serve(tb testing.TB, handle func(conn net.Conn, add func(io.Closer))) (addr string) {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var running sync.WaitGroup
	var ends closers
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			ends.add(conn)
			running.Go(func() {
				handle(conn, ends.add)
				_ = conn.Close()
			})
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		ends.close()
		running.Wait()
	})
	return listener.Addr().String()
}
