package shim

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// upstream is one endpoint that calls go on to. It has connections of its own: using the client that the shim is installed in would
// come back to the shim.
type upstream struct {
	which        kmsmigrate.Side
	scheme, host string
	region       string
	key          accessKey
	http         *http.Client
	most         time.Duration // for one call
	foreign      map[string]bool
}

// accessKey is a RAM access key. It is a CredentialsProvider of the SDK.
type accessKey struct{ id, secret, token string }

func (k accessKey) GetCredentials() (*credentials.Credentials, error) {
	name := "static_ak"
	if k.token != "" {
		name = "static_sts"
	}
	return &credentials.Credentials{AccessKeyId: k.id, AccessKeySecret: k.secret, SecurityToken: k.token, ProviderName: name}, nil
}

func (k accessKey) GetProviderName() string { return "static" }

func newUpstream(which kmsmigrate.Side, cfg alikms.GatewayConfig) (*upstream, error) {
	// NewGateway knows what a config must be; the endpoint itself is not used.
	gateway, err := alikms.NewGateway(cfg)
	if err != nil {
		return nil, invalid("%s side: %w", which, err)
	}
	_ = gateway.Close() // it never fails
	var roots *x509.CertPool
	if len(cfg.CAPEM) > 0 {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(cfg.CAPEM) // NewGateway has parsed it
	}
	u := &upstream{
		which: which, scheme: "https", host: cfg.Endpoint, region: cfg.Region, key: accessKey{cfg.AccessKeyID, cfg.AccessKeySecret, cfg.SecurityToken},
		most: cmp.Or(cfg.Limits.Call, 10*time.Second), foreign: map[string]bool{},
	}
	if u.host == "" {
		u.host = map[bool]string{false: "kms.", true: "kms-vpc."}[cfg.VPC] + cfg.Region + ".aliyuncs.com"
	}
	if cfg.PlainHTTP {
		u.scheme = "http"
	}
	if cfg.ForeignCodes == nil {
		cfg.ForeignCodes = alikms.DefaultForeignCodes()
	}
	for _, code := range cfg.ForeignCodes {
		u.foreign[code] = true
	}
	connect := cmp.Or(cfg.Limits.Connect, 3*time.Second)
	u.http = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
			TLSHandshakeTimeout: connect,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
			MaxIdleConnsPerHost: cmp.Or(cfg.Limits.Concurrency, 128),
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
		// A KMS does not redirect; following one would carry plaintext to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return u, nil
}

func (u *upstream) close() { u.http.CloseIdleConnections() }

const (
	mostAnswer = 8 << 20
	apiVersion = "2016-01-20"
)

// call sends one operation, signed afresh with this side's access key, and returns what came back, whatever it is, as an answer.
func (u *upstream) call(ctx context.Context, action string, p params) *answer {
	ctx, cancel := context.WithTimeout(ctx, u.most)
	defer cancel()
	request, err := u.sign(ctx, action, p)
	if err != nil {
		return u.broken(ctx, "the request cannot be signed")
	}
	got, err := u.http.Do(request)
	if err != nil {
		return u.broken(ctx, why(err))
	}
	defer func() { _ = got.Body.Close() }() // the body was read, or is of no use
	body, err := io.ReadAll(io.LimitReader(got.Body, mostAnswer+1))
	if err != nil || len(body) > mostAnswer {
		return u.broken(ctx, "the answer broke off, or has no end")
	}
	return u.read(action, p, got.StatusCode, body)
}

func (u *upstream) sign(ctx context.Context, action string, p params) (*http.Request, error) {
	request := &requests.RpcRequest{}
	request.InitWithApiInfo("Kms", apiVersion, action, "kms", "openAPI")
	request.SetScheme(u.scheme)
	request.SetDomain(u.host)
	query := request.GetQueryParams()
	for name, value := range p {
		if value != "" {
			query[name] = value
		}
	}
	if err := auth.Sign(request, nil, u.region, u.key); err != nil {
		return nil, errors.New("the request cannot be signed")
	}
	out, err := http.NewRequestWithContext(ctx, request.GetMethod(), request.BuildUrl(), http.NoBody)
	if err != nil {
		return nil, errors.New("the request cannot be built") // the error would quote the URL
	}
	for name, value := range request.GetHeaders() {
		out.Header[name] = []string{value}
	}
	out.Header.Set("User-Agent", "keyhaul")
	return out, nil
}

// broken is the answer of an endpoint that gave none. net/http's own words would quote the URL, and with it the plaintext.
func (u *upstream) broken(ctx context.Context, reason string) *answer {
	if ctx.Err() != nil {
		reason = "there was no answer in time"
	}
	return failed(http.StatusServiceUnavailable, "ServiceUnavailableTemporary", "The "+u.which.String()+" side did not answer: "+reason+".")
}

// why explains an error of the transport without quoting it.
func why(err error) string {
	var unknown x509.UnknownAuthorityError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is of an unknown authority; is CAPEM the CA of this instance?"
	case errors.As(err, &dns):
		return "its host name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection"
	default:
		return "the connection broke before the answer"
	}
}
