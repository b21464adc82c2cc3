package plan_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// control is a region in memory. It answers what an inventory needs; anything else would panic on the nil interface inside.
type control struct {
	resource.Inventory
	region    string
	keys      []resource.Key
	versions  map[string][]resource.Version
	aliases   []resource.Alias
	secrets   []resource.Secret
	instances []resource.Instance
	fail      map[string]error // by "keys", "versions <id>", …

	mu    sync.Mutex
	calls map[string]int
}

func (c *control) called(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.calls[what]++
	return c.fail[what]
}

func (c *control) count(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[what]
}

func list[T any](ctx context.Context, items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for i, item := range items {
			if ctx.Err() != nil {
				yield(none, ctx.Err())
				return
			}
			if err != nil && i == len(items)/2 {
				break // what fails, fails half-way
			}
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			yield(none, err)
		}
	}
}

func (c *control) Keys(ctx context.Context, _ resource.KeyFilter) iter.Seq2[string, error] {
	ids := make([]string, len(c.keys))
	for i, k := range c.keys {
		ids[i] = k.ID
	}
	return list(ctx, ids, c.called("keys"))
}

func (c *control) DescribeKey(_ context.Context, key string) (resource.Key, error) {
	i := slices.IndexFunc(c.keys, func(k resource.Key) bool { return k.ID == key })
	if i < 0 {
		return resource.Key{}, errors.New("no such key")
	}
	return c.keys[i], nil
}

func (c *control) Versions(ctx context.Context, key string) iter.Seq2[resource.Version, error] {
	return list(ctx, c.versions[key], c.called("versions "+key))
}

func (c *control) Aliases(ctx context.Context) iter.Seq2[resource.Alias, error] {
	return list(ctx, c.aliases, c.called("aliases"))
}

func (c *control) KeyTags(_ context.Context, key string) (map[string]string, error) {
	if err := c.called("tags " + key); err != nil {
		return nil, err
	}
	return map[string]string{"team": "payments"}, nil
}

func (c *control) Secrets(ctx context.Context) iter.Seq2[string, error] {
	names := make([]string, len(c.secrets))
	for i, s := range c.secrets {
		names[i] = s.Name
	}
	return list(ctx, names, c.called("secrets"))
}

func (c *control) DescribeSecret(_ context.Context, name string) (resource.Secret, error) {
	i := slices.IndexFunc(c.secrets, func(s resource.Secret) bool { return s.Name == name })
	return c.secrets[i], c.called("secret " + name)
}

func (c *control) SecretVersions(ctx context.Context, name string) iter.Seq2[resource.SecretVersion, error] {
	versions := []resource.SecretVersion{{ID: "v2", Stages: []string{"ACSCurrent"}, Created: today}, {ID: "v1", Created: today.AddDate(0, 0, -1)}} // unsorted, as the service's
	return list(ctx, versions, c.called("secret-versions "+name))
}

func (c *control) Instances(ctx context.Context) iter.Seq2[string, error] {
	ids := make([]string, len(c.instances))
	for i, in := range c.instances {
		ids[i] = in.ID
	}
	return list(ctx, ids, c.called("instances"))
}

func (c *control) DescribeInstance(_ context.Context, id string) (resource.Instance, error) {
	i := slices.IndexFunc(c.instances, func(in resource.Instance) bool { return in.ID == id })
	return c.instances[i], nil
}
