package kmstest

import (
	"fmt"
	"net"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// InstanceSpec says what instance to buy. The zero value is a software instance.
type InstanceSpec struct {
	Name     string
	Hardware bool
	// OldImage is an instance with an image before 3.0.0: it has no RPC face, and takes RPC requests for broken protobuf ones.
	OldImage bool
}

// Instance is a dedicated KMS 3.0 instance. It speaks two protocols on one TLS address: protobuf with a ClientKey, and RPC with the account's
// access key.
type Instance struct {
	ID   string
	Addr string // host:port

	cloud  *Cloud
	region *Region
	model  *model.Instance
	ca     *authority
}

// CreateInstance buys an instance and opens its port.
func (r *Region) CreateInstance(spec InstanceSpec) (*Instance, error) {
	kind := model.Software
	if spec.Hardware {
		kind = model.Hardware
	}
	ca, err := newAuthority("kms instance", net.ParseIP(r.cloud.config.Host))
	if err != nil {
		return nil, fmt.Errorf("kmstest: certificate of an instance: %w", err)
	}
	m := r.model.NewInstance(kind, spec.Name, spec.OldImage)
	i, err := r.addInstance(m, ca)
	if err != nil {
		return nil, fmt.Errorf("kmstest: instance: %w", err)
	}
	r.cloud.save()
	return i, nil
}

func (r *Region) addInstance(m *model.Instance, ca *authority) (*Instance, error) {
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	return r.openInstance(m, ca, "")
}

// openInstance opens the instance's port. Cloud.mu must be held.
func (r *Region) openInstance(m *model.Instance, ca *authority, saved string) (*Instance, error) {
	f, err := r.cloud.openFace(m.Door(), ca, saved)
	if err != nil {
		return nil, err
	}
	i := &Instance{ID: m.ID, Addr: f.addr, cloud: r.cloud, region: r, model: m, ca: ca}
	r.cloud.instances[i.ID] = i
	return i, nil
}

// Name is what InstanceSpec called it.
func (i *Instance) Name() string { return i.model.Name }

// CA is the PEM certificate of the instance's private authority, as GetKmsInstance returns it.
func (i *Instance) CA() []byte { return append([]byte(nil), i.ca.pem...) }

// Match selects requests to this instance, by either face.
func (i *Instance) Match() Match { return Match{Region: i.region.ID, Instance: i.ID} }

// CreateKey makes a key in the instance.
func (i *Instance) CreateKey(spec KeySpec) (*Key, error) { return createIn(i.region, i, spec) }
