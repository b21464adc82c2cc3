package model

import (
	"strings"
)

// Door is where a caller stands: the shared gateway of a region, or an instance. What can be seen and done depends on it.
type Door struct {
	Region   *Region
	Instance *Instance // nil: the shared gateway
}

// Shared is the region's shared gateway.
func (r *Region) Shared() Door { return Door{Region: r} }

// Door is the instance's own gateway.
func (i *Instance) Door() Door { return Door{Region: i.Region, Instance: i} }

// Key finds a key by id, alias or ARN, in whatever state it is. Cloud.mu must be held.
func (d Door) key(ref string) (*Key, *Error) {
	if ref == "" {
		return nil, MissingParameter("KeyId")
	}
	if strings.HasPrefix(ref, "acs:") {
		resource, err := d.resource(ref)
		if err != nil {
			return nil, err
		}
		ref = strings.TrimPrefix(resource, "key/")
	}
	if strings.HasPrefix(ref, "alias/") {
		a := d.Region.aliases[ref]
		if a == nil {
			return nil, AliasNotFound()
		}
		ref = a.KeyID
	}
	k := d.Region.keys[ref]
	if k == nil || d.Instance != nil && k.Instance != d.Instance {
		return nil, KeyNotFound()
	}
	return k, nil
}

// resource checks that an ARN names this region and account and returns what follows.
func (d Door) resource(arn string) (string, *Error) {
	parts := strings.SplitN(arn, ":", 5)
	if len(parts) != 5 || parts[1] != "kms" {
		return "", InvalidParameter("KeyId")
	}
	if parts[2] != d.Region.ID {
		return "", KeyNotFound()
	}
	if parts[3] != d.Region.cloud.Account {
		return "", NoPermission() // another account's, and it shares nothing with this one
	}
	return parts[4], nil
}

// reachable is nil when applications may use the key through this door. Cloud.mu must be held.
func (d Door) reachable(k *Key) *Error {
	if k.Service() {
		return Unsupported()
	}
	if d.Instance == nil && k.Instance != nil && !k.Instance.Internet && !k.Shared {
		return Unsupported()
	}
	return nil
}

// cryptoKey finds a key for cryptographic work: visible, reachable and enabled. Cloud.mu must be held.
func (d Door) cryptoKey(ref string) (*Key, *Error) {
	k, err := d.key(ref)
	if err != nil {
		return nil, err
	}
	return k, d.forCrypto(k)
}

func (d Door) forCrypto(k *Key) *Error {
	if err := d.reachable(k); err != nil {
		return err
	}
	return k.usable()
}

// KeyIDOf resolves a key id, alias or ARN for evidence and fault rules; "" when it names nothing here.
func (d Door) KeyIDOf(ref string) string {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	if k, err := d.key(ref); err == nil {
		return k.ID
	}
	return ""
}

// Moved reports whether the migration tool brought a key here.
func (d Door) Moved(keyID string) bool {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k := d.Region.keys[keyID]
	return k != nil && len(k.Versions) > 0 && len(k.Versions[0].OldIDs) > 0
}

// KeyIDOfVersion resolves a key version id, as found in a blob's first 36 bytes; "" when it names nothing here.
func (d Door) KeyIDOfVersion(id string) string {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	if v := d.Region.versions[id]; v != nil && (d.Instance == nil || v.key.Instance == d.Instance) {
		return v.key.ID
	}
	return ""
}
