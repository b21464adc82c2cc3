package sdk

import (
	"errors"
	"strings"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials/provider"
	client "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/internal/adopt"
	"github.com/keyhaul/keyhaul/shim/kms"
)

// KmsTransferClient takes the place of the original's. Verify and all settings count until the first call.
type KmsTransferClient struct {
	*kms.Client

	// Verify is the PEM text of the instance's CA. It goes before Ca and CaFilePath of the dkms config.
	Verify string
}

// SetVerify sets Verify.
func (client *KmsTransferClient) SetVerify(v string) {
	client.Verify = v
}

// NewMigratingClient makes a KmsTransferClient of a Config, without a migration file; errors are those of shim.NewMigratingClient. Fields and
// settings of it have no effect.
func NewMigratingClient(cfg shim.Config) (*KmsTransferClient, error) {
	made, err := kms.NewMigratingClient(cfg)
	if err != nil {
		return nil, err
	}
	return &KmsTransferClient{Client: made}, nil
}

// NewClientWithProvider takes the first credential that a provider has; without providers, those of the SDK's default chain are asked.
func NewClientWithProvider(regionID string, dkmsConfig *client.Config, providers ...provider.Provider) (*KmsTransferClient, error) {
	credential, err := adopt.Chain(providers)
	if err != nil {
		return nil, err
	}
	return NewClientWithOptions(regionID, nil, credential, dkmsConfig)
}

// NewClientWithOptions takes any credential of the SDK. Of kmsConfig, Timeout counts; it may be nil. A nil dkmsConfig means that there is
// no instance.
func NewClientWithOptions(regionID string, kmsConfig *sdk.Config, credential auth.Credential, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	instance, err := instanceOf(dkmsConfig)
	if err != nil {
		return nil, err
	}
	made := &KmsTransferClient{Client: &kms.Client{}}
	kms.SetEndpointDataToClient(made.Client)
	made.Client.Client, err = adopt.Client(adopt.Constructed{Region: regionID, Config: kmsConfig, Credential: credential, Instance: instance, Later: func() adopt.Settings {
		s := adopt.Settings{Endpoint: made.Domain, VPC: made.Network == "vpc", CA: made.Verify}
		if s.Endpoint == "" {
			s.Endpoint = made.EndpointMap[regionID]
		}
		return s
	}})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// NewClientWithAccessKey takes a RAM access key.
func NewClientWithAccessKey(regionID, accessKeyID, accessKeySecret string, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewAccessKeyCredential(accessKeyID, accessKeySecret), dkmsConfig)
}

// NewClientWithStsToken takes an access key that STS gave out.
func NewClientWithStsToken(regionID, stsAccessKeyID, stsAccessKeySecret, stsToken string, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewStsTokenCredential(stsAccessKeyID, stsAccessKeySecret, stsToken), dkmsConfig)
}

// NewClientWithRamRoleArn takes a role to assume.
func NewClientWithRamRoleArn(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName string, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithRamRoleArnAndPolicy(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName, "", dkmsConfig)
}

// NewClientWithRamRoleArnAndPolicy takes a role to assume, with less than it allows.
func NewClientWithRamRoleArnAndPolicy(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName, policy string, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithOptions(regionID, nil, &credentials.RamRoleArnCredential{
		AccessKeyId: accessKeyID, AccessKeySecret: accessKeySecret, RoleArn: roleArn, RoleSessionName: roleSessionName, Policy: policy,
	}, dkmsConfig)
}

// NewClientWithEcsRamRole takes the role of an ECS instance.
func NewClientWithEcsRamRole(regionID, roleName string, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewEcsRamRoleCredential(roleName), dkmsConfig)
}

// NewClientWithRsaKeyPair takes a key pair.
func NewClientWithRsaKeyPair(regionID, publicKeyID, privateKey string, sessionExpiration int, dkmsConfig *client.Config) (*KmsTransferClient, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewRsaKeyPairCredential(privateKey, publicKeyID, sessionExpiration), dkmsConfig) //nolint:staticcheck // who has one still has this
}

// instanceOf reads a dkms config, and does not write to it, as the original does.
func instanceOf(config *client.Config) (*alikms.InstanceConfig, error) {
	if config == nil {
		return nil, nil
	}
	for _, proxy := range []*string{config.HttpProxy, config.HttpsProxy, config.Socks5Proxy} {
		if tea.StringValue(proxy) != "" {
			return nil, errors.New("sdk: a proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), not from the dkms config")
		}
	}
	cfg := alikms.InstanceConfig{
		Endpoint:  strings.TrimPrefix(tea.StringValue(config.Endpoint), "https://"),
		ClientKey: []byte(tea.StringValue(config.ClientKeyContent)), Password: tea.StringValue(config.Password),
		CAPEM: []byte(tea.StringValue(config.Ca)), PlainHTTP: strings.EqualFold(tea.StringValue(config.Protocol), "http"),
		InsecureSkipVerify: tea.BoolValue(config.IgnoreSSL), Region: tea.StringValue(config.RegionId), Form: alikms.FormMigrationHeader,
	}
	if len(cfg.ClientKey) == 0 {
		cfg.ClientKeyFile = tea.StringValue(config.ClientKeyFile)
	}
	if len(cfg.CAPEM) == 0 {
		cfg.CAFile = tea.StringValue(config.CaFilePath)
	}
	if len(cfg.ClientKey) == 0 && cfg.ClientKeyFile == "" {
		return nil, errors.New("sdk: ClientKeyContent or ClientKeyFile is needed in the dkms config, with Password")
	}
	cfg.Limits.Call = time.Duration(tea.IntValue(config.ReadTimeout)) * time.Millisecond
	return &cfg, nil
}
