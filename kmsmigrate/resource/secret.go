package resource

import (
	"log/slog"
	"time"
)

// Secret is what DescribeSecret and ListSecretVersionIds tell of a secret: everything but its values.
type Secret struct {
	Region     string `json:"region"`
	Name       string `json:"name"` // unique in its account and region
	ARN        string `json:"arn,omitempty"`
	Type       string `json:"type"`                  // Generic, Rds, RAMCredentials, ECS
	InstanceID string `json:"instance_id,omitempty"` // empty outside of any instance
	// EncryptionKeyID is the key that encrypts it; empty where the service's own does. Key and secret must be in the same
	// instance (help: manage generic secrets).
	EncryptionKeyID string `json:"encryption_key_id,omitempty"`
	Description     string `json:"description,omitempty"`

	Rotation         string        `json:"rotation,omitempty"` // AutomaticRotation: Enabled, Disabled, Invalid
	RotationInterval time.Duration `json:"rotation_interval,omitempty"`
	LastRotation     time.Time     `json:"last_rotation,omitzero"`
	NextRotation     time.Time     `json:"next_rotation,omitzero"`

	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
	Deletes time.Time `json:"deletes,omitzero"` // PlannedDeleteTime of a secret in its recovery window

	Versions []SecretVersion   `json:"versions,omitempty"` // deprecated ones included; in no order; nil where nobody asked
	Tags     map[string]string `json:"tags,omitempty"`
}

// SecretVersion names one version of a secret.
type SecretVersion struct {
	ID      string    `json:"id"`
	Stages  []string  `json:"stages,omitempty"` // ACSCurrent, ACSPrevious and the user's own
	Created time.Time `json:"created,omitzero"`
}

// SecretValue is one version of a secret with its value. Printing or logging one shows the value's length only.
type SecretValue struct {
	Name    string
	Version SecretVersion
	Data    string // at most 30,720 bytes; base64 where DataType is binary
	// DataType is text or binary.
	DataType string
}

// String describes v without its value.
func (v SecretValue) String() string {
	return "SecretValue(" + v.Name + " " + v.Version.ID + ")"
}

// GoString returns what String returns, so that %#v does not leak either.
func (v SecretValue) GoString() string { return v.String() }

// LogValue returns what String returns.
func (v SecretValue) LogValue() slog.Value { return slog.StringValue(v.String()) }

// NewSecret says what secret CreateSecret is to make, with its first version.
type NewSecret struct {
	Name            string
	Type            string // empty: Generic
	InstanceID      string
	EncryptionKeyID string // a symmetric key of the same instance
	Description     string
	Tags            map[string]string
	Value           SecretValue // Name is not used
}
