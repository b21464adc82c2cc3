package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// description is fakekms.json.
type description struct {
	AccessKeyID     string           `json:"access_key_id"`
	AccessKeySecret string           `json:"access_key_secret"`
	Regions         []regionOutput   `json:"regions"`
	Instances       []instanceOutput `json:"instances"`
}

type regionOutput struct {
	ID      string         `json:"id"`
	HTTP    string         `json:"http"`
	HTTPS   string         `json:"https"`
	CAFile  string         `json:"ca_file"`
	Keys    []keyOutput    `json:"keys"`
	Secrets []secretOutput `json:"secrets"`
}

type instanceOutput struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Region        string         `json:"region"`
	Kind          string         `json:"kind"`
	Addr          string         `json:"addr"`
	CAFile        string         `json:"ca_file"`
	ClientKeyFile string         `json:"client_key_file"`
	PasswordFile  string         `json:"password_file"`
	Keys          []keyOutput    `json:"keys"`
	Secrets       []secretOutput `json:"secrets"`
}

type keyOutput struct {
	ID        string `json:"id"`
	VersionID string `json:"version_id"`
	ARN       string `json:"arn"`
	Alias     string `json:"alias"`
	Spec      string `json:"spec"`
	Usage     string `json:"usage"`
}

type secretOutput struct {
	Name      string `json:"name"`
	VersionID string `json:"version_id"`
	Value     string `json:"value"`
}

// place is a region or an instance: where keys and secrets are made and found again.
type place interface {
	Key(ref string) (*kmstest.Key, error)
	CreateKey(kmstest.KeySpec) (*kmstest.Key, error)
	CreateSecret(kmstest.SecretSpec) (*kmstest.Secret, error)
}

// publish makes what is wanted and not there yet, and writes what a client needs to know.
func publish(cloud *kmstest.Cloud, want config, dir string) error {
	id, secret := cloud.Credentials()
	out := description{AccessKeyID: id, AccessKeySecret: secret, Regions: []regionOutput{}, Instances: []instanceOutput{}}
	for _, w := range want.Regions {
		r, err := publishRegion(cloud, w, dir)
		if err != nil {
			return fmt.Errorf("region %s: %w", w.ID, err)
		}
		out.Regions = append(out.Regions, r)
	}
	for _, w := range want.Instances {
		i, err := publishInstance(cloud, w, dir)
		if err != nil {
			return fmt.Errorf("instance %s: %w", w.Name, err)
		}
		out.Instances = append(out.Instances, i)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	// Whoever waits for the file must never read half of it.
	partial := filepath.Join(dir, ".fakekms.json")
	if err := os.WriteFile(partial, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, filepath.Join(dir, "fakekms.json"))
}

func publishRegion(cloud *kmstest.Cloud, w regionConfig, dir string) (regionOutput, error) {
	r, err := cloud.Region(w.ID)
	if err != nil {
		return regionOutput{}, err
	}
	if w.DocumentedQuotas {
		r.SetQuotas(kmstest.DocumentedQuotas())
	}
	out := regionOutput{ID: r.ID, HTTP: r.HTTP, HTTPS: r.HTTPS, CAFile: filepath.Join(dir, r.ID+"-ca.pem")}
	if err := os.WriteFile(out.CAFile, r.CA(), 0o600); err != nil {
		return regionOutput{}, err
	}
	out.Keys, out.Secrets, err = fill(r, w.Keys, w.Secrets)
	return out, err
}

func publishInstance(cloud *kmstest.Cloud, w instanceConfig, dir string) (instanceOutput, error) {
	r, err := cloud.Region(w.Region)
	if err != nil {
		return instanceOutput{}, err
	}
	i, err := instanceNamed(r, w)
	if err != nil {
		return instanceOutput{}, err
	}
	i.SetInternetAccess(w.InternetAccess)
	out := instanceOutput{ID: i.ID, Name: w.Name, Region: r.ID, Kind: w.Kind, Addr: i.Addr,
		CAFile:        filepath.Join(dir, "PrivateKmsCA_"+i.ID+".pem"),
		ClientKeyFile: filepath.Join(dir, "clientKey_"+i.ID+".json"),
		PasswordFile:  filepath.Join(dir, "clientKey_"+i.ID+"_Password.txt")}
	if err := os.WriteFile(out.CAFile, i.CA(), 0o600); err != nil {
		return instanceOutput{}, err
	}
	if err := writeClientKey(i, out); err != nil {
		return instanceOutput{}, err
	}
	out.Keys, out.Secrets, err = fill(i, w.Keys, w.Secrets)
	return out, err
}

func instanceNamed(r *kmstest.Region, w instanceConfig) (*kmstest.Instance, error) {
	for _, i := range r.Instances() {
		if i.Name() == w.Name {
			return i, nil
		}
	}
	return r.CreateInstance(kmstest.InstanceSpec{Name: w.Name, Hardware: w.Kind == "hardware"})
}

// writeClientKey leaves a ClientKey of an earlier life alone: the cloud knows it still.
func writeClientKey(i *kmstest.Instance, out instanceOutput) error {
	if _, err := os.Stat(out.PasswordFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ck, err := i.CreateClientKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(out.ClientKeyFile, ck.JSON, 0o600); err != nil {
		return err
	}
	return os.WriteFile(out.PasswordFile, []byte(ck.Password), 0o600)
}

// fill makes keys and secrets that are not there yet.
func fill(at place, keys []keyConfig, secrets []secretConfig) ([]keyOutput, []secretOutput, error) {
	outKeys, outSecrets := []keyOutput{}, []secretOutput{}
	for _, w := range keys {
		k, err := at.Key(w.Alias)
		if err != nil {
			k, err = at.CreateKey(kmstest.KeySpec{Spec: w.Spec, Usage: w.Usage, Alias: w.Alias, UUID: w.UUID})
		}
		if err != nil {
			return nil, nil, fmt.Errorf("key %s: %w", w.Alias, err)
		}
		outKeys = append(outKeys, keyOutput{k.ID(), k.VersionID(), k.ARN(), w.Alias, k.Spec(), k.Usage()})
	}
	for _, w := range secrets {
		spec := kmstest.SecretSpec{Name: w.Name, Value: w.Value}
		if w.Key != "" {
			k, err := at.Key(w.Key)
			if err != nil {
				return nil, nil, fmt.Errorf("secret %s: %w", w.Name, err)
			}
			spec.Key = k
		}
		s, err := at.CreateSecret(spec)
		if errors.Is(err, kmstest.ErrExists) {
			s, err = &kmstest.Secret{Name: w.Name, VersionID: "v1"}, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("secret %s: %w", w.Name, err)
		}
		outSecrets = append(outSecrets, secretOutput{s.Name, s.VersionID, w.Value})
	}
	return outKeys, outSecrets, nil
}
