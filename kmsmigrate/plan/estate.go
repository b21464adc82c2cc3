package plan

import "time"

// Key is a key as an inventory has it: what DescribeKey tells, its versions, aliases and tags. It holds no key material.
//
// The words for states, specifications and the like are the service's own strings: it adds to them, and what is not known here must be
// carried and reported, not lost.
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
	InstanceID      string `json:"instance_id,omitempty"`     // empty for a key outside of any instance
	PrimaryVersion  string `json:"primary_version,omitempty"` // symmetric keys only
	Description     string `json:"description,omitempty"`

	Rotation         string        `json:"rotation,omitempty"`          // Enabled, Disabled, Suspended
	RotationInterval time.Duration `json:"rotation_interval,omitempty"` // in nanoseconds; 0 where there is none
	LastRotation     time.Time     `json:"last_rotation,omitzero"`
	NextRotation     time.Time     `json:"next_rotation,omitzero"`

	Created        time.Time `json:"created,omitzero"`
	Deletes        time.Time `json:"deletes,omitzero"`         // when a key that is PendingDeletion goes
	MaterialExpire time.Time `json:"material_expire,omitzero"` // when imported material expires; zero: never

	DeletionProtected bool `json:"deletion_protected,omitempty"`

	Versions []Version         `json:"versions"`          // null where nobody could ask
	Aliases  []string          `json:"aliases,omitempty"` // names that begin with alias/, sorted
	Tags     map[string]string `json:"tags,omitempty"`
}

// Version is one version of a key. A blob names it.
type Version struct {
	ID      string    `json:"id"` // 36 bytes
	Created time.Time `json:"created,omitzero"`
}

// Secret is what DescribeSecret and ListSecretVersionIds tell of a secret: everything but its values.
type Secret struct {
	Region          string `json:"region"`
	Name            string `json:"name"`
	ARN             string `json:"arn,omitempty"`
	Type            string `json:"type"`                        // Generic, Rds, RAMCredentials, ECS
	InstanceID      string `json:"instance_id,omitempty"`       // empty outside of any instance
	EncryptionKeyID string `json:"encryption_key_id,omitempty"` // empty where the service's own encrypts it
	Description     string `json:"description,omitempty"`

	Rotation         string        `json:"rotation,omitempty"` // Enabled, Disabled, Invalid
	RotationInterval time.Duration `json:"rotation_interval,omitempty"`
	LastRotation     time.Time     `json:"last_rotation,omitzero"`
	NextRotation     time.Time     `json:"next_rotation,omitzero"`

	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
	Deletes time.Time `json:"deletes,omitzero"` // when a secret in its recovery window goes

	Versions []SecretVersion   `json:"versions"` // deprecated ones included, by age; null where nobody could ask
	Tags     map[string]string `json:"tags,omitempty"`
}

// SecretVersion names one version of a secret.
type SecretVersion struct {
	ID      string    `json:"id"`
	Stages  []string  `json:"stages,omitempty"` // ACSCurrent, ACSPrevious and the user's own
	Created time.Time `json:"created,omitzero"`
}

// Instance is what GetKmsInstance tells. Nothing there says whether it is a software or a hardware instance: the protection level of its keys
// does, or the goal.
type Instance struct {
	Region  string    `json:"region"`
	ID      string    `json:"id"` // kst-…
	Name    string    `json:"name,omitempty"`
	Status  string    `json:"status,omitempty"`       // Uninitialized, Connecting, Connected, Disconnected, Error
	QPS     int       `json:"qps,omitempty"`          // what was bought
	Keys    int       `json:"key_quota,omitempty"`    // key versions that it can hold
	Secrets int       `json:"secret_quota,omitempty"` // secrets that it can hold
	VPC     string    `json:"vpc,omitempty"`
	Zones   []string  `json:"zones,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Starts  time.Time `json:"starts,omitzero"`
	Ends    time.Time `json:"ends,omitzero"` // when the subscription ends, and its keys with it
}
