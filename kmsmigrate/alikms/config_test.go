package alikms_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

const password = "pass-8f2-planted"

// selfSigned makes a certificate for public, signed by itself, and its PEM.
func selfSigned(tb testing.TB, public any, signer any, until time.Time) (*x509.Certificate, []byte) {
	tb.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// clientKeyJSON is a ClientKey file of any private key and certificate.
func clientKeyJSON(tb testing.TB, key any, cert *x509.Certificate) []byte {
	tb.Helper()
	store, err := pkcs12.LegacyDES.Encode(key, cert, nil, password)
	require.NoError(tb, err)
	text, err := json.Marshal(map[string]any{"KeyId": "KAAP.test", "PrivateKeyData": store})
	require.NoError(tb, err)
	return text
}

func TestGatewayConfigIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	good := alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "secret-planted"}
	g, err := alikms.NewGateway(good)
	require.NoError(t, err)
	require.NoError(t, g.Close())
	for name, change := range map[string]func(*alikms.GatewayConfig){
		"no region":          func(c *alikms.GatewayConfig) { c.Region = "" },
		"malformed region":   func(c *alikms.GatewayConfig) { c.Region = "Hangzhou!" },
		"no access key":      func(c *alikms.GatewayConfig) { c.AccessKeyID = "" },
		"no secret":          func(c *alikms.GatewayConfig) { c.AccessKeySecret = "" },
		"scheme":             func(c *alikms.GatewayConfig) { c.Endpoint = "https://kms.cn-hangzhou.aliyuncs.com" },
		"path":               func(c *alikms.GatewayConfig) { c.Endpoint = "kms.cn-hangzhou.aliyuncs.com/x" },
		"user info":          func(c *alikms.GatewayConfig) { c.Endpoint = "me@kms.example" },
		"port":               func(c *alikms.GatewayConfig) { c.Endpoint = "kms.example:99999" },
		"gateway of another": func(c *alikms.GatewayConfig) { c.Endpoint = "kms-vpc.cn-beijing.aliyuncs.com" },
		"CA is no PEM":       func(c *alikms.GatewayConfig) { c.CAPEM = []byte("hello") },
		"CA is no certificate": func(c *alikms.GatewayConfig) {
			c.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
		},
		"plain HTTP far away":    func(c *alikms.GatewayConfig) { c.PlainHTTP = true },
		"negative limit":         func(c *alikms.GatewayConfig) { c.Limits.Call = -1 },
		"empty foreign code":     func(c *alikms.GatewayConfig) { c.ForeignCodes = []string{""} },
		"version of a bad shape": func(c *alikms.GatewayConfig) { c.Versions = map[string][]string{"key-x": {"short"}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			change(&cfg)
			_, err := alikms.NewGateway(cfg)
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			require.NotContains(t, err.Error(), "planted")
		})
	}
}

func TestKeyNamesAreCheckedWithoutACall(t *testing.T) {
	t.Parallel()
	g := newGateway(t, alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "secret"})
	for _, name := range []string{
		"", " ", "alias/", "key one", "acs:kms:cn-beijing:1:key/key-x", "acs:kms:cn-hangzhou:1:secret/x", "http://x", strings.Repeat("x", 4000),
	} {
		_, err := g.Key(name)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "%.20q", name)
		require.Less(t, len(err.Error()), 400)
	}
	for _, name := range []string{"key-hzz62f1cb66fa42qo0000", "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf", "alias/app", "acs:kms:cn-hangzhou:1:key/key-x", "acs:kms:cn-hangzhou:1:alias/app"} {
		_, err := g.Key(name)
		require.NoError(t, err)
	}
}

func TestInstanceConfigIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	later := time.Now().Add(time.Hour)
	cert, ca := selfSigned(t, private.Public(), private, later)
	expired, _ := selfSigned(t, private.Public(), private, time.Now().Add(-time.Hour))
	mismatch, _ := selfSigned(t, other.Public(), other, later)
	elliptical, _ := selfSigned(t, curve.Public(), curve, later)
	good := alikms.InstanceConfig{Endpoint: "kst-x.cryptoservice.kms.aliyuncs.com", ClientKey: clientKeyJSON(t, private, cert), Password: password, CAPEM: ca}
	i := newInstance(t, good)
	require.WithinDuration(t, later, i.ClientKeyExpires(), time.Second)
	for name, change := range map[string]func(*alikms.InstanceConfig){
		"no endpoint":       func(c *alikms.InstanceConfig) { c.Endpoint = "" },
		"scheme":            func(c *alikms.InstanceConfig) { c.Endpoint = "https://" + c.Endpoint },
		"no ClientKey":      func(c *alikms.InstanceConfig) { c.ClientKey = nil },
		"no password":       func(c *alikms.InstanceConfig) { c.Password = "" },
		"wrong password":    func(c *alikms.InstanceConfig) { c.Password = "planted-wrong" },
		"no CA":             func(c *alikms.InstanceConfig) { c.CAPEM = nil },
		"CA does not parse": func(c *alikms.InstanceConfig) { c.CAPEM = []byte("-----BEGIN") },
		"not JSON":          func(c *alikms.InstanceConfig) { c.ClientKey = []byte("planted") },
		"empty JSON":        func(c *alikms.InstanceConfig) { c.ClientKey = []byte("{}") },
		"not base64":        func(c *alikms.InstanceConfig) { c.ClientKey = []byte(`{"KeyId":"KAAP.x","PrivateKeyData":"%planted"}`) },
		"not PKCS#12": func(c *alikms.InstanceConfig) {
			c.ClientKey = []byte(`{"KeyId":"KAAP.x","PrivateKeyData":"cGxhbnRlZA=="}`)
		},
		"expired":  func(c *alikms.InstanceConfig) { c.ClientKey = clientKeyJSON(t, private, expired) },
		"mismatch": func(c *alikms.InstanceConfig) { c.ClientKey = clientKeyJSON(t, private, mismatch) },
		"not RSA":  func(c *alikms.InstanceConfig) { c.ClientKey = clientKeyJSON(t, curve, elliptical) },
		"no form":  func(c *alikms.InstanceConfig) { c.Form = 9 },
		"region":   func(c *alikms.InstanceConfig) { c.Region = "x y" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			change(&cfg)
			_, err := alikms.NewInstance(cfg)
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			require.NotContains(t, err.Error(), "planted")
		})
	}
	expiredJSON := clientKeyJSON(t, private, expired)
	require.ErrorIs(t, i.ReplaceClientKey(expiredJSON, password), kmsmigrate.ErrInvalid)
	require.WithinDuration(t, later, i.ClientKeyExpires(), time.Second, "a refused ClientKey changes nothing")
}

func TestConfigsDoNotPrintCredentials(t *testing.T) {
	t.Parallel()
	gateway := alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: "id", AccessKeySecret: "planted", SecurityToken: "planted"}
	instance := alikms.InstanceConfig{Endpoint: "kst-x", ClientKey: []byte("planted"), Password: "planted"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "gateway", gateway, "instance", instance)
	for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v %s", gateway, gateway, gateway, gateway), fmt.Sprintf("%v %+v %#v %s", instance, instance, instance, instance)} {
		require.NotContains(t, text, "planted")
	}
}
