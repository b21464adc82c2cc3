package alikms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/internal/fakeprocess"
)

// BenchmarkFarAway has 20 ms of latency on every answer, and 64 calls at once. It reports the calls a second as a part of two bounds:
// %bound is the least of 64/latency and of the cores by the CPU time of a signature, as if the fake, its TLS and the rest of the
// machine cost nothing. %bare is a loop over net/http that sends one and the same signed request again and again, to the
// same fake, and to an instance makes one RSA signature for each, which nobody can do without: what is missing there is ours.
// Ten rounds of each take turns, and the best are compared.
func BenchmarkFarAway(b *testing.B) {
	const latency, at, rounds, calls = 20 * time.Millisecond, 64, 10, 1600
	cloud := fakeprocess.Start(b, latency)
	signature := signatureCost(b)
	for name, c := range map[string]struct {
		open func(*testing.B, *fakeprocess.Cloud) func() error
		bare func(*testing.B, *fakeprocess.Cloud) func() error
		most float64
	}{
		"gateway":  {keyhaulGateway, bareGateway, at / latency.Seconds()},
		"instance": {keyhaulInstance, bareInstance, min(at/latency.Seconds(), float64(runtime.GOMAXPROCS(0))/signature.Seconds())},
	} {
		b.Run(name, func(b *testing.B) {
			ours, bare := c.open(b, cloud), c.bare(b, cloud)
			var best, bareBest rate
			for range b.N {
				together(b, ours, at, at) // opens connections
				together(b, bare, at, at)
				for range rounds {
					bareBest = bareBest.better(together(b, bare, at, calls))
					best = best.better(together(b, ours, at, calls))
				}
			}
			b.ReportMetric(best.calls, "calls/s")
			b.ReportMetric(bareBest.calls, "bare-calls/s")
			b.ReportMetric(c.most, "bound-calls/s")
			b.ReportMetric(100*best.calls/c.most, "%bound")
			b.ReportMetric(100*best.calls/bareBest.calls, "%bare")
			b.ReportMetric(best.cpu.Seconds()*1e6, "cpu-µs/op")
			b.ReportMetric(bareBest.cpu.Seconds()*1e6, "bare-cpu-µs/op")
		})
	}
}

// rate is how many calls a second there were, and what CPU time each cost the client.
type rate struct {
	calls float64
	cpu   time.Duration
}

func (r rate) better(o rate) rate {
	if r.cpu == 0 {
		return o
	}
	return rate{max(r.calls, o.calls), min(r.cpu, o.cpu)}
}

// together makes calls from several goroutines.
func together(b *testing.B, call func() error, at, calls int) rate {
	b.Helper()
	var wg sync.WaitGroup
	start, before := time.Now(), fakeprocess.CPU()
	for range at {
		wg.Go(func() {
			for range calls / at {
				if err := call(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return rate{float64(calls) / time.Since(start).Seconds(), (fakeprocess.CPU() - before) / time.Duration(calls)}
}

// signatureCost is the CPU time of one signature, the least of many.
func signatureCost(b *testing.B) time.Duration {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	least := time.Hour
	for range 20 {
		const each = 20
		before := fakeprocess.CPU()
		for range each {
			sign(b, key)
		}
		least = min(least, (fakeprocess.CPU()-before)/each)
	}
	return max(least, time.Microsecond)
}

func sign(b *testing.B, key *rsa.PrivateKey) {
	b.Helper()
	digest := sha256.Sum256([]byte(benchText))
	if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]); err != nil {
		b.Error(err)
	}
}

func bareGateway(b *testing.B, c *fakeprocess.Cloud) func() error {
	b.Helper()
	return replay(b, c.Gateway.Endpoint, c.Gateway.CAPEM, func(host string) error {
		config := c.Gateway
		config.Endpoint, config.PlainHTTP, config.CAPEM, config.Limits.Attempts = host, true, nil, 1
		g := newGateway(b, config)
		_, err := keyAt(b, g, c.Key).Encrypt(b.Context(), []byte(benchText), nil)
		return err
	})
}

func bareInstance(b *testing.B, c *fakeprocess.Cloud) func() error {
	b.Helper()
	send := replay(b, c.Instance.Endpoint, c.Instance.CAPEM, func(host string) error {
		config := c.Instance
		config.Endpoint, config.PlainHTTP, config.CAPEM, config.Limits.Attempts = host, true, nil, 1
		i := newInstance(b, config)
		_, err := keyAt(b, i, c.Inside).Encrypt(b.Context(), []byte(benchText), nil)
		return err
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	return func() error {
		sign(b, key)
		return send()
	}
}

// replay takes the request that call makes, and returns a call that sends it to the fake, as often as it is called: by then it
// is old, but still good. Every call under way has a connection of its own, which is kept.
func replay(b *testing.B, host string, ca []byte, call func(host string) error) func() error {
	b.Helper()
	var method, path string
	var header http.Header
	var body []byte
	catcher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, path, header = r.Method, r.URL.String(), r.Header.Clone()
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer catcher.Close()
	require.Error(b, call(strings.TrimPrefix(catcher.URL, "http://")))
	roots := x509.NewCertPool()
	require.True(b, roots.AppendCertsFromPEM(ca))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 1000, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	return func() error {
		request, err := http.NewRequestWithContext(context.Background(), method, "https://"+host+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header = header
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
			return errors.Join(err, errors.New(response.Status))
		}
		return nil
	}
}
