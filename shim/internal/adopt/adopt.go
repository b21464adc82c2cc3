// Package adopt makes the clients of the packages that take the place of the official SDKs: the application's constructor and the migration
// file say together what a shim.Config says.
package adopt

import (
	"errors"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials/provider"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/internal/official"
)

// Constructed is what a constructor of an SDK is given.
type Constructed struct {
	Region     string
	Config     *sdk.Config // nil: the SDK's default
	Credential auth.Credential
	Instance   *alikms.InstanceConfig // of the transfer SDK's constructors; nil: there is none
	Later      func() Settings
}

// Settings are what an application can set after its constructor, until the first call.
type Settings struct {
	Endpoint string // empty: as the first request says, or the region's
	VPC      bool
	CA       string // PEM, of the instance
}

// Client makes a client of the migration that the environment names. What can be checked before the settings are known is checked.
func Client(c Constructed) (*shim.Client, error) {
	migration, err := shim.ReadMigration()
	if err != nil {
		return nil, err
	}
	gateway, err := gatewayOf(c.Region, c.Credential)
	if err != nil {
		return nil, err
	}
	made, err := official.New(c.Region, c.Config, c.Credential)
	if err != nil {
		return nil, err
	}
	if err := check(migration, shim.Application{Gateway: gateway, Instance: c.Instance}); err != nil {
		return nil, err
	}
	var client *shim.Client
	client = shim.NewDeferredClient(made, func(domain string) (shim.Config, error) {
		return migration.Config(c.application(gateway, domain, client.GetHTTPSInsecure()))
	})
	if c.Config != nil && c.Config.Timeout > 0 {
		client.SetReadTimeout(c.Config.Timeout)
	}
	return client, nil
}

// check finds what is wrong with a migration while the constructor can still say so. Nothing is called, so no certificate is looked at.
func check(m shim.Migration, app shim.Application) error {
	app.Gateway.Endpoint = "localhost" // the real one can come by a setting
	if app.Instance != nil {
		unsettled := *app.Instance
		unsettled.InsecureSkipVerify = true // the CA comes by SetVerify
		app.Instance = &unsettled
	}
	cfg, err := m.Config(app)
	if err != nil {
		return err
	}
	transport, err := shim.NewTransport(cfg)
	if err != nil {
		return err
	}
	return transport.Close()
}

// application is what the application says, its settings included.
func (c Constructed) application(gateway alikms.GatewayConfig, domain string, insecure bool) shim.Application {
	settings := c.Later()
	gateway.Endpoint, gateway.VPC, gateway.InsecureSkipVerify = settings.Endpoint, settings.VPC, insecure
	if gateway.Endpoint == "" {
		gateway.Endpoint = domain
	}
	app := shim.Application{Gateway: gateway}
	if c.Instance != nil {
		instance := *c.Instance
		if settings.CA != "" {
			instance.CAPEM, instance.CAFile = []byte(settings.CA), ""
		}
		instance.InsecureSkipVerify = instance.InsecureSkipVerify || insecure
		app.Instance = &instance
	}
	return app
}

// gatewayOf is the gateway that a region and a credential of the SDK name.
func gatewayOf(region string, credential auth.Credential) (alikms.GatewayConfig, error) {
	cfg := alikms.GatewayConfig{Region: region}
	switch c := credential.(type) {
	case *credentials.AccessKeyCredential:
		cfg.AccessKeyID, cfg.AccessKeySecret = c.AccessKeyId, c.AccessKeySecret
	case *credentials.StsTokenCredential:
		cfg.AccessKeyID, cfg.AccessKeySecret, cfg.SecurityToken = c.AccessKeyId, c.AccessKeySecret, c.AccessKeyStsToken
	default:
		source, err := auth.ToCredentialsProvider(credential)
		if err != nil {
			return cfg, errors.New("shim: the credential is none that the official SDK takes")
		}
		cfg.Credential = &oneAtATime{source: source}
	}
	return cfg, nil
}

// oneAtATime lets both sides share a provider: those of the SDK are not safe for concurrent use.
type oneAtATime struct {
	mu     sync.Mutex
	source credentials.CredentialsProvider
}

func (o *oneAtATime) GetCredentials() (*credentials.Credentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.source.GetCredentials()
}

func (o *oneAtATime) GetProviderName() string { return o.source.GetProviderName() }

// Chain asks providers for a credential as the SDK's NewClientWithProvider does: the default chain where there are none.
func Chain(providers []provider.Provider) (auth.Credential, error) {
	chain := provider.DefaultChain
	if len(providers) > 0 {
		chain = provider.NewProviderChain(providers)
	}
	return chain.Resolve()
}
