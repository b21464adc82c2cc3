package model

import (
	"maps"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// NewKey says what CreateKey makes. Every zero field has the default of the API.
type NewKey struct {
	InstanceID  string // empty: outside any instance
	Spec        string // Aliyun_AES_256
	Usage       string // ENCRYPT/DECRYPT, or SIGN/VERIFY where the spec can do nothing else
	Origin      string // Aliyun_KMS
	Protection  string // SOFTWARE; ignored with an instance, whose kind sets it
	Description string
	Tags        map[string]string

	Rotate   bool
	Interval time.Duration // 365 days

	UUID    bool   // ids in the manner of KMS 1.0
	Creator string // the account; a product's name makes a service key

	// Material, when set, is used instead of fresh material. A console restore needs it; no API call can ask for it.
	Material *material.Material
}

const (
	day            = 24 * time.Hour
	maxDescription = 8192
	maxTags        = 20
	minRotation    = 7 * day
	maxRotation    = 730 * day
	maxRotationIn  = 365 * day // in a software instance
	defaultRotates = 365 * day
)

var softwareSpecs = []string{material.AES256, material.RSA2048, material.RSA3072, material.P256, material.P256K}

// CreateKey makes a key with one version, or none when its material is to be imported.
func (d Door) CreateKey(in NewKey) (Metadata, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.newKey(in)
	if err != nil {
		return Metadata{}, err
	}
	if k.Origin == OriginKMS {
		m := in.Material
		if m == nil {
			var merr error
			if m, merr = material.New(k.Spec); merr != nil {
				return Metadata{}, Internal()
			}
		}
		k.addVersion(newVersionID(k.ID), m)
	}
	d.Region.keys[k.ID] = k
	return k.metadata(), nil
}

func (d Door) newKey(in NewKey) (*Key, *Error) {
	c := d.Region.cloud
	k := &Key{Region: d.Region, Spec: in.Spec, Usage: in.Usage, Origin: in.Origin, Protection: in.Protection, Creator: in.Creator,
		Description: in.Description, Created: c.now(), State: Enabled, Tags: maps.Clone(in.Tags), Rotation: Rotation{Status: "Disabled"}}
	if k.Tags == nil {
		k.Tags = map[string]string{}
	}
	if in.InstanceID != "" {
		if k.Instance = d.Region.instances[in.InstanceID]; k.Instance == nil {
			return nil, InstanceNotFound()
		}
	}
	k.setDefaults()
	if k.Origin == OriginExternal {
		k.State = PendingImport
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if in.Rotate {
		if err := k.setRotation(in.Interval); err != nil {
			return nil, err
		}
	}
	if in.UUID {
		k.ID = NewUUID()
	} else {
		k.ID = newKeyID(d.Region.ID)
	}
	return k, nil
}

func (k *Key) setDefaults() {
	if k.Spec == "" {
		k.Spec = material.AES256
	}
	if k.Usage == "" {
		k.Usage = EncryptDecrypt
		if k.Spec == material.P256 || k.Spec == material.P256K {
			k.Usage = SignVerify
		}
	}
	if k.Origin == "" {
		k.Origin = OriginKMS
	}
	if k.Creator == "" {
		k.Creator = k.Region.cloud.Account
	}
	switch {
	case k.Instance != nil && k.Instance.Kind == Hardware:
		k.Protection = ProtectionHSM
	case k.Instance != nil, k.Protection == "":
		k.Protection = ProtectionSoftware
	}
}

// check refuses what CreateKey refuses, in the order of its parameters.
func (k *Key) check() *Error {
	switch {
	case !material.Known(k.Spec):
		return InvalidParameter("KeySpec")
	case k.Usage != EncryptDecrypt && k.Usage != SignVerify:
		return InvalidParameter("KeyUsage")
	case k.Symmetric() && k.Usage != EncryptDecrypt:
		return InvalidParameter("KeyUsage")
	case (k.Spec == material.P256 || k.Spec == material.P256K) && k.Usage != SignVerify && (k.Instance == nil || k.Instance.Kind != Hardware):
		return InvalidParameter("KeyUsage") // ECIES is for hardware instances alone
	case k.Origin != OriginKMS && k.Origin != OriginExternal:
		return InvalidParameter("Origin")
	case k.Origin == OriginExternal && !k.Symmetric():
		return InvalidParameter("Origin") // only symmetric material can be brought along
	case k.Protection != ProtectionSoftware && k.Protection != ProtectionHSM:
		return InvalidParameter("ProtectionLevel")
	case len(k.Description) > maxDescription:
		return InvalidParameter("Description")
	case len(k.Tags) > maxTags:
		return InvalidParameter("Tags")
	}
	if k.Instance != nil && k.Instance.Kind == Software {
		if !slices.Contains(softwareSpecs, k.Spec) {
			return InvalidParameter("KeySpec")
		}
		if k.Origin != OriginKMS {
			return InvalidParameter("Origin")
		}
	}
	return nil
}

// setRotation turns automatic rotation on. An interval of zero is a year.
func (k *Key) setRotation(interval time.Duration) *Error {
	if interval == 0 {
		interval = defaultRotates
	}
	longest := maxRotation
	if k.Instance != nil {
		longest = maxRotationIn
	}
	if interval < minRotation || interval > longest {
		return InvalidParameter("RotationInterval")
	}
	if !k.Symmetric() || k.Origin != OriginKMS || k.Service() || k.Instance != nil && k.Instance.Kind == Hardware {
		return Unsupported()
	}
	k.Rotation.Status = "Enabled"
	k.Rotation.Interval = interval
	k.Rotation.Next = k.Region.cloud.now().Add(interval)
	k.Region.cloud.schedule(k.Rotation.Next)
	return nil
}
