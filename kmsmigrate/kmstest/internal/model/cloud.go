// Package model is the state of the fake cloud and the rules of KMS: regions, instances, keys, versions, aliases, secrets, and what may be
// done to them when. It speaks Go values and *Error; the faces in package kmstest turn requests into calls and results into answers.
// Both faces of an instance and the shared gateway work on this one model.
package model

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Cloud is everything there is. Its zero value is not usable: see New.
type Cloud struct {
	Account string // uid of the one account

	mu      sync.RWMutex
	clock   func() time.Time
	regions map[string]*Region
	rules   Rules
	due     atomic.Int64 // when settle has something to do, in Unix nanoseconds
	changed func()       // called after every change, without the lock
}

// Rules settle what documents leave open. Each has the default that Rules.withDefaults gives.
type Rules struct {
	// BadCiphertext answers a blob that does not open: corrupt, or another context. No document names the code.
	BadCiphertext *Error
	// UnknownVersion answers a blob whose prefix is no key version of the place that was asked.
	UnknownVersion *Error
	// EmptyContextIsNone makes {} the same as no context.
	EmptyContextIsNone bool
	// ReportNewVersions makes Decrypt name a moved key's new version id where the blob has an old one.
	ReportNewVersions bool
	// AdvanceOnHardware lets hardware instances do Advance*.
	AdvanceOnHardware bool
	// PlainSM2 makes SM2PKE give C1C3C2 as plain bytes, not ASN.1.
	PlainSM2 bool
}

func (r Rules) withDefaults() Rules {
	if r.BadCiphertext == nil {
		r.BadCiphertext = InvalidParameter("CiphertextBlob")
	}
	if r.UnknownVersion == nil {
		r.UnknownVersion = KeyNotFound()
	}
	return r
}

// New returns an empty cloud. clock gives the time of everything but signatures.
func New(account string, clock func() time.Time, rules Rules) *Cloud {
	c := &Cloud{Account: account, clock: clock, regions: map[string]*Region{}, rules: rules.withDefaults()}
	c.due.Store(math.MaxInt64)
	return c
}

func (c *Cloud) now() time.Time { return c.clock().UTC() }

// Region returns the region with that id, and makes it when it is new.
func (c *Cloud) Region(id string) *Region {
	c.lock()
	defer c.unlock()
	r := c.regions[id]
	if r == nil {
		r = &Region{ID: id, cloud: c, keys: map[string]*Key{}, versions: map[string]*Version{},
			aliases: map[string]*Alias{}, instances: map[string]*Instance{}, secrets: map[string]*Secret{}}
		c.regions[id] = r
	}
	return r
}

// Region is one region: nothing in it is visible from another.
type Region struct {
	ID string

	cloud     *Cloud
	keys      map[string]*Key
	versions  map[string]*Version // by every id that resolves, old ones included
	aliases   map[string]*Alias
	instances map[string]*Instance
	secrets   map[string]*Secret
}

func (r *Region) arn(resource string) string {
	return "acs:kms:" + r.ID + ":" + r.cloud.Account + ":" + resource
}

// Kind tells the two sorts of instance apart.
type Kind string

// The kinds of instance.
const (
	Software Kind = "software"
	Hardware Kind = "hardware"
)

// Instance is a dedicated KMS 3.0 instance.
type Instance struct {
	ID       string
	Name     string
	Region   *Region
	Kind     Kind
	Created  time.Time
	Internet bool // "Internet access": its keys are usable through the shared gateway
	OldImage bool // before 3.0.0: without the RPC face

	clientKeys map[string]*ClientKey
}

// NewInstance buys an instance.
func (r *Region) NewInstance(kind Kind, name string, oldImage bool) *Instance {
	c := r.cloud
	c.lock()
	defer c.unlock()
	i := &Instance{ID: newInstanceID(r.ID), Name: name, Region: r, Kind: kind, Created: c.now(), OldImage: oldImage, clientKeys: map[string]*ClientKey{}}
	r.instances[i.ID] = i
	return i
}
