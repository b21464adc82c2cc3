package resource

import "time"

// Key is what DescribeKey tells of a key (KeyMetadata), and its aliases and tags. It holds no key material.
type Key struct {
	Region  string `json:"region"`            // region id: cn-hangzhou
	Account string `json:"account,omitempty"` // uid of the owning account
	ID      string `json:"id"`                // a UUID for keys of KMS 1.0, key-… for keys of KMS 3.0
	ARN     string `json:"arn,omitempty"`     // acs:kms:<region>:<account>:key/<id>
	Creator string `json:"creator,omitempty"` // account uid, or the product's name for a service key

	State           string `json:"state"`                     // Enabled, Disabled, PendingDeletion, PendingImport
	Usage           string `json:"usage"`                     // ENCRYPT/DECRYPT or SIGN/VERIFY
	Spec            string `json:"spec"`                      // Aliyun_AES_256, RSA_2048, EC_SM2, …
	Origin          string `json:"origin"`                    // Aliyun_KMS, or EXTERNAL for imported material (BYOK)
	ProtectionLevel string `json:"protection_level"`          // SOFTWARE or HSM
	InstanceID      string `json:"instance_id,omitempty"`     // DKMSInstanceId; empty for a key outside of any instance
	PrimaryVersion  string `json:"primary_version,omitempty"` // symmetric keys only
	Description     string `json:"description,omitempty"`

	Rotation         string        `json:"rotation,omitempty"`          // AutomaticRotation: Enabled, Disabled, Suspended
	RotationInterval time.Duration `json:"rotation_interval,omitempty"` // in nanoseconds; 0 where there is none
	LastRotation     time.Time     `json:"last_rotation,omitzero"`
	NextRotation     time.Time     `json:"next_rotation,omitzero"`

	Created        time.Time `json:"created,omitzero"`
	Deletes        time.Time `json:"deletes,omitzero"`         // when a key that is PendingDeletion goes
	MaterialExpire time.Time `json:"material_expire,omitzero"` // when imported material expires; zero: never

	DeletionProtection string `json:"deletion_protection,omitempty"` // Enabled or Disabled

	Versions []Version         `json:"versions,omitempty"` // nil where nobody asked
	Aliases  []string          `json:"aliases,omitempty"`  // names that begin with alias/, sorted
	Tags     map[string]string `json:"tags,omitempty"`
}

// Version is one version of a key. A blob names it; Encrypt through the OpenAPI uses the primary one.
type Version struct {
	ID      string    `json:"id"` // 36 bytes
	Created time.Time `json:"created,omitzero"`
}

// Alias is a second name of a key. It is unique in its account and region.
type Alias struct {
	Name  string `json:"name"` // begins with alias/
	ARN   string `json:"arn,omitempty"`
	KeyID string `json:"key_id"`
}

// NewKey says what key CreateKey is to make. The zero value is a symmetric Aliyun_AES_256 key outside of any instance.
type NewKey struct {
	InstanceID  string            // the KMS instance to make it in; its type then decides the protection level
	Spec        string            // empty: Aliyun_AES_256
	Usage       string            // empty: ENCRYPT/DECRYPT
	Origin      string            // empty: Aliyun_KMS. A software instance takes no other
	Protection  string            // SOFTWARE or HSM; empty, and without effect in an instance: the service's choice
	Description string            // at most 8,192 bytes
	Tags        map[string]string // at most 20
	// RotationInterval switches automatic rotation on: exactly 365 days for a default key, 7 to 365 days in a software
	// instance, not to be had in a hardware instance (API reference, CreateKey). Zero: off.
	RotationInterval time.Duration
}
