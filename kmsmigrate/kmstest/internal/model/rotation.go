package model

import (
	"time"
)

// RotationPolicy is what UpdateRotationPolicy sets.
type RotationPolicy struct {
	Enable   bool
	Interval time.Duration // zero: 365 days
}

// SetRotationPolicy turns automatic rotation on or off. It is not for asymmetric, imported, product-owned or hardware keys, nor for keys that
// are not enabled.
func (d Door) SetRotationPolicy(ref string, p RotationPolicy) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return err
	}
	if err := k.usable(); err != nil {
		return err
	}
	if !p.Enable {
		if !k.Symmetric() || k.Origin != OriginKMS || k.Service() {
			return Unsupported()
		}
		k.Rotation.Status, k.Rotation.Next = "Disabled", time.Time{}
		return nil
	}
	return k.setRotation(p.Interval)
}

// Limits of versions made by hand [KMS documents of 2021].
const (
	minVersionGap = 7 * day
	maxVersions   = 50
)

// CreateKeyVersion is a rotation by hand: of asymmetric keys outside instances and of symmetric keys in software instances.
func (d Door) CreateKeyVersion(ref string) (VersionInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return VersionInfo{}, err
	}
	software := k.Instance != nil && k.Instance.Kind == Software
	switch {
	case k.Service(), k.Symmetric() != software:
		return VersionInfo{}, Unsupported()
	case len(k.Versions) >= maxVersions:
		return VersionInfo{}, LimitExceeded()
	case len(k.Versions) > 0 && c.now().Sub(k.primary().Created) < minVersionGap:
		return VersionInfo{}, LimitExceeded()
	}
	return k.rotate()
}

// DescribeKeyVersion finds one version of a key.
func (d Door) DescribeKeyVersion(ref, versionID string) (VersionInfo, *Error) {
	if versionID == "" {
		return VersionInfo{}, MissingParameter("KeyVersionId")
	}
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.key(ref)
	if err != nil {
		return VersionInfo{}, err
	}
	v, err := k.version(versionID)
	if err != nil {
		return VersionInfo{}, err
	}
	return VersionInfo{k.ID, v.ID, v.Created}, nil
}
