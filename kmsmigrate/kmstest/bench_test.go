package kmstest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// serveVariable makes the test binary a server instead, so that a benchmark can tell the server's CPU from the client's.
const serveVariable = "KMSTEST_BENCHMARK_SERVER"

// bench is what the server process tells about itself.
type bench struct {
	HTTP, HTTPS, ID, Secret string
	CA                      []byte
	Addr, Password          string
	InstanceCA, ClientKey   []byte
	Key, Inside             string // key ids, outside and inside the instance
}

func (b bench) gateway() alikms.GatewayConfig {
	return alikms.GatewayConfig{Region: "cn-shanghai", Endpoint: b.HTTPS, AccessKeyID: b.ID, AccessKeySecret: b.Secret, CAPEM: b.CA}
}

func (b bench) plain() alikms.GatewayConfig {
	config := b.gateway()
	config.Endpoint, config.PlainHTTP, config.CAPEM = b.HTTP, true, nil
	return config
}

func (b bench) instance() alikms.InstanceConfig {
	return alikms.InstanceConfig{Endpoint: b.Addr, ClientKey: b.ClientKey, Password: b.Password, CAPEM: b.InstanceCA}
}

// serveBenchmark prints one JSON line, and then its CPU time in nanoseconds for every line it reads.
func serveBenchmark() error {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = cloud.Close() }()
	region, err := cloud.Region("cn-shanghai")
	if err != nil {
		return err
	}
	instance, err := region.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		return err
	}
	ck, err := instance.CreateClientKey()
	if err != nil {
		return err
	}
	outside, err := region.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return err
	}
	inside, err := instance.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return err
	}
	id, secret := cloud.Credentials()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(bench{region.HTTP, region.HTTPS, id, secret, region.CA(), instance.Addr, ck.Password, instance.CA(), ck.JSON,
		outside.ID(), inside.ID()}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if _, err := fmt.Fprintln(os.Stdout, int64(cpuTime())); err != nil {
			return err
		}
	}
	return in.Err()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type benchServer struct {
	bench
	in  io.WriteCloser
	out *bufio.Reader
}

func startBenchServer(b *testing.B) *benchServer {
	b.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveVariable+"=1")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	require.NoError(b, err)
	out, err := command.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() {
		require.NoError(b, in.Close())
		require.NoError(b, command.Wait())
	})
	s := &benchServer{in: in, out: bufio.NewReader(out)}
	line, err := s.out.ReadBytes('\n')
	require.NoError(b, err)
	require.NoError(b, json.Unmarshal(line, &s.bench))
	return s
}

func (s *benchServer) cpu(b *testing.B) time.Duration {
	b.Helper()
	_, err := io.WriteString(s.in, "\n")
	require.NoError(b, err)
	line, err := s.out.ReadString('\n')
	require.NoError(b, err)
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	require.NoError(b, err)
	return time.Duration(n)
}

// concurrently runs do b.N times on some goroutines and reports calls per second.
func concurrently(b *testing.B, workers int, do func() error) {
	b.Helper()
	require.NoError(b, do())
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	for range workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkFace measures how many calls a second each face answers, with everything verified. The requests are signed beforehand and sent again
// and again, so that the client is cheap; server and client share this process.
func BenchmarkFace(b *testing.B) {
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, cloud.Close()) })
	region, err := cloud.Region("cn-shanghai")
	require.NoError(b, err)
	instance, err := region.CreateInstance(kmstest.InstanceSpec{})
	require.NoError(b, err)
	outside, err := region.CreateKey(kmstest.KeySpec{})
	require.NoError(b, err)
	inside, err := instance.CreateKey(kmstest.KeySpec{})
	require.NoError(b, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(region.CA())
	pool.AppendCertsFromPEM(instance.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	for _, face := range []struct {
		name    string
		request func() *http.Request
	}{
		{"gateway-http", signedRPC(b, cloud, "http://"+region.HTTP, outside.ID())},
		{"gateway-https", signedRPC(b, cloud, "https://"+region.HTTPS, outside.ID())},
		{"instance-rpc", signedRPC(b, cloud, "https://"+instance.Addr, inside.ID())},
		{"protobuf", signedProtobuf(b, instance, inside.ID())},
	} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", face.name, n), func(b *testing.B) {
				concurrently(b, n, func() error {
					r, err := transport.RoundTrip(face.request())
					if err != nil {
						return err
					}
					body, err := io.ReadAll(r.Body)
					if cerr := r.Body.Close(); err == nil {
						err = cerr
					}
					if err == nil && r.StatusCode != http.StatusOK {
						err = fmt.Errorf("status %d: %s", r.StatusCode, body)
					}
					return err
				})
			})
		}
	}
}

// signedRPC signs one Encrypt and returns copies of it.
func signedRPC(b *testing.B, cloud *kmstest.Cloud, base, key string) func() *http.Request {
	b.Helper()
	id, secret := cloud.Credentials()
	client, err := kms.NewClientWithAccessKey("cn-shanghai", id, secret)
	require.NoError(b, err)
	scheme, host, _ := strings.Cut(base, "://")
	client.Domain = host
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext, q.Scheme = key, "aGVsbG8gd29ybGQ=", scheme
	require.NoError(b, client.BuildRequestWithSigner(q, nil))
	url := q.BuildUrl()
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, url, nil)
		return r
	}
}

// signedProtobuf lets the official client sign one AdvanceEncrypt, catches it, and returns copies of it.
func signedProtobuf(b *testing.B, instance *kmstest.Instance, key string) func() *http.Request {
	b.Helper()
	ck, err := instance.CreateClientKey()
	require.NoError(b, err)
	caught := make(chan *http.Request, 8)
	var body []byte
	listener := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		caught <- r
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = listener.Serve(l) }()
	defer func() { require.NoError(b, listener.Close()) }()
	config := instance.SDKConfig(ck)
	config.Protocol, config.Endpoint = tea.String("http"), tea.String(l.Addr().String())
	client, err := dkms.NewClient(config)
	require.NoError(b, err)
	_, err = client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key), Plaintext: []byte("hello world")})
	require.NoError(b, err) // an empty answer passes
	template := <-caught
	header := template.Header.Clone()
	content := bytes.Clone(body)
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "https://"+instance.Addr+"/", bytes.NewReader(content))
		r.Header = header
		return r
	}
}

// BenchmarkServerCPU compares the server's CPU per call with that of our own client, each in a process of its own. The fake must not be the
// bottleneck of what it is to measure: at most half of the client's.
func BenchmarkServerCPU(b *testing.B) {
	server := startBenchServer(b)
	gateway, err := alikms.NewGateway(server.gateway())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, gateway.Close()) })
	instance, err := alikms.NewInstance(server.instance())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, instance.Close()) })
	overHTTP, err := alikms.NewGateway(server.plain())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, overHTTP.Close()) })
	for _, face := range []struct {
		name string
		of   interface {
			Key(string) (kmsmigrate.Key, error)
		}
		key string
	}{{"gateway-http", overHTTP, server.Key}, {"gateway-https", gateway, server.Key}, {"protobuf", instance, server.Inside}} {
		key, err := face.of.Key(face.key)
		require.NoError(b, err)
		b.Run(face.name+"/64", func(b *testing.B) {
			before, mine := server.cpu(b), cpuTime()
			concurrently(b, 64, func() error {
				_, err := key.Encrypt(context.Background(), []byte("hello world"), nil)
				return err
			})
			client, spent := cpuTime()-mine, server.cpu(b)-before
			b.ReportMetric(float64(client.Microseconds())/float64(b.N), "client-us/op")
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "server-us/op")
			b.ReportMetric(float64(spent)/float64(client), "server/client")
		})
	}
}
