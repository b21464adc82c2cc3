package model

import (
	"cmp"
	"slices"
)

// Tag is one tag of one resource.
type Tag struct {
	Type     string // key or secret
	Resource string // key id or secret name
	Key      string
	Value    string
}

// Taggable names a resource: exactly one of the two.
type Taggable struct {
	KeyRef     string
	SecretName string
}

const maxTagsPerCall = 10

// tagged finds a resource's tags for changing. Cloud.mu must be held.
func (d Door) tagged(t Taggable) (map[string]string, *Error) {
	switch {
	case t.KeyRef != "" && t.SecretName != "", t.KeyRef == "" && t.SecretName == "":
		return nil, InvalidParameter("KeyId")
	case t.SecretName != "":
		s, err := d.secret(t.SecretName)
		if err != nil {
			return nil, err
		}
		return s.Tags, nil
	}
	k, err := d.key(t.KeyRef)
	switch {
	case err != nil:
		return nil, err
	case k.Service():
		return nil, Unsupported()
	case k.State == PendingDeletion:
		return nil, stateRejected(k.State)
	}
	return k.Tags, nil
}

// SetTags adds or replaces tags of some resources: all of them, or none when one is refused.
func (d Door) SetTags(resources []Taggable, tags map[string]string) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	if len(tags) == 0 || len(tags) > maxTagsPerCall {
		return InvalidParameter("Tags")
	}
	sets := make([]map[string]string, len(resources))
	for i, t := range resources {
		set, err := d.tagged(t)
		if err != nil {
			return err
		}
		n := len(set)
		for k := range tags {
			if _, again := set[k]; !again {
				n++
			}
		}
		if n > maxTags {
			return LimitExceeded()
		}
		sets[i] = set
	}
	for _, set := range sets {
		for k, v := range tags {
			set[k] = v
		}
	}
	return nil
}

// RemoveTags removes the named tags, or all.
func (d Door) RemoveTags(resources []Taggable, names []string, all bool) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	sets := make([]map[string]string, len(resources))
	for i, t := range resources {
		set, err := d.tagged(t)
		if err != nil {
			return err
		}
		sets[i] = set
	}
	for _, set := range sets {
		if all {
			clear(set)
		}
		for _, k := range names {
			delete(set, k)
		}
	}
	return nil
}

// Tags lists the tags of keys or secrets, by resource and name. No resources means all of them.
func (d Door) Tags(kind string, only []string, wanted map[string]string) []Tag {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	var out []Tag
	add := func(id string, tags map[string]string) {
		if len(only) > 0 && !slices.Contains(only, id) {
			return
		}
		for k, v := range wanted {
			if got, ok := tags[k]; !ok || v != "" && got != v {
				return
			}
		}
		for k, v := range tags {
			out = append(out, Tag{kind, id, k, v})
		}
	}
	if kind == "secret" {
		for name, s := range d.Region.secrets {
			add(name, s.Tags)
		}
	} else {
		for id, k := range d.Region.keys {
			add(id, k.Tags)
		}
	}
	slices.SortFunc(out, func(a, b Tag) int { return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Key, b.Key)) })
	return out
}
