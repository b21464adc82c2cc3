package model

import (
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// State is a KeyState of DescribeKey.
type State string

// The states of a key. Unavailable is implied by the error Rejected.Unavailable, and is never the result of an API call.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
	PendingImport   State = "PendingImport"
	Unavailable     State = "Unavailable"
)

// Usages and origins as CreateKey and DescribeKey spell them.
const (
	EncryptDecrypt = "ENCRYPT/DECRYPT"
	SignVerify     = "SIGN/VERIFY"

	OriginKMS      = "Aliyun_KMS"
	OriginExternal = "EXTERNAL"

	ProtectionSoftware = "SOFTWARE"
	ProtectionHSM      = "HSM"
)

// Version is one version of a key. It does not change once made, except for the further ids that a migration leaves behind.
type Version struct {
	ID       string
	OldIDs   []string // ids it had before the console's migration tool gave it a new one; they still resolve
	Created  time.Time
	Material *material.Material

	key *Key
}

// Key is one key of a region, in an instance or outside. All fields are guarded by Cloud.mu.
type Key struct {
	ID          string
	Region      *Region
	Instance    *Instance // nil: outside any instance
	Spec        string
	Usage       string
	Origin      string
	Protection  string
	Creator     string // account id, or the product's name for a service key
	Description string
	Created     time.Time
	State       State
	Versions    []*Version // oldest first; the last one is the primary
	Shared      bool       // an instance's key that the shared gateway still serves, after the migration tool moved it

	Tags map[string]string

	Rotation Rotation
	Deletion Deletion
	Import   Import
}

// Rotation is the rotation policy of a key.
type Rotation struct {
	Status   string // Enabled, Disabled or Suspended
	Interval time.Duration
	Last     time.Time
	Next     time.Time
}

// Deletion is what stands between a key and its end.
type Deletion struct {
	Date                  time.Time // when a key in PendingDeletion is destroyed
	Protected             bool
	ProtectionDescription string
}

// Import is what a key of external origin remembers.
type Import struct {
	Expires time.Time          // zero: never
	First   *material.Material // only the same material may be imported again
	tokens  map[string]importToken
}

// Symmetric reports whether the key's spec is a symmetric one.
func (k *Key) Symmetric() bool { return material.Symmetric(k.Spec) }

// ARN is the key's resource name.
func (k *Key) ARN() string { return k.Region.arn("key/" + k.ID) }

// Service reports whether an Alibaba Cloud product made the key. Applications may not use such keys.
func (k *Key) Service() bool { return k.Creator != k.Region.cloud.Account }

func (k *Key) primary() *Version {
	if len(k.Versions) == 0 {
		return nil
	}
	return k.Versions[len(k.Versions)-1]
}

func (k *Key) initial() *Version {
	if len(k.Versions) == 0 {
		return nil
	}
	return k.Versions[0]
}

// usable is nil when the key's state lets it encrypt, decrypt, sign and verify.
func (k *Key) usable() *Error {
	if k.State == Enabled {
		return nil
	}
	return stateRejected(k.State)
}

// addVersion makes m the primary version.
func (k *Key) addVersion(id string, m *material.Material) *Version {
	v := &Version{ID: id, Created: k.Region.cloud.now(), Material: m, key: k}
	k.Versions = append(k.Versions, v)
	k.Region.versions[id] = v
	return v
}
