package kmstest

import (
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// KeySpec says what key to make. The zero value is a symmetric Aliyun_AES_256 key for encryption, as CreateKey makes it.
type KeySpec struct {
	// Spec is Aliyun_AES_256, Aliyun_AES_192, Aliyun_AES_128, Aliyun_SM4, RSA_2048, RSA_3072, RSA_4096, EC_P256, EC_P256K or EC_SM2.
	// A software instance has Aliyun_AES_256, RSA_2048, RSA_3072, EC_P256 and EC_P256K only.
	Spec string
	// Usage is ENCRYPT/DECRYPT or SIGN/VERIFY. Empty: encryption, but signing for EC_P256 and EC_P256K, which encrypt (by
	// ECIES_DH_SHA_1_XOR_HMAC) in a hardware instance alone.
	Usage string
	// Alias, when set, names the key too; it begins with alias/.
	Alias string
	// UUID gives key and versions ids in the manner of KMS 1.0. Otherwise they look like key-hzz… as in KMS 3.0.
	UUID bool
	// Description is free text, at most 8,192 bytes.
	Description string
	// Tags are at most 20.
	Tags map[string]string
}

// Key is a key of a Cloud. It is a handle: what it says is read from the cloud when it is asked.
type Key struct {
	region *Region
	door   model.Door
	id     string
	arn    string
}

func createIn(r *Region, i *Instance, spec KeySpec) (*Key, error) {
	in := model.NewKey{Spec: spec.Spec, Usage: spec.Usage, UUID: spec.UUID, Description: spec.Description, Tags: spec.Tags}
	if i != nil {
		in.InstanceID = i.ID
	}
	m, err := r.model.Shared().CreateKey(in)
	if err != nil {
		return nil, fmt.Errorf("kmstest: create key: %w", err)
	}
	k := &Key{region: r, door: r.model.Shared(), id: m.KeyId, arn: m.Arn}
	if spec.Alias != "" {
		if err := k.Alias(spec.Alias); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// ID is the key id.
func (k *Key) ID() string { return k.id }

// ARN is acs:kms:<region>:<account>:key/<id>.
func (k *Key) ARN() string { return k.arn }

// VersionID is the id of the primary version: the one that OpenAPI calls and Advance* encrypt with. It is 36 bytes.
func (k *Key) VersionID() string {
	v := k.VersionIDs()
	return v[len(v)-1]
}

// VersionIDs are the ids of all versions, oldest first. The first is what an instance's Encrypt and GenerateDataKey use.
func (k *Key) VersionIDs() []string {
	versions, err := k.door.KeyVersions(k.id)
	if err != nil || len(versions) == 0 {
		return []string{""} // destroyed, or waiting for its material
	}
	out := make([]string, len(versions))
	for i, v := range versions {
		out[i] = v.VersionID
	}
	return out
}

// Spec is the key's specification, such as Aliyun_AES_256; empty once the key is destroyed.
func (k *Key) Spec() string { return k.metadata().KeySpec }

// Usage is ENCRYPT/DECRYPT or SIGN/VERIFY.
func (k *Key) Usage() string { return k.metadata().KeyUsage }

// State is Enabled, Disabled, PendingDeletion, PendingImport or Unavailable; empty once the key is destroyed.
func (k *Key) State() string { return k.metadata().KeyState }

func (k *Key) metadata() model.Metadata {
	m, err := k.door.DescribeKey(k.id)
	if err != nil {
		return model.Metadata{}
	}
	return m
}

// Alias gives the key a further name, which begins with alias/.
func (k *Key) Alias(name string) error {
	if err := k.door.CreateAlias(name, k.id); err != nil {
		return fmt.Errorf("kmstest: create alias: %w", err)
	}
	return nil
}

// Rotate gives the key new material under a new primary version. Old versions go on decrypting.
func (k *Key) Rotate() error {
	if _, err := k.door.Rotate(k.id); err != nil {
		return fmt.Errorf("kmstest: rotate: %w", err)
	}
	return nil
}

// Disable stops the key from encrypting and from decrypting.
func (k *Key) Disable() error { return k.setEnabled(false) }

// Enable ends what Disable began.
func (k *Key) Enable() error { return k.setEnabled(true) }

func (k *Key) setEnabled(on bool) error {
	if err := k.door.SetEnabled(k.id, on); err != nil {
		return fmt.Errorf("kmstest: %w", err)
	}
	return nil
}
