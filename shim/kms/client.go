package kms

import (
	"errors"
	"reflect"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials/provider"

	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/internal/adopt"
)

// Client takes the place of the original's. It has its methods and its fields. Fields and settings count until the first call; of the fields
// those that name an endpoint do, and the migration file goes before them.
type Client struct {
	*shim.Client

	// SourceIp, SecureTransport and EndpointType have no effect.
	SourceIp        string
	SecureTransport string
	EndpointType    string
	// EndpointMap names the host of a region, Network "vpc" is the gateway of the VPC, and Domain is the host, whatever the region.
	EndpointMap map[string]string
	Network     string
	Domain      string
}

// SetEndpointRules sets three of the fields.
func (client *Client) SetEndpointRules(endpointMap map[string]string, endpointType, network string) {
	client.EndpointMap, client.EndpointType, client.Network = endpointMap, endpointType, network
}

// EndpointMap and EndpointType are what SetEndpointDataToClient sets. They are the original's, which are variables.
var (
	EndpointMap  map[string]string
	EndpointType = "regional"
)

// GetEndpointMap returns EndpointMap, and an empty map where that is nil.
func GetEndpointMap() map[string]string {
	if EndpointMap == nil {
		return map[string]string{}
	}
	return EndpointMap
}

// GetEndpointType returns EndpointType.
func GetEndpointType() string { return EndpointType }

// SetClientProperty sets a field by its name, where there is one.
func SetClientProperty(client *Client, propertyName string, propertyValue any) {
	field := reflect.ValueOf(client).Elem().FieldByName(propertyName)
	if field.IsValid() && field.CanSet() {
		field.Set(reflect.ValueOf(propertyValue))
	}
}

// SetEndpointDataToClient sets EndpointMap and EndpointType.
func SetEndpointDataToClient(client *Client) {
	SetClientProperty(client, "EndpointMap", GetEndpointMap())
	SetClientProperty(client, "EndpointType", GetEndpointType())
}

// NewMigratingClient makes a Client of a Config, without a migration file; errors are those of shim.NewMigratingClient. Fields and settings of it
// have no effect.
func NewMigratingClient(cfg shim.Config) (*Client, error) {
	made, err := shim.NewMigratingClient(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{Client: made}, nil
}

// NewClient always fails: the original, which has no credential either, panics.
func NewClient() (*Client, error) {
	return nil, errors.New("kms: NewClient has no credential: use NewClientWithProvider, or another that has one")
}

// NewClientWithProvider takes the first credential that a provider has; without providers, those of the SDK's default chain are asked.
func NewClientWithProvider(regionID string, providers ...provider.Provider) (*Client, error) {
	credential, err := adopt.Chain(providers)
	if err != nil {
		return nil, err
	}
	return NewClientWithOptions(regionID, nil, credential)
}

// NewClientWithOptions takes any credential of the SDK. Of config, Timeout counts; it may be nil.
func NewClientWithOptions(regionID string, config *sdk.Config, credential auth.Credential) (*Client, error) {
	client := &Client{}
	SetEndpointDataToClient(client)
	var err error
	client.Client, err = adopt.Client(adopt.Constructed{Region: regionID, Config: config, Credential: credential, Later: func() adopt.Settings {
		return client.settings(regionID)
	}})
	if err != nil {
		return nil, err
	}
	return client, nil
}

// NewClientWithAccessKey takes a RAM access key.
func NewClientWithAccessKey(regionID, accessKeyID, accessKeySecret string) (*Client, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewAccessKeyCredential(accessKeyID, accessKeySecret))
}

// NewClientWithStsToken takes an access key that STS gave out.
func NewClientWithStsToken(regionID, stsAccessKeyID, stsAccessKeySecret, stsToken string) (*Client, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewStsTokenCredential(stsAccessKeyID, stsAccessKeySecret, stsToken))
}

// NewClientWithRamRoleArn takes a role to assume.
func NewClientWithRamRoleArn(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName string) (*Client, error) {
	return NewClientWithRamRoleArnAndPolicy(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName, "")
}

// NewClientWithRamRoleArnAndPolicy takes a role to assume, with less than it allows.
func NewClientWithRamRoleArnAndPolicy(regionID, accessKeyID, accessKeySecret, roleArn, roleSessionName, policy string) (*Client, error) {
	return NewClientWithOptions(regionID, nil, &credentials.RamRoleArnCredential{
		AccessKeyId: accessKeyID, AccessKeySecret: accessKeySecret, RoleArn: roleArn, RoleSessionName: roleSessionName, Policy: policy,
	})
}

// NewClientWithEcsRamRole takes the role of an ECS instance.
func NewClientWithEcsRamRole(regionID, roleName string) (*Client, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewEcsRamRoleCredential(roleName))
}

// NewClientWithRsaKeyPair takes a key pair.
func NewClientWithRsaKeyPair(regionID, publicKeyID, privateKey string, sessionExpiration int) (*Client, error) {
	return NewClientWithOptions(regionID, nil, credentials.NewRsaKeyPairCredential(privateKey, publicKeyID, sessionExpiration)) //nolint:staticcheck // who has one still has this
}

// settings are what the application has set by now.
func (client *Client) settings(region string) adopt.Settings {
	s := adopt.Settings{Endpoint: client.Domain, VPC: client.Network == "vpc", CA: client.GetVerify()}
	if s.Endpoint == "" {
		s.Endpoint = client.EndpointMap[region]
	}
	return s
}
