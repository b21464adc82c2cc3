package alikms

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// GatewayConfig describes a Gateway. Region and an access key are needed; everything else has a useful zero value.
type GatewayConfig struct {
	// Region is the region id: cn-hangzhou.
	Region string
	// Endpoint is the host, and a port where it is not 443, without a scheme. Empty: the shared gateway of the region,
	// kms.<region>.aliyuncs.com. For the RPC face of an instance it is the instance's host,
	// <instance>.cryptoservice.kms.aliyuncs.com.
	Endpoint string
	// VPC takes kms-vpc.<region>.aliyuncs.com where Endpoint is empty.
	VPC bool
	// AccessKeyID and AccessKeySecret are a RAM access key. SecurityToken goes with one that STS gave out.
	AccessKeyID, AccessKeySecret, SecurityToken string
	// Credential takes the place of the three: any credential or provider of alibaba-cloud-sdk-go that its services/kms
	// takes (STS token, RAM role, ECS role, OIDC, a profile, a chain), or a Credential of credentials-go, the V2.0 SDK's.
	// New code should take the latter: the former SDK is past its end of support. A provider is asked by one goroutine at
	// a time.
	Credential any
	// CAPEM holds the certificates to trust, in PEM: an instance's private CA (PrivateKmsCA_kst-….pem, or
	// GetKmsInstance.CaCertificateChainPem). Empty: the system's. CAFile is a file with the same.
	CAPEM  []byte
	CAFile string
	// InsecureSkipVerify takes any certificate, so that whoever stands between reads the plaintext and the answers can be anybody's. It is
	// for applications that ask for it today, by SetHTTPSInsecure of the official SDK; give CAPEM instead.
	InsecureSkipVerify bool
	// PlainHTTP speaks HTTP without TLS. It is for fakes: any host that is not a loopback address is refused.
	PlainHTTP bool
	// Account and Instance complete the KeyRefs of this endpoint's keys: the account's uid, and the id of the instance
	// (kst-…) where the keys are in one. Both may be empty.
	Account, Instance string
	// Versions lists, by key id or alias, ids of key versions that are known to be the key's: what a plan exports. It
	// saves trials, and lets a census tell whose a ciphertext with a UUID in front is.
	Versions map[string][]string
	// Directory is a Gateway that may describe keys and list their versions, for an instance's RPC face, which cannot:
	// the shared gateway of the same region. Nil: the Gateway itself, or nobody where Instance is set.
	Directory *Gateway
	// ForeignCodes are the error codes of Decrypt that mean "another key's". Nil: DefaultForeignCodes.
	ForeignCodes []string
	// Limits bounds the calls.
	Limits Limits
	// Observer is told of every attempt, with Side in it. Nil: nobody.
	Observer Observer
	Side     kmsmigrate.Side
}

// Gateway speaks the KMS OpenAPI of one region or, with an instance's host and CA, of one instance. Make it with
// NewGateway, and Close it. It is safe for concurrent use.
type Gateway struct {
	*endpoint
	credential *credentialSource
	lister     *Gateway
	keys       keys
	known      map[string][]string // GatewayConfig.Versions
}

var regionShape = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`)

// NewGateway checks cfg and makes a Gateway of it, without a call. It fails with kmsmigrate.ErrInvalid where a field is
// missing or malformed: a region that is none, an endpoint with a scheme or of another region, a CA that does not parse.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if !regionShape.MatchString(cfg.Region) {
		return nil, invalid("Region %q is not a region id such as cn-hangzhou", clip(cfg.Region))
	}
	switch static := cfg.AccessKeyID != "" || cfg.AccessKeySecret != "" || cfg.SecurityToken != ""; {
	case cfg.Credential != nil && static:
		return nil, invalid("an access key and a Credential are both set: one is enough")
	case cfg.Credential == nil && (cfg.AccessKeyID == "" || cfg.AccessKeySecret == ""):
		return nil, invalid("AccessKeyID and AccessKeySecret are both needed, or a Credential")
	}
	host := cfg.Endpoint
	if host == "" {
		host = map[bool]string{false: "kms.", true: "kms-vpc."}[cfg.VPC] + cfg.Region + ".aliyuncs.com"
	} else if of := sharedHost.FindStringSubmatch(host); of != nil && of[1] != cfg.Region {
		return nil, invalid("Endpoint %s is the gateway of %s, and Region is %s", clip(host), of[1], cfg.Region)
	}
	ca, err := contentOf("CA", cfg.CAPEM, cfg.CAFile)
	if err != nil {
		return nil, err
	}
	roots, err := parseCA(ca)
	if err != nil {
		return nil, err
	}
	if err := checkVersions(cfg.Versions); err != nil {
		return nil, err
	}
	e, err := newEndpoint(host, cfg.PlainHTTP, roots, cfg.Limits, cfg.ForeignCodes)
	if err != nil {
		return nil, err
	}
	if err := e.refuseFake(cfg.AccessKeyID); err != nil {
		return nil, err
	}
	e.ref.Account, e.ref.Region, e.ref.Instance = cfg.Account, cfg.Region, cfg.Instance
	e.lanes.tls.InsecureSkipVerify = cfg.InsecureSkipVerify
	e.sdkError = report.serverError
	e.observer, e.side = cfg.Observer, cfg.Side
	g := &Gateway{endpoint: e, known: cfg.Versions, lister: cfg.Directory, credential: staticCredential(cfg.AccessKeyID, cfg.AccessKeySecret, cfg.SecurityToken)}
	if cfg.Credential != nil {
		if g.credential, err = newCredentialSource(cfg.Credential, e.lanes.run); err != nil {
			return nil, err
		}
	}
	if g.lister == nil && cfg.Instance == "" {
		g.lister = g
	}
	return g, nil
}

var sharedHost = regexp.MustCompile(`^kms(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com(?::\d+)?$`)

// Key returns the key of that id, alias (alias/…) or ARN, without a call. Asked for the same key again, it returns the
// same Key. It fails with kmsmigrate.ErrInvalid for a name that is none, and for the ARN of another region.
func (g *Gateway) Key(id string) (kmsmigrate.Key, error) { return g.keys.get(g, id, g.known) }

// Close ends calls under way and returns when no goroutine or connection is left. Its Keys stop working. The error is
// always nil.
func (g *Gateway) Close() error {
	g.lanes.close()
	return nil
}

func (g *Gateway) base() *endpoint     { return g.endpoint }
func (g *Gateway) directory() *Gateway { return g.lister }

// maxPlaintext is the most that the OpenAPI encrypts (API reference, Encrypt: 6 KB).
const maxPlaintext = 6 << 10

func (g *Gateway) encrypt(ctx context.Context, key string, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, string, error) {
	sealed, err := g.Encrypt(ctx, key, plaintext, Binding{Context: ec})
	return sealed.Ciphertext, sealed.KeyID, err
}

func (g *Gateway) decrypt(ctx context.Context, key string, blob []byte, ec kmsmigrate.EncryptionContext) ([]byte, string, error) {
	opened, err := g.open(ctx, key, blob, Binding{Context: ec})
	return opened.Plaintext, opened.KeyID, err
}

// resolve asks which key an alias, id or ARN names.
func (g *Gateway) resolve(ctx context.Context, name string) (string, error) {
	answer := kms.CreateDescribeKeyResponse()
	err := g.rpc(ctx, rpc{action: "DescribeKey", key: shownKey(name), answer: answer, parameters: parameters{"KeyId": name},
		check: func() string { return missing("KeyMetadata.KeyId", answer.KeyMetadata.KeyId) }})
	return answer.KeyMetadata.KeyId, err
}

// versions lists the ids of all versions of a key.
func (g *Gateway) versions(ctx context.Context, keyID string) ([]string, error) {
	var ids []string
	for page := 1; ; page++ {
		answer := kms.CreateListKeyVersionsResponse()
		err := g.rpc(ctx, rpc{action: "ListKeyVersions", key: keyID, answer: answer, parameters: parameters{"KeyId": keyID}.page(page),
			check: func() string { return missing("RequestId", answer.RequestId) }})
		if err != nil {
			return nil, err
		}
		for _, v := range answer.KeyVersions.KeyVersion {
			ids = append(ids, v.KeyVersionId)
		}
		if len(answer.KeyVersions.KeyVersion) == 0 || len(ids) >= answer.TotalCount {
			return ids, nil
		}
	}
}

// shownKey is the key id for errors: an alias is not one.
func shownKey(given string) string {
	if id := bareKeyID(given); !strings.HasPrefix(id, "alias/") {
		return id
	}
	return ""
}

func decodeBlob(text string) ([]byte, string) {
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) == 0 {
		return nil, "its CiphertextBlob is empty or not base64"
	}
	return blob, ""
}

func missing(field, value string) string {
	if value == "" {
		return "it has no " + field
	}
	return ""
}

// keys hands out one Key for one name, so that what it learns is learned once.
type keys struct {
	mu     sync.Mutex
	byName map[string]*Key
}

func (k *keys) get(f face, name string, versions map[string][]string) (kmsmigrate.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.byName[name]; key != nil {
		return key, nil
	}
	key, err := newKey(f, name, versions)
	if err != nil {
		return nil, err
	}
	if k.byName == nil {
		k.byName = map[string]*Key{}
	}
	k.byName[name] = key
	return key, nil
}
