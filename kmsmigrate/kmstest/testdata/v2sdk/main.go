// Command v2sdk drives the V2.0 Go SDK of KMS against a running examples/fakekms: go run . DIR. It signs with ACS3-HMAC-SHA256, and once
// with the older signature, HMAC-SHA1 in the query. It is a module of its own, so that nobody else needs that SDK.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	kms "github.com/alibabacloud-go/kms-20160120/v3/client"
	"github.com/alibabacloud-go/tea/tea"
)

type cloud struct {
	AccessKeyID     string `json:"access_key_id"`
	AccessKeySecret string `json:"access_key_secret"`
	Regions         []struct {
		ID     string `json:"id"`
		HTTPS  string `json:"https"`
		CAFile string `json:"ca_file"`
		Keys   []key  `json:"keys"`
	} `json:"regions"`
	Instances []struct {
		Kind   string `json:"kind"`
		Addr   string `json:"addr"`
		CAFile string `json:"ca_file"`
		Keys   []key  `json:"keys"`
	} `json:"instances"`
}

type key struct {
	ID        string `json:"id"`
	VersionID string `json:"version_id"`
	Alias     string `json:"alias"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "v2sdk:", err)
		os.Exit(1)
	}
	fmt.Println("V2.0 Go SDK: ok")
}

func run() error {
	if call, set := os.LookupEnv(roleVariable); set {
		return underRole(call)
	}
	if len(os.Args) != 2 {
		return errors.New("usage: v2sdk DIR")
	}
	raw, err := os.ReadFile(filepath.Join(os.Args[1], "fakekms.json"))
	if err != nil {
		return err
	}
	var c cloud
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	for _, algorithm := range []string{"", "v2"} { // empty: ACS3-HMAC-SHA256
		if err := c.roundTrips(algorithm); err != nil {
			return fmt.Errorf("signature %q: %w", algorithm, err)
		}
	}
	if err := c.keyhaul(context.Background()); err != nil {
		return fmt.Errorf("our own client with a credential of credentials-go: %w", err)
	}
	return nil
}

func (c cloud) roundTrips(algorithm string) error {
	r, i := c.Regions[0], c.Instances[0]
	if err := c.roundTrip(algorithm, r.HTTPS, r.CAFile, r.Keys); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if err := c.roundTrip(algorithm, i.Addr, i.CAFile, i.Keys); err != nil {
		return fmt.Errorf("instance: %w", err)
	}
	return nil
}

func (c cloud) client(algorithm, addr, caFile, secret string) (*kms.Client, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	config := &openapi.Config{AccessKeyId: tea.String(c.AccessKeyID), AccessKeySecret: tea.String(secret), Endpoint: tea.String(addr),
		Protocol: tea.String("https"), RegionId: tea.String("cn-hangzhou"), Ca: tea.String(string(ca))}
	if algorithm != "" {
		config.SignatureAlgorithm = tea.String(algorithm)
	}
	return kms.NewClient(config)
}

func (c cloud) roundTrip(algorithm, addr, caFile string, keys []key) error {
	client, err := c.client(algorithm, addr, caFile, c.AccessKeySecret)
	if err != nil {
		return err
	}
	const text = "dGhlIHRleHQ="
	sealed, err := client.Encrypt(&kms.EncryptRequest{KeyId: tea.String(keys[0].Alias), Plaintext: tea.String(text), EncryptionContext: map[string]any{"b": "2", "a": "ü &"}})
	if err != nil {
		return err
	}
	blob, err := base64.StdEncoding.DecodeString(tea.StringValue(sealed.Body.CiphertextBlob))
	if err != nil || len(blob) != 64+len(text) || string(blob[:36]) != keys[0].VersionID {
		return fmt.Errorf("blob of %d bytes under %s", len(blob), tea.StringValue(sealed.Body.KeyVersionId))
	}
	opened, err := client.Decrypt(&kms.DecryptRequest{CiphertextBlob: sealed.Body.CiphertextBlob, EncryptionContext: map[string]any{"a": "ü &", "b": "2"}})
	if err != nil {
		return err
	}
	if got := tea.StringValue(opened.Body.Plaintext); got != text {
		return fmt.Errorf("decrypted %q, want %q", got, text)
	}
	_, err = client.Decrypt(&kms.DecryptRequest{CiphertextBlob: sealed.Body.CiphertextBlob})
	if err := wantCode(err, "InvalidParameter"); err != nil {
		return err
	}
	secret, err := client.GetSecretValue(&kms.GetSecretValueRequest{SecretName: tea.String("app-secret")})
	if err != nil {
		return err
	}
	if got := tea.StringValue(secret.Body.SecretData); got != "hello" {
		return fmt.Errorf("secret %q", got)
	}
	stranger, err := c.client(algorithm, addr, caFile, c.AccessKeySecret+"x")
	if err != nil {
		return err
	}
	_, err = stranger.Encrypt(&kms.EncryptRequest{KeyId: tea.String(keys[0].Alias), Plaintext: tea.String(text)})
	return wantCode(err, "IncompleteSignature")
}

func wantCode(err error, code string) error {
	var sdk *tea.SDKError
	if !errors.As(err, &sdk) || tea.StringValue(sdk.Code) != code {
		return fmt.Errorf("error %v, want code %s", err, code)
	}
	return nil
}
