package alikms

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// InstanceConfig describes an Instance. Endpoint, ClientKey, Password and CAPEM are needed.
type InstanceConfig struct {
	// Endpoint is the instance's host, and a port where it is not 443, without a scheme:
	// <instance>.cryptoservice.kms.aliyuncs.com.
	Endpoint string
	// ClientKey is the content of the clientKey_KAAP.….json file of an application access point, and Password opens it.
	// ClientKeyFile and PasswordFile are files with the same; white space around a password in a file is left out.
	ClientKey                   []byte
	Password                    string
	ClientKeyFile, PasswordFile string
	// CAPEM holds the instance's private CA: the PrivateKmsCA_kst-….pem file, or GetKmsInstance.CaCertificateChainPem.
	// CAFile is a file with the same.
	CAPEM  []byte
	CAFile string
	// InsecureSkipVerify is that of GatewayConfig; then no CAPEM is needed. The ClientKey's certificate is sent all the same.
	InsecureSkipVerify bool
	// PlainHTTP speaks HTTP without TLS, and then needs no CAPEM. It is for fakes: any host that is not a loopback
	// address is refused.
	PlainHTTP bool
	// Form is how ciphertext gets its key version. The zero value, FormAdvance, is right for software instances.
	Form Form
	// Account, Region and Instance complete the KeyRefs of this endpoint's keys: the account's uid, the region id and the
	// instance's id (kst-…). They may be empty.
	Account, Region, Instance string
	// Versions lists, by key id or alias, ids of key versions that are known to be the key's: what a plan exports.
	Versions map[string][]string
	// Directory is a Gateway that may describe keys and list their versions, which the protobuf API cannot: the shared
	// gateway of the same region. Nil: nobody is asked.
	Directory *Gateway
	// ForeignCodes are the error codes of a decryption that mean "another key's". Nil: DefaultForeignCodes.
	ForeignCodes []string
	// Limits bounds the calls.
	Limits Limits
	// Observer is told of every attempt, with Side in it. Nil: nobody.
	Observer Observer
	Side     kmsmigrate.Side
}

// Form is how an Instance makes ciphertext that names its key version. Both forms give the same bytes at the Key
// boundary, and each opens what the other wrote.
type Form uint8

const (
	// FormAdvance calls AdvanceEncrypt and AdvanceDecrypt: the primary key version encrypts, so rotation takes effect.
	// Alibaba documents them for software instances.
	FormAdvance Form = iota
	// FormMigrationHeader calls Encrypt and Decrypt with the header x-kms-migrationkeyversionid, as the official transfer
	// SDK does. The key's first version encrypts, whatever its rotation. It works for keys that were migrated; whether
	// the service returns the header for keys born in KMS 3.0 is not documented.
	FormMigrationHeader
)

// Instance speaks the protobuf API of one KMS instance. Make it with NewInstance, and Close it. It is safe for concurrent
// use.
type Instance struct {
	*endpoint
	clientKey atomic.Pointer[clientKey]
	keys      keys
	config    InstanceConfig
}

// NewInstance checks cfg and makes an Instance of it, without a call. It fails with kmsmigrate.ErrInvalid where a field is
// missing or malformed: an endpoint with a scheme, a CA that does not parse, a ClientKey that the password does not open,
// that has expired, or whose RSA key does not match its certificate.
func NewInstance(cfg InstanceConfig) (*Instance, error) {
	cfg, err := cfg.read()
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.Endpoint == "":
		return nil, invalid("Endpoint is needed: the instance's host")
	case len(cfg.ClientKey) == 0:
		return nil, invalid("ClientKey is needed: the content of the application access point's clientKey_….json")
	case cfg.Password == "":
		return nil, invalid("Password is needed: it opens the ClientKey")
	case len(cfg.CAPEM) == 0 && !cfg.PlainHTTP && !cfg.InsecureSkipVerify:
		return nil, invalid("CAPEM is needed: the instance's certificate is signed by a private CA")
	case cfg.Form > FormMigrationHeader:
		return nil, invalid("Form %d is none", cfg.Form)
	case cfg.Region != "" && !regionShape.MatchString(cfg.Region):
		return nil, invalid("Region %q is not a region id such as cn-hangzhou", clip(cfg.Region))
	}
	roots, err := parseCA(cfg.CAPEM)
	if err != nil {
		return nil, err
	}
	if err := checkVersions(cfg.Versions); err != nil {
		return nil, err
	}
	key, err := parseClientKey(cfg.ClientKey, cfg.Password, time.Now())
	if err != nil {
		return nil, err
	}
	e, err := newEndpoint(cfg.Endpoint, cfg.PlainHTTP, roots, cfg.Limits, cfg.ForeignCodes)
	if err != nil {
		return nil, err
	}
	if err := e.refuseFake(strings.TrimPrefix(key.id, "KAAP.")); err != nil {
		return nil, err
	}
	e.ref.Account, e.ref.Region, e.ref.Instance = cfg.Account, cfg.Region, cfg.Instance
	e.lanes.tls.InsecureSkipVerify = cfg.InsecureSkipVerify
	e.sdkError = report.teaError
	e.observer, e.side = cfg.Observer, cfg.Side
	cfg.ClientKey, cfg.Password = nil, "" // not needed any more, and not to be printed
	i := &Instance{endpoint: e, config: cfg}
	i.useClientKey(key)
	return i, nil
}

// read returns the config with the content of its files.
func (c InstanceConfig) read() (InstanceConfig, error) {
	var err error
	if c.ClientKey, err = contentOf("ClientKey", c.ClientKey, c.ClientKeyFile); err != nil {
		return c, err
	}
	password, err := contentOf("Password", []byte(c.Password), c.PasswordFile)
	if err != nil {
		return c, err
	}
	c.Password = string(password)
	if c.PasswordFile != "" {
		c.Password = strings.TrimSpace(c.Password)
	}
	c.CAPEM, err = contentOf("CA", c.CAPEM, c.CAFile)
	return c, err
}

// ReplaceClientKey makes all further calls with another ClientKey, without interrupting those under way: before one
// expires, create the next for the same application access point and hand it over here. It fails with
// kmsmigrate.ErrInvalid, and changes nothing, for a ClientKey that NewInstance would refuse.
func (i *Instance) ReplaceClientKey(content []byte, password string) error {
	key, err := parseClientKey(content, password, time.Now())
	if err != nil {
		return err
	}
	i.useClientKey(key)
	return nil
}

// ClientKeyExpires returns when the ClientKey in use expires.
func (i *Instance) ClientKeyExpires() time.Time { return i.clientKey.Load().expires }

// useClientKey also changes the connections: a TLS session belongs to the certificate that it was opened with.
func (i *Instance) useClientKey(key *clientKey) {
	i.clientKey.Store(key)
	i.lanes.present(&key.cert)
}

// Key returns the key of that id, alias (alias/…) or ARN, without a call. Asked for the same key again, it returns the
// same Key. It fails with kmsmigrate.ErrInvalid for a name that is none, and for the ARN of another region.
func (i *Instance) Key(id string) (kmsmigrate.Key, error) {
	return i.keys.get(i, id, i.config.Versions)
}

// Close ends calls under way and returns when no goroutine or connection is left. Its Keys stop working. The error is
// always nil.
func (i *Instance) Close() error {
	i.lanes.close()
	return nil
}

func (i *Instance) base() *endpoint     { return i.endpoint }
func (i *Instance) directory() *Gateway { return i.config.Directory }

func (i *Instance) encrypt(ctx context.Context, key string, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, string, error) {
	if i.config.Form == FormAdvance {
		sealed, err := i.AdvanceEncrypt(ctx, key, plaintext, Binding{Context: ec})
		return sealed.Ciphertext, sealed.KeyID, err
	}
	parts, err := i.Encrypt(ctx, key, plaintext, Binding{Context: ec})
	if err != nil {
		return nil, "", err
	}
	if len(parts.VersionID) != kmsmigrate.VersionIDSize || len(parts.IV) != nonceSize {
		return nil, "", i.bad("Encrypt", shownKey(key), "it has no "+migrationHeader+", or no Iv of 12 bytes: this key cannot be used with FormMigrationHeader")
	}
	return bytes.Join([][]byte{[]byte(parts.VersionID), parts.IV, parts.Ciphertext}, nil), parts.KeyID, nil
}

func (i *Instance) decrypt(ctx context.Context, key string, blob []byte, ec kmsmigrate.EncryptionContext) ([]byte, string, error) {
	if i.config.Form == FormAdvance {
		opened, err := i.open(ctx, key, blob, Binding{Context: ec})
		return opened.Plaintext, opened.KeyID, err
	}
	const version, nonce = kmsmigrate.VersionIDSize, kmsmigrate.VersionIDSize + nonceSize
	opened, err := i.openParts(ctx, key, Parts{VersionID: string(blob[:version]), IV: blob[version:nonce], Ciphertext: blob[nonce:], Algorithm: algorithm}, Binding{Context: ec})
	return opened.Plaintext, opened.KeyID, err
}
