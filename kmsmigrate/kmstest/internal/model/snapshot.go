package model

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// Snapshot is the whole state in a form that JSON can hold. It contains secret material.
type Snapshot struct {
	Regions []RegionSnapshot
}

// RegionSnapshot is one region.
type RegionSnapshot struct {
	ID        string
	Instances []InstanceSnapshot
	Keys      []KeySnapshot
	Aliases   map[string]string // name to key id
	Secrets   []SecretSnapshot
}

// InstanceSnapshot is one instance.
type InstanceSnapshot struct {
	ID         string
	Name       string
	Kind       Kind
	Created    time.Time
	Internet   bool
	OldImage   bool
	ClientKeys []ClientKeySnapshot
}

// ClientKeySnapshot is the public half of a ClientKey.
type ClientKeySnapshot struct {
	ID      string
	Public  []byte // PKCS#1
	Expires time.Time
}

// KeySnapshot is one key. Pending import tokens are not kept: they are asked for anew.
type KeySnapshot struct {
	ID, Instance, Spec, Usage, Origin, Protection, Creator, Description string
	Created                                                             time.Time
	State                                                               State
	Shared                                                              bool
	Tags                                                                map[string]string
	Rotation                                                            Rotation
	Deletion                                                            Deletion
	MaterialExpires                                                     time.Time
	Versions                                                            []VersionSnapshot
}

// VersionSnapshot is one key version with its material.
type VersionSnapshot struct {
	ID       string
	OldIDs   []string
	Created  time.Time
	Material []byte
}

// SecretSnapshot is one secret.
type SecretSnapshot struct {
	Name, Type, Description, KeyID, Instance, Extended string
	Tags                                               map[string]string
	Created, Updated, PlannedDelete                    time.Time
	Versions                                           []SecretVersion
}

// OnChange sets what is called after every change. It must be set before the cloud is used.
func (c *Cloud) OnChange(f func()) { c.changed = f }

// Snapshot copies the state.
func (c *Cloud) Snapshot() (Snapshot, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out Snapshot
	for _, id := range slices.Sorted(maps.Keys(c.regions)) {
		r, err := c.regions[id].snapshot()
		if err != nil {
			return Snapshot{}, err
		}
		out.Regions = append(out.Regions, r)
	}
	return out, nil
}

func (r *Region) snapshot() (RegionSnapshot, error) {
	out := RegionSnapshot{ID: r.ID, Aliases: map[string]string{}}
	for name, a := range r.aliases {
		out.Aliases[name] = a.KeyID
	}
	for _, id := range slices.Sorted(maps.Keys(r.instances)) {
		i := r.instances[id]
		s := InstanceSnapshot{ID: i.ID, Name: i.Name, Kind: i.Kind, Created: i.Created, Internet: i.Internet, OldImage: i.OldImage}
		for _, ck := range i.clientKeys {
			s.ClientKeys = append(s.ClientKeys, ClientKeySnapshot{ck.ID, x509.MarshalPKCS1PublicKey(ck.Public), ck.Expires})
		}
		out.Instances = append(out.Instances, s)
	}
	for _, id := range slices.Sorted(maps.Keys(r.keys)) {
		k, err := r.keys[id].snapshot()
		if err != nil {
			return RegionSnapshot{}, err
		}
		out.Keys = append(out.Keys, k)
	}
	for _, name := range slices.Sorted(maps.Keys(r.secrets)) {
		s := r.secrets[name]
		shot := SecretSnapshot{Name: s.Name, Type: s.Type, Description: s.Description, KeyID: s.KeyID, Instance: idOf(s.Instance), Extended: s.Extended,
			Tags: maps.Clone(s.Tags), Created: s.Created, Updated: s.Updated, PlannedDelete: s.PlannedDelete}
		for _, v := range s.Versions {
			shot.Versions = append(shot.Versions, v.clone())
		}
		out.Secrets = append(out.Secrets, shot)
	}
	return out, nil
}

func idOf(i *Instance) string {
	if i == nil {
		return ""
	}
	return i.ID
}

func (k *Key) snapshot() (KeySnapshot, error) {
	out := KeySnapshot{ID: k.ID, Instance: idOf(k.Instance), Spec: k.Spec, Usage: k.Usage, Origin: k.Origin, Protection: k.Protection,
		Creator: k.Creator, Description: k.Description, Created: k.Created, State: k.State, Shared: k.Shared, Tags: maps.Clone(k.Tags),
		Rotation: k.Rotation, Deletion: k.Deletion, MaterialExpires: k.Import.Expires}
	for _, v := range k.Versions {
		secret, err := v.Material.Marshal()
		if err != nil {
			return KeySnapshot{}, err
		}
		out.Versions = append(out.Versions, VersionSnapshot{v.ID, slices.Clone(v.OldIDs), v.Created, secret})
	}
	return out, nil
}

// Load puts a snapshot into an empty cloud.
func (c *Cloud) Load(s Snapshot) error {
	for _, shot := range s.Regions {
		r := c.Region(shot.ID)
		if err := r.load(shot); err != nil {
			return fmt.Errorf("region %s: %w", shot.ID, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return nil
}

func (r *Region) load(shot RegionSnapshot) error {
	c := r.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range shot.Instances {
		i := &Instance{ID: s.ID, Name: s.Name, Region: r, Kind: s.Kind, Created: s.Created, Internet: s.Internet, OldImage: s.OldImage, clientKeys: map[string]*ClientKey{}}
		for _, ck := range s.ClientKeys {
			public, err := x509.ParsePKCS1PublicKey(ck.Public)
			if err != nil {
				return fmt.Errorf("client key %s: %w", ck.ID, err)
			}
			i.clientKeys[ck.ID] = &ClientKey{ID: ck.ID, Public: public, Expires: ck.Expires}
		}
		r.instances[i.ID] = i
	}
	for _, s := range shot.Keys {
		if err := r.loadKey(s); err != nil {
			return fmt.Errorf("key %s: %w", s.ID, err)
		}
	}
	for name, id := range shot.Aliases {
		if r.keys[id] == nil {
			return fmt.Errorf("alias %s: no key %s", name, id)
		}
		r.alias(name, r.keys[id])
	}
	for _, s := range shot.Secrets {
		i, err := r.instance(s.Instance)
		if err != nil {
			return fmt.Errorf("secret %s: %w", s.Name, err)
		}
		secret := &Secret{Name: s.Name, Type: s.Type, Description: s.Description, KeyID: s.KeyID, Instance: i, Extended: s.Extended,
			Tags: ownedMap(s.Tags), Created: s.Created, Updated: s.Updated, PlannedDelete: s.PlannedDelete, region: r}
		for _, v := range s.Versions {
			secret.Versions = append(secret.Versions, &v)
		}
		r.secrets[s.Name] = secret
	}
	return nil
}

func ownedMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

func (r *Region) instance(id string) (*Instance, error) {
	if id == "" {
		return nil, nil
	}
	if i := r.instances[id]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("no instance %s", id)
}

func (r *Region) loadKey(s KeySnapshot) error {
	i, err := r.instance(s.Instance)
	if err != nil {
		return err
	}
	k := &Key{ID: s.ID, Region: r, Instance: i, Spec: s.Spec, Usage: s.Usage, Origin: s.Origin, Protection: s.Protection, Creator: s.Creator,
		Description: s.Description, Created: s.Created, State: s.State, Shared: s.Shared, Tags: ownedMap(s.Tags), Rotation: s.Rotation,
		Deletion: s.Deletion, Import: Import{Expires: s.MaterialExpires}}
	for _, v := range s.Versions {
		m, err := material.Unmarshal(s.Spec, v.Material)
		if err != nil {
			return err
		}
		k.Versions = append(k.Versions, &Version{ID: v.ID, OldIDs: v.OldIDs, Created: v.Created, Material: m})
		if k.Origin == OriginExternal && k.Import.First == nil {
			k.Import.First = m
		}
	}
	r.keys[k.ID] = k
	r.index(k)
	return nil
}

// InstanceNamed finds an instance that was loaded.
func (r *Region) InstanceNamed(id string) *Instance {
	c := r.cloud
	c.rlock()
	defer c.mu.RUnlock()
	return r.instances[id]
}
