package resource

import "time"

// KeyState is the state of a key.
type KeyState string

// The states of a key. Only an Enabled key encrypts and decrypts.
const (
	Enabled         KeyState = "Enabled"
	Disabled        KeyState = "Disabled"
	PendingDeletion KeyState = "PendingDeletion" // its deletion is scheduled and can still be cancelled
	PendingImport   KeyState = "PendingImport"   // it waits for its material
)

// What keys are for, where their material comes from, and how it is kept.
const (
	UsageEncrypt = "ENCRYPT/DECRYPT"
	UsageSign    = "SIGN/VERIFY"

	OriginKMS      = "Aliyun_KMS"
	OriginExternal = "EXTERNAL" // imported by its owner; a copy cannot be made from it

	ProtectionSoftware = "SOFTWARE"
	ProtectionHSM      = "HSM"
)

// Key is the metadata of a key.
type Key struct {
	ID             string   `json:"id"`  // a UUID for a key of KMS 1.0, key-… for one of KMS 3.0
	ARN            string   `json:"arn"` // acs:kms:<region>:<account>:key/<id>
	Creator        string   `json:"creator,omitempty"`
	Description    string   `json:"description,omitempty"`
	State          KeyState `json:"state"`
	Spec           string   `json:"spec"`  // Aliyun_AES_256, RSA_2048, EC_P256, …
	Usage          string   `json:"usage"` // UsageEncrypt or UsageSign
	Origin         string   `json:"origin"`
	Protection     string   `json:"protection"`         // ProtectionSoftware or ProtectionHSM
	Instance       string   `json:"instance,omitempty"` // kst-…; empty for a key outside of any instance
	PrimaryVersion string   `json:"primary_version,omitempty"`

	Rotation Rotation `json:"rotation"`

	DeletionProtected bool   `json:"deletion_protected"`
	ProtectedBecause  string `json:"protected_because,omitempty"`

	Created         time.Time `json:"created"`
	DeleteAt        time.Time `json:"delete_at,omitzero"`        // of a key in PendingDeletion
	MaterialExpires time.Time `json:"material_expires,omitzero"` // of imported material; zero: never
}

// Symmetric reports whether the key encrypts data and data keys: the ones whose ciphertext can be rewritten.
func (k Key) Symmetric() bool {
	switch k.Spec {
	case "Aliyun_AES_256", "Aliyun_AES_192", "Aliyun_AES_128", "Aliyun_SM4":
		return true
	default:
		return false
	}
}

// Rotation is how a key rotates.
type Rotation struct {
	// Mode is Enabled, Disabled or Suspended; empty where the key cannot rotate by itself.
	Mode     string        `json:"mode,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Last     time.Time     `json:"last,omitzero"`
	Next     time.Time     `json:"next,omitzero"`
}

// Modes of Rotation.
const (
	RotationEnabled   = "Enabled"
	RotationDisabled  = "Disabled"
	RotationSuspended = "Suspended"
)

// Version is one version of a key's material.
type Version struct {
	ID      string    `json:"id"` // what ciphertext begins with: 36 characters
	KeyID   string    `json:"key_id"`
	Created time.Time `json:"created"`
}

// Alias is another name of a key.
type Alias struct {
	Name  string `json:"name"` // alias/…
	ARN   string `json:"arn"`
	KeyID string `json:"key_id"`
}

// KeyFilter selects keys. Fields that are empty select nothing away; several values of one field are alternatives.
type KeyFilter struct {
	States      []KeyState
	Specs       []string
	Usages      []string
	Protections []string
	// Creators holds User for keys that people made, Service for those that other products made for themselves.
	Creators []string
}

// Values of KeyFilter.Creators.
const (
	CreatorUser    = "User"
	CreatorService = "Service"
)

// KeySpec is a key to be made. The zero value asks for a symmetric AES-256 key outside of any instance.
type KeySpec struct {
	Spec        string // empty: Aliyun_AES_256
	Usage       string // empty: what the spec is for
	Origin      string // empty: OriginKMS
	Protection  string // empty: ProtectionSoftware; in an instance the instance decides
	Instance    string // kst-…
	Description string // at most 8,192 bytes
	Tags        map[string]string
	// RotationInterval turns automatic rotation on, where it is not zero: 7 to 365 days in a software instance.
	RotationInterval time.Duration
}
