package sdk_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	alibabasdk "github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials/provider"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	client "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/transfer/sdk"
)

// arrived is a migration whose new side is the instance that the constructor is given.
func (s *stage) arrived(t *testing.T, phase string) {
	t.Helper()
	for name, value := range s.migration(t, map[string]any{"phase": phase, "keyMap": map[string]any{"keys": map[string]string{"alias/shared": s.ends[0].symmetric.ID()}}}) {
		t.Setenv(name, value)
	}
}

func (s *stage) constructed(t *testing.T, config *client.Config) (*sdk.KmsTransferClient, error) {
	t.Helper()
	id, secret := s.cloud.Credentials()
	made, err := sdk.NewClientWithAccessKey(s.region.ID, id, secret, config)
	if made != nil {
		t.Cleanup(func() { require.NoError(t, made.Close()) })
	}
	return made, err
}

func encryptRequest() *kms.EncryptRequest {
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/shared", "hello"
	return request
}

func TestEveryFormGoesToTheInstance(t *testing.T) {
	s := newStage(t)
	s.arrived(t, "write-new")
	here := s.ends[0]
	config := here.instance.SDKConfig(here.clientKey)
	made, err := s.constructed(t, config)
	require.NoError(t, err)
	require.Nil(t, config.UserAgent, "the config is not written to")
	s.cloud.ResetEvidence()
	sealed, err := made.Encrypt(encryptRequest())
	require.NoError(t, err)
	require.Equal(t, here.symmetric.ID(), sealed.KeyId)
	got, failed := made.EncryptWithChan(encryptRequest())
	require.Equal(t, here.symmetric.ID(), (<-got).KeyId, "without EnableAsync")
	require.NoError(t, <-failed)
	made.Shutdown()
	var keyID string
	require.Equal(t, 1, <-made.EncryptWithCallback(encryptRequest(), func(response *kms.EncryptResponse, _ error) { keyID = response.KeyId }), "and after Shutdown")
	require.Equal(t, here.symmetric.ID(), keyID)
	require.Equal(t, 3, s.cloud.Count(here.instance.Match()))
	require.Zero(t, s.cloud.Count(s.region.Match()))

	describe := kms.CreateDescribeKeyRequest()
	describe.KeyId = "alias/shared"
	described, err := made.DescribeKey(describe)
	require.NoError(t, err)
	require.Equal(t, s.shared.ID(), described.KeyMetadata.KeyId)
	require.Equal(t, 1, s.cloud.Count(s.region.Match()), "what an instance does not have goes to the gateway")
}

func TestTheInstanceIsTrustedByVerifyOrNotAtAll(t *testing.T) {
	s := newStage(t)
	s.arrived(t, "write-new")
	here := s.ends[0]
	config := here.instance.SDKConfig(here.clientKey)
	config.Ca = nil
	for name, c := range map[string]struct {
		set  func(*sdk.KmsTransferClient)
		says string
	}{
		"nothing":          {func(*sdk.KmsTransferClient) {}, "CAPEM"},
		"another CA":       {func(c *sdk.KmsTransferClient) { c.SetVerify(string(s.region.CA())) }, "unknown authority"},
		"SetVerify":        {func(c *sdk.KmsTransferClient) { c.SetVerify(string(here.instance.CA())) }, ""},
		"the field":        {func(c *sdk.KmsTransferClient) { c.Verify = string(here.instance.CA()) }, ""},
		"SetHTTPSInsecure": {func(c *sdk.KmsTransferClient) { c.SetHTTPSInsecure(true) }, ""},
		"a CA in time only": {func(c *sdk.KmsTransferClient) {
			_, _ = c.Encrypt(encryptRequest())
			c.SetVerify(string(here.instance.CA()))
		}, ""},
	} {
		made, err := s.constructed(t, config)
		require.NoError(t, err, name)
		c.set(made)
		_, err = made.Encrypt(encryptRequest())
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
	}
}

func TestEveryConstructorTakesTheMigration(t *testing.T) {
	s := newStage(t)
	s.arrived(t, "write-new")
	here := s.ends[0]
	id, secret := s.cloud.Credentials()
	region := s.region.ID
	constructors := map[string]func(config *client.Config) (*sdk.KmsTransferClient, error){
		"Provider": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithProvider(region, config, provider.ProviderEnv)
		},
		"Options": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithOptions(region, alibabasdk.NewConfig(), credentials.NewAccessKeyCredential(id, secret), config)
		},
		"AccessKey": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithAccessKey(region, id, secret, config)
		},
		"StsToken": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithStsToken(region, id, secret, "token", config)
		},
		"RamRoleArn": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithRamRoleArn(region, id, secret, "acs:ram::1:role/r", "s", config)
		},
		"RamRoleArnAndPolicy": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithRamRoleArnAndPolicy(region, id, secret, "acs:ram::1:role/r", "s", "{}", config)
		},
		"EcsRamRole": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithEcsRamRole(region, "role", config)
		},
		"RsaKeyPair": func(config *client.Config) (*sdk.KmsTransferClient, error) {
			return sdk.NewClientWithRsaKeyPair(region, "id", "key", 3600, config)
		},
	}
	require.Len(t, constructors, 8)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", id)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)
	for name, construct := range constructors {
		made, err := construct(here.instance.SDKConfig(here.clientKey))
		require.NoError(t, err, name)
		sealed, err := made.Encrypt(encryptRequest())
		require.NoError(t, err, name)
		require.Equal(t, here.symmetric.ID(), sealed.KeyId, name)
		require.NoError(t, made.Close())
		_, err = construct(&client.Config{})
		require.ErrorContains(t, err, "ClientKey", name)
	}
	t.Setenv(shim.MigrationVariable, "")
	for name, construct := range constructors {
		_, err := construct(nil)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
		require.ErrorContains(t, err, shim.MigrationVariable, name)
	}
	config := here.instance.SDKConfig(here.clientKey)
	config.HttpsProxy = tea.String("http://proxy")
	_, err := s.constructed(t, config)
	require.ErrorContains(t, err, "proxy")
}

func TestOneForTheMigrationNeedsNoFile(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	here := s.ends[0]
	instance := here.instance.InstanceConfig(here.clientKey)
	made, err := sdk.NewMigratingClient(shim.Config{
		Phase: kmsmigrate.WriteNew, Old: s.region.GatewayConfig(), New: s.region.GatewayConfig(), NewInstance: &instance,
		Keys: kmsmigrate.KeyMap{Keys: map[string]string{"alias/shared": here.symmetric.ID()}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, made.Close()) }()
	sealed, err := made.Encrypt(encryptRequest())
	require.NoError(t, err)
	require.Equal(t, here.symmetric.ID(), sealed.KeyId)
	require.Equal(t, 1, s.cloud.Count(kmstest.Match{Instance: here.instance.ID, OK: true}))
	_, err = sdk.NewMigratingClient(shim.Config{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}
