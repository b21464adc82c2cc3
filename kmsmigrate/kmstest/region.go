package kmstest

import (
	"fmt"
	"regexp"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

var regionName = regexp.MustCompile(`^[a-z]{2}-[a-z0-9-]{1,40}$`)

// Region is one region of a Cloud: a shared gateway on two ports, and what keys and instances were made in it.
type Region struct {
	ID    string
	HTTP  string // host:port of the gateway in plain http, which the official SDK uses unless told otherwise
	HTTPS string // host:port of the gateway in https, under the region's own CA

	cloud *Cloud
	model *model.Region
	ca    *authority
}

// openRegion opens both ports. Cloud.mu must be held.
func (c *Cloud) openRegion(m *model.Region, ca *authority, http, https string) (*Region, error) {
	r := &Region{ID: m.ID, cloud: c, model: m, ca: ca}
	plain, err := c.openFace(m.Shared(), nil, http)
	if err != nil {
		return nil, fmt.Errorf("kmstest: http gateway of region %s: %w", m.ID, err)
	}
	secure, err := c.openFace(m.Shared(), ca, https)
	if err != nil {
		return nil, fmt.Errorf("kmstest: https gateway of region %s: %w", m.ID, err)
	}
	r.HTTP, r.HTTPS = plain.addr, secure.addr
	c.regions[m.ID] = r
	return r, nil
}

// CA is the PEM certificate of the authority that signed the https gateway's certificate. The real gateway has a public one.
func (r *Region) CA() []byte { return append([]byte(nil), r.ca.pem...) }

// Match selects requests to the region's shared gateway.
func (r *Region) Match() Match { return Match{Face: Gateway, Region: r.ID} }

// CreateKey makes a key outside any instance.
func (r *Region) CreateKey(spec KeySpec) (*Key, error) { return createIn(r, nil, spec) }
