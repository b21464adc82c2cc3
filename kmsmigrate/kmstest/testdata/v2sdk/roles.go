package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aliyun/credentials-go/credentials"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// roleVariable is the environment variable by which package alikms's tests have this program work under a role. Its value is a roleCall.
const roleVariable = "KEYHAUL_ALIKMS_ROLE"

// roleCall is what alikms's tests want: two round trips under a role that credentials-go takes in one of its ways.
type roleCall struct {
	Way                          string // ecs, arn or oidc
	RoleARN, OIDCProviderARN     string
	Endpoint                     string
	CA, STSCA                    []byte
	AccessKeyID, AccessKeySecret string
	TokenFile                    string
	Key, Text                    string
}

func (c roleCall) credential() (credentials.Credential, error) {
	config := new(credentials.Config).SetRoleArn(c.RoleARN).SetRoleSessionName("keyhaul").SetRoleSessionExpiration(900).SetSTSEndpoint("sts.cn-hangzhou.aliyuncs.com")
	switch c.Way {
	case "ecs":
		config = new(credentials.Config).SetType("ecs_ram_role")
	case "arn":
		config.SetType("ram_role_arn").SetAccessKeyId(c.AccessKeyID).SetAccessKeySecret(c.AccessKeySecret)
	case "oidc":
		config.SetType("oidc_role_arn").SetOIDCProviderArn(c.OIDCProviderARN).SetOIDCTokenFilePath(c.TokenFile)
	}
	return credentials.NewCredential(config)
}

func underRole(text string) error {
	var c roleCall
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.STSCA)
	if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		shared.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	credential, err := c.credential()
	if err != nil {
		return err
	}
	gateway, err := alikms.NewGateway(alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: c.Endpoint, CAPEM: c.CA, Credential: credential})
	if err != nil {
		return err
	}
	defer func() { _ = gateway.Close() }()
	key, err := gateway.Key(c.Key)
	if err != nil {
		return err
	}
	for range 2 {
		blob, err := key.Encrypt(context.Background(), []byte(c.Text), nil)
		if err == nil {
			_, err = key.Decrypt(context.Background(), blob, nil)
		}
		if err != nil {
			return fmt.Errorf("denied: %t: %w", errors.Is(err, kmsmigrate.ErrDenied), err)
		}
	}
	return nil
}
