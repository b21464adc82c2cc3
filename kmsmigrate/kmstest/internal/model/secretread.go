package model

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
)

// SecretInfo is a secret without its value.
type SecretInfo struct {
	Name          string
	ARN           string
	Type          string
	Description   string
	KeyID         string
	InstanceID    string
	Extended      string
	Tags          map[string]string
	Created       time.Time
	Updated       time.Time
	PlannedDelete time.Time
	CurrentID     string // version staged ACSCurrent
}

func (s *Secret) info() SecretInfo {
	out := SecretInfo{Name: s.Name, ARN: s.region.arn("secret/" + s.Name), Type: s.Type, Description: s.Description, KeyID: s.KeyID,
		Extended: s.Extended, Tags: maps.Clone(s.Tags), Created: s.Created, Updated: s.Updated, PlannedDelete: s.PlannedDelete}
	if s.Instance != nil {
		out.InstanceID = s.Instance.ID
	}
	if v := s.staged(Current); v != nil {
		out.CurrentID = v.ID
	}
	return out
}

// SecretValue reads a version: by id, by stage, or the current one. Given both, they must agree.
func (d Door) SecretValue(name, versionID, stage string) (SecretInfo, SecretVersion, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	s, err := d.secret(name)
	if err != nil {
		return SecretInfo{}, SecretVersion{}, err
	}
	if err := s.decryptable(); err != nil {
		return SecretInfo{}, SecretVersion{}, err
	}
	if versionID == "" && stage == "" {
		stage = Current
	}
	var v *SecretVersion
	if versionID != "" {
		v = s.version(versionID)
	} else {
		v = s.staged(stage)
	}
	if v == nil || stage != "" && !slices.Contains(v.Stages, stage) {
		return SecretInfo{}, SecretVersion{}, notFoundVersion()
	}
	return s.info(), v.clone(), nil
}

// DescribeSecret works in the deletion window too.
func (d Door) DescribeSecret(name string) (SecretInfo, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	s, err := d.anySecret(name)
	if err != nil {
		return SecretInfo{}, err
	}
	return s.info(), nil
}

// SecretVersions lists versions; those without a stage are deprecated and left out unless asked for. The service gives them in no order
// of time, so this does not either.
func (d Door) SecretVersions(name string, deprecated bool) ([]SecretVersion, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	s, err := d.anySecret(name)
	if err != nil {
		return nil, err
	}
	var out []SecretVersion
	for _, v := range s.Versions {
		if deprecated || len(v.Stages) > 0 {
			out = append(out, v.clone())
		}
	}
	slices.SortFunc(out, func(a, b SecretVersion) int { return cmp.Compare(shuffled(a.ID), shuffled(b.ID)) })
	return out, nil
}

func shuffled(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

// Secrets lists secrets by name. Filters of different keys must all hold.
func (d Door) Secrets(filters []Filter) ([]SecretInfo, *Error) {
	for _, f := range filters {
		if !slices.Contains([]string{"SecretName", "Description", "TagKey", "TagValue", "SecretType", "DKMSInstanceId"}, f.Key) {
			return nil, InvalidParameter("Filters")
		}
	}
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	var out []SecretInfo
	for _, s := range d.Region.secrets {
		info := s.info()
		if !slices.ContainsFunc(filters, func(f Filter) bool { return !info.passes(f) }) {
			out = append(out, info)
		}
	}
	slices.SortFunc(out, func(a, b SecretInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (s SecretInfo) passes(f Filter) bool {
	return slices.ContainsFunc(f.Values, func(want string) bool {
		switch f.Key {
		case "SecretName":
			return strings.Contains(s.Name, want)
		case "Description":
			return strings.Contains(s.Description, want)
		case "SecretType":
			return s.Type == want
		case "DKMSInstanceId":
			return s.InstanceID == want
		case "TagKey":
			_, ok := s.Tags[want]
			return ok
		}
		for _, v := range s.Tags {
			if v == want {
				return true
			}
		}
		return false
	})
}

// Recovery windows of DeleteSecret in days.
const (
	minRecovery     = 7
	maxRecovery     = 30
	DefaultRecovery = 30
)

// DeleteSecret ends a secret, at once or after a window of days in which RestoreSecret brings it back.
func (d Door) DeleteSecret(name string, force bool, days int) (SecretInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	s, err := d.anySecret(name)
	switch {
	case err != nil:
		return SecretInfo{}, err
	case force:
		delete(d.Region.secrets, s.Name)
		return s.info(), nil
	case days < minRecovery || days > maxRecovery:
		return SecretInfo{}, InvalidParameter("RecoveryWindowInDays")
	case !s.PlannedDelete.IsZero():
		return SecretInfo{}, inDeleteWindow()
	}
	s.PlannedDelete = c.now().Add(time.Duration(days) * day)
	c.schedule(s.PlannedDelete)
	return s.info(), nil
}

// RestoreSecret takes a deletion back.
func (d Door) RestoreSecret(name string) (SecretInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	s, err := d.anySecret(name)
	if err != nil {
		return SecretInfo{}, err
	}
	s.PlannedDelete = time.Time{}
	return s.info(), nil
}

// UpdateSecret changes the description, and the extended configuration when there is one given.
func (d Door) UpdateSecret(name, description, extended string) (SecretInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	s, err := d.secret(name)
	switch {
	case err != nil:
		return SecretInfo{}, err
	case len(description) > maxDescription:
		return SecretInfo{}, InvalidParameter("Description")
	}
	if description != "" {
		s.Description = description
	}
	if extended != "" {
		s.Extended = extended
	}
	s.Updated = c.now()
	return s.info(), nil
}
