package resource

import (
	"fmt"
	"log/slog"
	"time"
)

// Secret is the metadata of a secret.
type Secret struct {
	Name            string            `json:"name"`
	ARN             string            `json:"arn,omitempty"`
	Type            string            `json:"type"` // Generic, Rds, RAMCredentials, ECS
	Description     string            `json:"description,omitempty"`
	EncryptionKeyID string            `json:"encryption_key_id,omitempty"` // empty: a key that the service manages
	Instance        string            `json:"instance,omitempty"`          // kst-…
	Rotation        Rotation          `json:"rotation"`                    // its Mode may also be Invalid
	ExtendedConfig  string            `json:"-"`                           // of managed secrets; it can hold account names
	Tags            map[string]string `json:"tags,omitempty"`
	Created         time.Time         `json:"created"`
	Updated         time.Time         `json:"updated,omitzero"`
	DeleteAt        time.Time         `json:"delete_at,omitzero"`
}

// Stages that the service gives to the versions of a secret.
const (
	StageCurrent  = "ACSCurrent"
	StagePrevious = "ACSPrevious"
)

// SecretVersion is one version of a secret, without its value.
type SecretVersion struct {
	ID      string    `json:"id"`
	Stages  []string  `json:"stages,omitempty"` // none: deprecated, and the service may forget it
	Created time.Time `json:"created"`
}

// SecretValue is the value of one version of a secret. It does not print its Data.
type SecretValue struct {
	// Data is the SecretData as the service holds it, at most 30,720 bytes, so that a copy is exact. By the API reference
	// that is base64 text where Binary is true.
	Data      []byte
	Binary    bool // the SecretDataType is binary, not text
	VersionID string
	Stages    []string
	Created   time.Time
}

// String returns the version and how long the data is, and not the data.
func (v SecretValue) String() string {
	return fmt.Sprintf("SecretValue(%s, %d bytes)", v.VersionID, len(v.Data))
}

// GoString returns what String returns, so that %#v does not leak either.
func (v SecretValue) GoString() string { return v.String() }

// LogValue returns what String returns.
func (v SecretValue) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON returns what String returns, as a JSON string: a value must be copied on purpose, never by a report.
func (v SecretValue) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", v.String()), nil }

// SecretSpec is a secret to be made, with its first version.
type SecretSpec struct {
	Name            string
	Description     string
	EncryptionKeyID string // in an instance: a symmetric key of the same instance
	Instance        string // kst-…
	Tags            map[string]string
	Value           SecretValue // Data, Binary and VersionID are used
}
