package kmstest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkmsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	transfer "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// SDKClient is the official client of the shared gateway, over https, with the account's access key. It is the plain SDK: do not share
// one between goroutines, for it races with itself.
func (r *Region) SDKClient() (*kms.Client, error) { return r.cloud.rpcClient(r, r.HTTPS, r.ca) }

// RPCClient is the official client of the shared gateway, pointed at the instance: its transport trusts the instance's CA.
func (i *Instance) RPCClient() (*kms.Client, error) { return i.cloud.rpcClient(i.region, i.Addr, i.ca) }

// SDKConfig is what the instance SDK takes: address, CA, ClientKey and its password.
func (i *Instance) SDKConfig(ck *ClientKey) *dkmsapi.Config {
	return &dkmsapi.Config{
		Protocol:         tea.String("https"),
		Endpoint:         tea.String(i.Addr),
		RegionId:         tea.String(i.region.ID),
		ClientKeyContent: tea.String(string(ck.JSON)),
		Password:         tea.String(ck.Password),
		Ca:               tea.String(string(i.ca.pem)),
	}
}

// SDKClient is the official instance client.
func (i *Instance) SDKClient(ck *ClientKey) (*dkms.Client, error) {
	client, err := dkms.NewClient(i.SDKConfig(ck))
	if err != nil {
		return nil, fmt.Errorf("kmstest: instance client: %w", err)
	}
	return client, nil
}

// TransferClient is the official transfer client: the shared gateway's interface, most of it answered by the instance.
func (i *Instance) TransferClient(ck *ClientKey) (*transfer.KmsTransferClient, error) {
	id, secret := i.cloud.Credentials()
	client, err := transfer.NewClientWithOptions(i.region.ID, i.cloud.sdkConfig(i.region.ca), credentials.NewAccessKeyCredential(id, secret),
		i.SDKConfig(ck))
	if err != nil {
		return nil, fmt.Errorf("kmstest: transfer client: %w", err)
	}
	client.Domain = i.region.HTTPS
	return client, nil
}

// GatewayConfig is the shared gateway for our own client: alikms.NewGateway takes it as it is.
func (r *Region) GatewayConfig() alikms.GatewayConfig {
	id, secret := r.cloud.Credentials()
	return alikms.GatewayConfig{Region: r.ID, Endpoint: r.HTTPS, AccessKeyID: id, AccessKeySecret: secret, CAPEM: r.CA(), Account: r.cloud.Account()}
}

// RPCConfig is the instance's RPC face for our own client: alikms.NewGateway takes it as it is.
func (i *Instance) RPCConfig() alikms.GatewayConfig {
	config := i.region.GatewayConfig()
	config.Endpoint, config.CAPEM, config.Instance = i.Addr, i.CA(), i.ID
	return config
}

// InstanceConfig is the instance's protobuf face for our own client: alikms.NewInstance takes it as it is.
func (i *Instance) InstanceConfig(ck *ClientKey) alikms.InstanceConfig {
	return alikms.InstanceConfig{Endpoint: i.Addr, ClientKey: bytes.Clone(ck.JSON), Password: ck.Password, CAPEM: i.CA(), Account: i.cloud.Account(),
		Region: i.region.ID, Instance: i.ID}
}

// warmSDK makes the SDK fill its table of endpoints, a global that its constructors would otherwise write at the same time. Start calls it,
// so that tests which make SDK clients of their own do not race either.
var warmSDK = sync.OnceFunc(func() { kms.GetEndpointMap() })

func (c *Cloud) rpcClient(r *Region, addr string, ca *authority) (*kms.Client, error) {
	id, secret := c.Credentials()
	client, err := kms.NewClientWithOptions(r.ID, c.sdkConfig(ca), credentials.NewAccessKeyCredential(id, secret))
	if err != nil {
		return nil, fmt.Errorf("kmstest: client of %s: %w", r.ID, err)
	}
	client.Domain = addr
	return client, nil
}

// sdkConfig trusts one CA. The transport is remembered, so that Close leaves no idle connection behind.
func (c *Cloud) sdkConfig(ca *authority) *sdk.Config {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64}
	c.mu.Lock()
	c.clients = append(c.clients, transport)
	c.mu.Unlock()
	return sdk.NewConfig().WithHttpTransport(transport).WithScheme("HTTPS")
}
