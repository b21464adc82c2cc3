package model

import (
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// SetEnabled enables or disables a key.
func (d Door) SetEnabled(ref string, on bool) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return err
	}
	if k.Service() {
		return Unsupported()
	}
	if k.State != Enabled && k.State != Disabled {
		return StateModifiedFailed()
	}
	k.State = Disabled
	k.suspend()
	if on {
		k.State = Enabled
		k.resume()
	}
	return nil
}

// VersionInfo describes one key version.
type VersionInfo struct {
	KeyID     string
	VersionID string
	Created   time.Time
}

// KeyVersions lists a key's versions, oldest first.
func (d Door) KeyVersions(ref string) ([]VersionInfo, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.key(ref)
	if err != nil {
		return nil, err
	}
	out := make([]VersionInfo, len(k.Versions))
	for i, v := range k.Versions {
		out[i] = VersionInfo{k.ID, v.ID, v.Created}
	}
	return out, nil
}

// Rotate gives a key fresh material as its new primary version, as an automatic rotation would, without the limits of CreateKeyVersion.
func (d Door) Rotate(ref string) (VersionInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return VersionInfo{}, err
	}
	return k.rotate()
}

func (k *Key) rotate() (VersionInfo, *Error) {
	if k.Origin != OriginKMS {
		return VersionInfo{}, Unsupported()
	}
	if err := k.usable(); err != nil {
		return VersionInfo{}, err
	}
	m, merr := material.New(k.Spec)
	if merr != nil {
		return VersionInfo{}, Internal()
	}
	v := k.addVersion(newVersionID(k.ID), m)
	k.Rotation.Last = v.Created
	if k.Rotation.Status == "Enabled" {
		k.Rotation.Next = v.Created.Add(k.Rotation.Interval)
		k.Region.cloud.schedule(k.Rotation.Next)
	}
	return VersionInfo{k.ID, v.ID, v.Created}, nil
}
