package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aliyun/credentials-go/credentials"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// keyhaul has our own Gateway take its access key from a credential of the V2.0 SDK's package, and checks that a wrong secret in it
// is refused.
func (c cloud) keyhaul(ctx context.Context) error {
	if err := c.keyhaulWith(ctx, c.AccessKeySecret); err != nil {
		return err
	}
	if err := c.keyhaulWith(ctx, "wrong"); err == nil {
		return fmt.Errorf("a wrong secret was taken")
	}
	return nil
}

func (c cloud) keyhaulWith(ctx context.Context, secret string) error {
	kind := "access_key"
	credential, err := credentials.NewCredential(&credentials.Config{Type: &kind, AccessKeyId: &c.AccessKeyID, AccessKeySecret: &secret})
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(c.Regions[0].CAFile)
	if err != nil {
		return err
	}
	gateway, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: c.Regions[0].ID, Endpoint: c.Regions[0].HTTPS, CAPEM: ca, Credential: credential,
	})
	if err != nil {
		return err
	}
	defer func() { _ = gateway.Close() }()
	key, err := gateway.Key(c.Regions[0].Keys[0].ID)
	if err != nil {
		return err
	}
	blob, err := key.Encrypt(ctx, []byte("through credentials-go"), nil)
	if err != nil {
		return err
	}
	text, err := key.Decrypt(ctx, blob, nil)
	if err == nil && string(text) != "through credentials-go" {
		err = fmt.Errorf("another plaintext came back")
	}
	return err
}
