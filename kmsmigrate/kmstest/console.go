package kmstest

import (
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// MigrateSpec says how the console's migration tool is run.
type MigrateSpec struct {
	// NotShared takes the keys off the shared gateway. The tool leaves them there.
	NotShared bool
	// SingleVersionOnly refuses keys that have more than one version. The migration guide of 2023 has it so; the guide for the migration
	// from KMS 1.0 to 3.0 that came after it says that material and all versions are kept, which is what the zero value does.
	SingleVersionOnly bool
	// Secrets are the names of secrets to take along, after the keys. A secret without a key of its own goes under the first key.
	Secrets []string
}

// Migrate runs the console's same-region migration tool: it moves keys from outside into this instance. Key ids, aliases, tags, versions and
// material stay. Version ids change, and the old ones still resolve, so old ciphertexts open as before. Refused are keys that are not
// enabled, rotate by themselves, were imported, belong to a product or have a spec that the instance lacks, with MigrateSpec.SingleVersionOnly
// those of several versions too, and more than 50 at a time; one refused key refuses all.
func (i *Instance) Migrate(spec MigrateSpec, keys ...*Key) error {
	ids := make([]string, len(keys))
	first := ""
	for n, k := range keys {
		ids[n] = k.id
		if n == 0 {
			first = k.id
		}
	}
	if err := i.model.Migrate(ids, model.Move{KeepShared: !spec.NotShared, SingleVersion: spec.SingleVersionOnly}); err != nil {
		return fmt.Errorf("kmstest: migrate: %w", err)
	}
	for _, name := range spec.Secrets {
		if err := i.model.MigrateSecret(name, first); err != nil {
			return fmt.Errorf("kmstest: migrate: %w", err)
		}
	}
	return nil
}

// Backup is a copy of a software instance's keys, aliases and secrets at one time.
type Backup struct{ model *model.Backup }

// Backup copies the instance. Keys with automatic rotation refuse it, and so does a hardware instance.
func (i *Instance) Backup() (*Backup, error) {
	b, err := i.model.Backup()
	if err != nil {
		return nil, fmt.Errorf("kmstest: backup: %w", err)
	}
	return &Backup{b}, nil
}

// Restore puts a backup into this instance, in the same region or another. Key ids and version ids are those of the original, so that every
// ciphertext opens in both places from then on. It is refused when the region has one of the key ids, aliases or secrets already.
func (i *Instance) Restore(b *Backup) error {
	if err := i.model.Restore(b.model); err != nil {
		return fmt.Errorf("kmstest: restore: %w", err)
	}
	return nil
}

// Key returns a handle to a key of this instance: one that was restored or migrated into it, or made through the API. ref is an id, an alias
// or an ARN.
func (i *Instance) Key(ref string) (*Key, error) { return i.region.keyBehind(i.model.Door(), ref) }

// Key returns a handle to any key of the region by id, alias or ARN.
func (r *Region) Key(ref string) (*Key, error) { return r.keyBehind(r.model.Shared(), ref) }

func (r *Region) keyBehind(door model.Door, ref string) (*Key, error) {
	m, err := door.DescribeKey(ref)
	if err != nil {
		return nil, fmt.Errorf("kmstest: key: %w", err)
	}
	return &Key{region: r, door: r.model.Shared(), id: m.KeyId, arn: m.Arn}, nil
}

// SetInternetAccess lets the region's shared gateway use the instance's keys, or ends that. It is off at first.
func (i *Instance) SetInternetAccess(on bool) { i.model.SetInternet(on) }

// CreateServiceKey makes a key as a cloud product does for itself, under alias/acs/<product>. It is listed, and applications that try to use
// it are answered UnsupportedOperation.
func (r *Region) CreateServiceKey(product string) (*Key, error) {
	m, err := r.model.NewServiceKey(product)
	if err != nil {
		return nil, fmt.Errorf("kmstest: service key: %w", err)
	}
	return &Key{region: r, door: r.model.Shared(), id: m.KeyId, arn: m.Arn}, nil
}

// SetUnavailable puts the key into the state Unavailable, to which no API call leads and which needs an operator, or back to Enabled.
func (k *Key) SetUnavailable(on bool) error {
	if err := k.door.SetUnavailable(k.id, on); err != nil {
		return fmt.Errorf("kmstest: %w", err)
	}
	return nil
}
