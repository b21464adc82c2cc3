package model

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Alias is a second name of a key, unique in its region.
type Alias struct {
	Name  string
	KeyID string
	ARN   string
}

var aliasName = regexp.MustCompile(`^alias/[A-Za-z0-9/_-]+$`)

const servicePrefix = "alias/acs"

func checkAlias(name string) *Error {
	switch {
	case name == "":
		return MissingParameter("AliasName")
	case !aliasName.MatchString(name), len(name) > 255, strings.HasPrefix(name, servicePrefix):
		return InvalidParameter("AliasName")
	}
	return nil
}

// CreateAlias names a key.
func (d Door) CreateAlias(name, ref string) *Error {
	if err := checkAlias(name); err != nil {
		return err
	}
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.aliasTarget(ref)
	if err != nil {
		return err
	}
	if k.State == PendingDeletion {
		return StateModifiedFailed()
	}
	if d.Region.aliases[name] != nil {
		return AliasExists()
	}
	d.Region.alias(name, k)
	return nil
}

// aliasTarget finds the key an alias is to name: by id or ARN, never by another alias, and never a product's key.
func (d Door) aliasTarget(ref string) (*Key, *Error) {
	if strings.HasPrefix(ref, "alias/") {
		return nil, InvalidParameter("KeyId")
	}
	k, err := d.key(ref)
	if err != nil {
		return nil, err
	}
	if k.Service() {
		return nil, Unsupported()
	}
	return k, nil
}

func (r *Region) alias(name string, k *Key) {
	r.aliases[name] = &Alias{Name: name, KeyID: k.ID, ARN: r.arn(name)}
}

// UpdateAlias points an alias at another key.
func (d Door) UpdateAlias(name, ref string) *Error {
	if err := checkAlias(name); err != nil {
		return err
	}
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.aliasTarget(ref)
	switch {
	case err != nil:
		return err
	case d.Region.aliases[name] == nil:
		return AliasNotFound()
	case k.State == PendingDeletion:
		return stateRejected(k.State)
	}
	d.Region.alias(name, k)
	return nil
}

// DeleteAlias removes a name. The key stays.
func (d Door) DeleteAlias(name string) *Error {
	if err := checkAlias(name); err != nil {
		return err
	}
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	if d.Region.aliases[name] == nil {
		return AliasNotFound()
	}
	delete(d.Region.aliases, name)
	return nil
}

// Aliases lists the aliases of a region, or of one key, by name.
func (d Door) Aliases(ref string) ([]Alias, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	id := ""
	if ref != "" {
		k, err := d.key(ref)
		if err != nil {
			return nil, err
		}
		id = k.ID
	}
	var out []Alias
	for _, a := range d.Region.aliases {
		if id == "" || a.KeyID == id {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Alias) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
