package model

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What the console does and no API call can.

// SetInternet turns "Internet access" to an instance's keys on or off.
func (i *Instance) SetInternet(on bool) {
	c := i.Region.cloud
	c.lock()
	defer c.unlock()
	i.Internet = on
}

// HasInternet reports whether it is on.
func (i *Instance) HasInternet() bool {
	c := i.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	return i.Internet
}

const maxBatch = 50 // keys per run of the migration tool

// Refusal says why the migration tool or a restore will not take a key.
type Refusal struct {
	KeyID  string
	Reason string
}

func (r *Refusal) Error() string { return fmt.Sprintf("key %s: %s", r.KeyID, r.Reason) }

// Move is how the migration tool is set.
type Move struct {
	KeepShared    bool // the keys stay reachable through the shared gateway, which is what the tool does
	SingleVersion bool // keys of more than one version are refused, as in 2023
}

// Migrate is the same-region migration tool: it moves keys from outside into an instance. Key ids, aliases, tags, versions and their material
// stay; version ids change, and the old ones still resolve. One refused key refuses the batch.
func (i *Instance) Migrate(ids []string, how Move) error {
	c := i.Region.cloud
	c.lock()
	defer c.unlock()
	if len(ids) > maxBatch {
		return fmt.Errorf("the migration tool takes at most %d keys at a time, got %d", maxBatch, len(ids))
	}
	keys := make([]*Key, len(ids))
	var refusals []error
	for n, id := range ids {
		keys[n] = i.Region.keys[id]
		if reason := i.refuses(keys[n], how); reason != "" {
			refusals = append(refusals, &Refusal{id, reason})
		}
	}
	if len(refusals) > 0 {
		return errors.Join(refusals...)
	}
	for _, k := range keys {
		k.Instance, k.Shared = i, how.KeepShared
		k.Protection = ProtectionSoftware
		if i.Kind == Hardware {
			k.Protection = ProtectionHSM
		}
		for _, v := range k.Versions {
			v.OldIDs = append(v.OldIDs, v.ID)
			v.ID = newKeyID(i.Region.ID) + "-" + token(10)
			i.Region.versions[v.ID] = v
		}
	}
	return nil
}

// refuses gives the tool's reason not to take a key; "" when it takes it.
func (i *Instance) refuses(k *Key, how Move) string {
	switch {
	case k == nil:
		return "not found in this region"
	case k.Instance != nil:
		return "already in an instance"
	case k.Service():
		return "owned by a cloud product"
	case k.State != Enabled:
		return "its state is " + string(k.State) + ", not Enabled"
	case k.Rotation.Status != "Disabled":
		return "automatic rotation is on"
	case k.Origin != OriginKMS:
		return "its material was imported"
	case how.SingleVersion && len(k.Versions) > 1:
		return fmt.Sprintf("it has %d versions", len(k.Versions))
	case i.Kind == Software && !slices.Contains(softwareSpecs, k.Spec):
		return "its specification " + k.Spec + " does not exist in a software instance"
	}
	return ""
}

// MigrateSecret moves a secret into the instance. A secret encrypted by the service's own key needs a key of the instance named; any other
// follows its key, which must have moved before.
func (i *Instance) MigrateSecret(name, keyID string) error {
	c := i.Region.cloud
	c.lock()
	defer c.unlock()
	s := i.Region.secrets[name]
	switch {
	case s == nil:
		return fmt.Errorf("secret %s: not found in this region", name)
	case s.Instance != nil:
		return fmt.Errorf("secret %s: already in an instance", name)
	case !s.PlannedDelete.IsZero():
		return fmt.Errorf("secret %s: is being deleted", name)
	}
	k := i.Region.keys[cmp.Or(s.KeyID, keyID)]
	if k == nil || k.Instance != i || !k.Symmetric() {
		return fmt.Errorf("secret %s: its key must be moved into the instance first", name)
	}
	s.Instance, s.KeyID = i, k.ID
	return nil
}

// Backup is a copy of a software instance at one time.
type Backup struct {
	keys    []*Key
	secrets []*Secret
	aliases []Alias
	from    *Region
}

// Backup copies keys and secrets of a software instance. Keys that rotate by themselves refuse it.
func (i *Instance) Backup() (*Backup, error) {
	c := i.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	if i.Kind != Software {
		return nil, errors.New("only a software instance can be backed up")
	}
	b := &Backup{from: i.Region}
	for _, k := range i.Region.keys {
		if k.Instance != i {
			continue
		}
		if k.Rotation.Status != "Disabled" {
			return nil, &Refusal{k.ID, "automatic rotation is on"}
		}
		b.keys = append(b.keys, k.copy())
		for _, a := range i.Region.aliases {
			if a.KeyID == k.ID {
				b.aliases = append(b.aliases, *a)
			}
		}
	}
	for _, s := range i.Region.secrets {
		if s.Instance == i {
			b.secrets = append(b.secrets, s.copy())
		}
	}
	return b, nil
}

func (k *Key) copy() *Key {
	out := *k
	out.Tags = maps.Clone(k.Tags)
	out.Versions = make([]*Version, len(k.Versions))
	for i, v := range k.Versions {
		w := *v
		w.OldIDs = slices.Clone(v.OldIDs)
		w.key = &out
		out.Versions[i] = &w
	}
	return &out
}

func (s *Secret) copy() *Secret {
	out := *s
	out.Tags = maps.Clone(s.Tags)
	out.Versions = make([]*SecretVersion, len(s.Versions))
	for i, v := range s.Versions {
		w := v.clone()
		out.Versions[i] = &w
	}
	return &out
}

// Restore puts a backup into an instance, of this region or another. Key ids, version ids and material are those of the original: the same
// ciphertext then opens in both places. A key id, an alias or a secret name that the region has already refuses the whole.
func (i *Instance) Restore(b *Backup) error {
	c := i.Region.cloud
	c.lock()
	defer c.unlock()
	r := i.Region
	if i.Kind != Software {
		return errors.New("a backup can be restored to a software instance only")
	}
	for _, k := range b.keys {
		if r.keys[k.ID] != nil {
			return &Refusal{k.ID, "exists in the region already"}
		}
	}
	for _, a := range b.aliases {
		if r.aliases[a.Name] != nil {
			return fmt.Errorf("alias %s: exists in the region already", a.Name)
		}
	}
	for _, s := range b.secrets {
		if r.secrets[s.Name] != nil {
			return fmt.Errorf("secret %s: exists in the region already", s.Name)
		}
	}
	for _, saved := range b.keys {
		k := saved.copy()
		k.Region, k.Instance, k.Shared = r, i, false
		r.keys[k.ID] = k
		r.index(k)
	}
	for _, a := range b.aliases {
		r.alias(a.Name, r.keys[a.KeyID])
	}
	for _, saved := range b.secrets {
		s := saved.copy()
		s.region, s.Instance = r, i
		r.secrets[s.Name] = s
	}
	return nil
}

// index makes every id of a key's versions resolve.
func (r *Region) index(k *Key) {
	for _, v := range k.Versions {
		v.key = k
		r.versions[v.ID] = v
		for _, id := range v.OldIDs {
			r.versions[id] = v
		}
	}
}

// NewServiceKey makes a key as a cloud product does for itself, under the alias alias/acs/<product>. Applications may not use it.
func (r *Region) NewServiceKey(product string) (Metadata, *Error) {
	m, err := r.Shared().CreateKey(NewKey{Creator: product, UUID: true})
	if err != nil {
		return Metadata{}, err
	}
	c := r.cloud
	c.lock()
	defer c.unlock()
	r.alias(servicePrefix+"/"+product, r.keys[m.KeyId])
	return m, nil
}

// SetUnavailable puts a key into the state that no API call leads to, or back to Enabled.
func (d Door) SetUnavailable(ref string, on bool) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return err
	}
	k.State = Enabled
	if on {
		k.State = Unavailable
	}
	return nil
}
