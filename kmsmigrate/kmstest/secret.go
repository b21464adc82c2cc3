package kmstest

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// SecretSpec says what secret to make. Name and Value must be there.
type SecretSpec struct {
	Name      string
	Value     string // at most 30,720 bytes
	VersionID string // empty: v1
	// Key encrypts the secret. Nil: a key of the service's own; a secret in an instance must have one, of the same instance.
	Key         *Key
	Description string
	Tags        map[string]string
}

// Secret is a secret that was made.
type Secret struct {
	Name      string
	VersionID string
	ARN       string
}

// ErrExists is what CreateSecret wraps when the region has a secret of that name already.
var ErrExists = errors.New("kmstest: exists already")

// CreateSecret makes a generic secret outside any instance.
func (r *Region) CreateSecret(spec SecretSpec) (*Secret, error) { return createSecretIn(r, "", spec) }

// CreateSecret makes a generic secret in the instance.
func (i *Instance) CreateSecret(spec SecretSpec) (*Secret, error) {
	return createSecretIn(i.region, i.ID, spec)
}

func createSecretIn(r *Region, instance string, spec SecretSpec) (*Secret, error) {
	in := model.NewSecret{Name: spec.Name, VersionID: cmp.Or(spec.VersionID, "v1"), Data: spec.Value, InstanceID: instance,
		Description: spec.Description, Tags: spec.Tags}
	if spec.Key != nil {
		in.KeyRef = spec.Key.id
	}
	s, err := r.model.Shared().CreateSecret(in)
	if err != nil && err.Code == "Rejected.ResourceExist" {
		return nil, fmt.Errorf("%w: secret %s", ErrExists, spec.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("kmstest: create secret: %w", err)
	}
	return &Secret{Name: s.Name, VersionID: in.VersionID, ARN: s.ARN}, nil
}
