package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// config says what there is. Field names are those of the file.
type config struct {
	Account   string           `json:"account"` // uid, 16 digits; empty: a made-up one
	Regions   []regionConfig   `json:"regions"`
	Instances []instanceConfig `json:"instances"`
}

type regionConfig struct {
	ID               string         `json:"id"`
	Keys             []keyConfig    `json:"keys"`
	Secrets          []secretConfig `json:"secrets"`
	DocumentedQuotas bool           `json:"documented_quotas"` // throttle as the real shared gateway does
}

type instanceConfig struct {
	Name           string         `json:"name"` // must be unique
	Region         string         `json:"region"`
	Kind           string         `json:"kind"` // software or hardware
	InternetAccess bool           `json:"internet_access"`
	Keys           []keyConfig    `json:"keys"`
	Secrets        []secretConfig `json:"secrets"`
}

type keyConfig struct {
	Alias string `json:"alias"` // needed: it is how the key is found again
	Spec  string `json:"spec"`
	Usage string `json:"usage"`
	UUID  bool   `json:"uuid"` // ids in the manner of KMS 1.0
}

type secretConfig struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Key   string `json:"key"` // alias of the key that encrypts it; needed in an instance
}

// appKeys are the keys that the gateway region and the software instance both have.
func appKeys() []keyConfig {
	return []keyConfig{
		{Alias: "alias/app", Spec: "Aliyun_AES_256"},
		{Alias: "alias/app-rsa", Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"},
		{Alias: "alias/app-sign", Spec: "EC_P256"},
	}
}

func defaultConfig() config {
	secrets := []secretConfig{{Name: "app-secret", Value: "hello", Key: "alias/app"}}
	return config{
		Regions: []regionConfig{{ID: "cn-hangzhou", Keys: appKeys(), Secrets: secrets}, {ID: "cn-shanghai"}},
		Instances: []instanceConfig{
			{Name: "software", Region: "cn-shanghai", Kind: "software", Keys: appKeys(), Secrets: secrets},
			{Name: "hardware", Region: "cn-shanghai", Kind: "hardware", Keys: []keyConfig{
				{Alias: "alias/hsm-sm4", Spec: "Aliyun_SM4"},
				{Alias: "alias/hsm-sm2", Spec: "EC_SM2", Usage: "ENCRYPT/DECRYPT"},
				{Alias: "alias/hsm-sm2-sign", Spec: "EC_SM2", Usage: "SIGN/VERIFY"},
			}},
		},
	}
}

func readConfig(file string) (config, error) {
	if file == "" {
		return defaultConfig(), nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return config{}, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var c config
	if err := d.Decode(&c); err != nil {
		return config{}, fmt.Errorf("%s: %w", file, err)
	}
	return c, c.check()
}

func (c config) check() error {
	names := map[string]bool{}
	for _, i := range c.Instances {
		switch {
		case i.Name == "" || names[i.Name]:
			return fmt.Errorf("instance name %q: every instance needs one of its own", i.Name)
		case i.Kind != "software" && i.Kind != "hardware":
			return fmt.Errorf("instance %s: kind %q is neither software nor hardware", i.Name, i.Kind)
		}
		names[i.Name] = true
	}
	return nil
}
