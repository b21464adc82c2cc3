package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// Source is one region of one account to collect from.
type Source struct {
	Account string // uid
	Region  string // region id: cn-hangzhou
	Control resource.Inventory
}

// Rates are control-plane calls per second for each Source. Zero: half of what the documents allow an account in a region (performance data), so
// that consoles, pipelines and the applications' own management calls go on.
type Rates struct {
	Keys      float64 // 50 key reads are allowed; zero: 25
	Tags      float64 // 300 ListResourceTags; zero: 150
	Secrets   float64 // 40 other secret calls; zero: 20
	Instances float64 // 50 instance reads; zero: 25
}

// CollectConfig says how Collect works. The zero value is useful.
type CollectConfig struct {
	Rates Rates
	// Parallel is how many sources are read at once; zero: 8.
	Parallel int
	// Resume is what an earlier, unfinished Collect returned. Its complete places are kept as they are; of the others, versions and tags
	// that it has are not read again.
	Resume Inventory
	// Progress, when set, is called after each place with everything so far, one call at a time, so that it can be saved. Its error ends Collect.
	Progress func(Inventory) error
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Collect reads keys with versions, aliases and tags, secrets with versions, and instances from all sources at once. It makes no call that
// changes anything and reads no secret's value.
//
// What is denied or fails becomes a [Gap] of its place and the rest goes on. The error is not nil when ctx ends, when a Source is
// unusable or when Progress fails; the Inventory then holds what was read, to be given back as Resume.
func Collect(ctx context.Context, sources []Source, config CollectConfig) (Inventory, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Parallel < 0 {
		return Inventory{}, fmt.Errorf("plan: collect: Parallel is %d: %w", config.Parallel, kmsmigrate.ErrInvalid)
	}
	if config.Parallel == 0 {
		config.Parallel = 8
	}
	earlier := map[[2]string]Place{}
	for _, p := range config.Resume.Places {
		earlier[[2]string{p.Account, p.Region}] = p
	}
	asked := map[[2]string]bool{}
	for i, s := range sources {
		if s.Account == "" || s.Region == "" || s.Control == nil {
			return Inventory{}, fmt.Errorf("plan: collect: sources[%d] needs an account, a region and a control plane: %w", i, kmsmigrate.ErrInvalid)
		}
		at := [2]string{s.Account, s.Region}
		if asked[at] {
			return Inventory{}, fmt.Errorf("plan: collect: region %s of account %s stands twice: %w", at[1], at[0], kmsmigrate.ErrInvalid)
		}
		asked[at] = true
	}
	out := Inventory{Schema: InventorySchema, Taken: config.Now().UTC()}
	for at, p := range earlier {
		if p.Complete || !asked[at] {
			out.Places = append(out.Places, p)
		}
	}
	var mu sync.Mutex
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(config.Parallel)
	for _, s := range sources {
		was := earlier[[2]string{s.Account, s.Region}]
		if was.Complete {
			continue
		}
		group.Go(func() error {
			place := newCollector(s, was, config.Rates).collect(running)
			mu.Lock()
			defer mu.Unlock()
			out.Places = append(out.Places, place)
			out.sortPlaces()
			if config.Progress == nil || running.Err() != nil {
				return running.Err()
			}
			saved := out
			saved.Places = slices.Clone(out.Places)
			if err := config.Progress(saved); err != nil {
				return fmt.Errorf("plan: collect: progress: %w", err)
			}
			return nil
		})
	}
	err := group.Wait()
	out.sortPlaces()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return out, fmt.Errorf("plan: collect: %w", err)
	}
	return out, nil
}

// collector reads one place.
type collector struct {
	control                        resource.Inventory
	place                          Place
	versions                       map[string][]Version
	tags                           map[string]map[string]string
	stages                         map[string][]SecretVersion
	keyRate, tagRate, secRate, ins *rate.Limiter
}

func newCollector(s Source, was Place, r Rates) *collector {
	c := &collector{
		control: s.Control, place: Place{Account: s.Account, Region: s.Region},
		versions: map[string][]Version{}, tags: map[string]map[string]string{}, stages: map[string][]SecretVersion{},
		keyRate: limiter(r.Keys, 25), tagRate: limiter(r.Tags, 150), secRate: limiter(r.Secrets, 20), ins: limiter(r.Instances, 25),
	}
	for _, k := range was.Keys {
		if k.Versions != nil {
			c.versions[k.ID] = k.Versions
		}
		if k.Tags != nil {
			c.tags[k.ID] = k.Tags
		}
	}
	for _, s := range was.Secrets {
		if s.Versions != nil {
			c.stages[s.Name] = s.Versions
		}
	}
	return c
}

func limiter(perSecond, otherwise float64) *rate.Limiter {
	if perSecond <= 0 {
		perSecond = otherwise
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/5)))
}

func (c *collector) collect(ctx context.Context) Place {
	aliases := map[string][]string{}
	all, _ := every(ctx, c, "aliases", "", c.keyRate, 100, c.control.Aliases(ctx))
	for _, a := range all {
		aliases[a.KeyID] = append(aliases[a.KeyID], a.Name)
	}
	ids, _ := every(ctx, c, "keys", "", c.keyRate, 100, c.control.Keys(ctx, resource.KeyFilter{}))
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		c.key(ctx, id, aliases[id])
	}
	names, _ := every(ctx, c, "secrets", "", c.secRate, 100, c.control.Secrets(ctx))
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		c.secret(ctx, name)
	}
	instances, _ := every(ctx, c, "instances", "", c.ins, 100, c.control.Instances(ctx))
	for _, id := range instances {
		in, err := paced(ctx, c.ins, func() (resource.Instance, error) { return c.control.DescribeInstance(ctx, id) })
		if err != nil {
			c.gap("instance", id, err)
			continue
		}
		c.place.Instances = append(c.place.Instances, Instance{
			Region: c.place.Region, ID: in.ID, Name: in.Name, Status: in.Status, QPS: in.QPS, Keys: in.KeyQuota, Secrets: in.SecretQuota,
			VPC: in.VPC, Zones: in.Zones, Created: in.Created, Starts: in.Starts, Ends: in.Ends,
		})
	}
	if ctx.Err() != nil {
		c.gap("place", "", ctx.Err())
	}
	c.place.Complete = len(c.place.Gaps) == 0
	return c.place
}

func (c *collector) key(ctx context.Context, id string, aliases []string) {
	k, err := paced(ctx, c.keyRate, func() (resource.Key, error) { return c.control.DescribeKey(ctx, id) })
	if err != nil {
		c.gap("key", id, err)
		return
	}
	aliases = slices.Clone(aliases)
	slices.Sort(aliases)
	out := Key{
		Region: c.place.Region, Account: c.place.Account, ID: k.ID, ARN: k.ARN, Creator: k.Creator, State: string(k.State), Usage: k.Usage, Spec: k.Spec,
		Origin: k.Origin, ProtectionLevel: k.Protection, InstanceID: k.Instance, PrimaryVersion: k.PrimaryVersion, Description: k.Description,
		Rotation: k.Rotation.Mode, RotationInterval: k.Rotation.Interval, LastRotation: k.Rotation.Last, NextRotation: k.Rotation.Next,
		Created: k.Created, Deletes: k.DeleteAt, MaterialExpire: k.MaterialExpires, DeletionProtected: k.DeletionProtected, Aliases: aliases,
	}
	if known, ok := c.versions[id]; ok {
		out.Versions = known
	} else if got, ok := every(ctx, c, "key-versions", id, c.keyRate, 100, c.control.Versions(ctx, id)); ok {
		out.Versions = make([]Version, len(got)) // not nil: it was asked
		for i, v := range got {
			out.Versions[i] = Version{ID: v.ID, Created: v.Created}
		}
	}
	if known, ok := c.tags[id]; ok {
		out.Tags = known
	} else if tags, err := paced(ctx, c.tagRate, func() (map[string]string, error) { return c.control.KeyTags(ctx, id) }); err != nil {
		c.gap("key-tags", id, err)
	} else {
		out.Tags = tags
	}
	c.place.Keys = append(c.place.Keys, out)
}

func (c *collector) secret(ctx context.Context, name string) {
	s, err := paced(ctx, c.secRate, func() (resource.Secret, error) { return c.control.DescribeSecret(ctx, name) })
	if err != nil {
		c.gap("secret", name, err)
		return
	}
	out := Secret{
		Region: c.place.Region, Name: s.Name, ARN: s.ARN, Type: s.Type, InstanceID: s.Instance, EncryptionKeyID: s.EncryptionKeyID, Description: s.Description,
		Rotation: s.Rotation.Mode, RotationInterval: s.Rotation.Interval, LastRotation: s.Rotation.Last, NextRotation: s.Rotation.Next,
		Created: s.Created, Updated: s.Updated, Deletes: s.DeleteAt, Tags: s.Tags,
	}
	if known, ok := c.stages[name]; ok {
		out.Versions = known
	} else if got, ok := every(ctx, c, "secret-versions", name, c.secRate, 100, c.control.SecretVersions(ctx, name)); ok {
		out.Versions = make([]SecretVersion, len(got))
		for i, v := range got {
			out.Versions[i] = SecretVersion{ID: v.ID, Stages: v.Stages, Created: v.Created}
		}
		// The service sorts by nothing ("Migrate secrets across regions").
		slices.SortStableFunc(out.Versions, func(a, b SecretVersion) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	}
	c.place.Secrets = append(c.place.Secrets, out)
}

// paced makes one call when the rate allows it.
func paced[T any](ctx context.Context, pace *rate.Limiter, call func() (T, error)) (T, error) {
	if err := pace.Wait(ctx); err != nil {
		var none T
		return none, err
	}
	return call()
}

// every reads a list to its end, one call for each page, and reports whether it got there.
func every[T any](ctx context.Context, c *collector, what, id string, pace *rate.Limiter, page int, list iter.Seq2[T, error]) ([]T, bool) {
	if err := pace.Wait(ctx); err != nil {
		c.gap(what, id, err)
		return nil, false
	}
	var out []T
	for item, err := range list {
		if err != nil {
			c.gap(what, id, err)
			return out, false
		}
		out = append(out, item)
		if len(out)%page == 0 { // the next item costs a call
			if err := pace.Wait(ctx); err != nil {
				c.gap(what, id, err)
				return out, false
			}
		}
	}
	return out, true
}

func (c *collector) gap(what, id string, err error) {
	reason := "error"
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "would exceed context deadline"):
		reason = "stopped"
	case errors.Is(err, kmsmigrate.ErrDenied):
		reason = "denied"
	case errors.Is(err, kmsmigrate.ErrThrottled):
		reason = "throttled"
	case errors.Is(err, kmsmigrate.ErrUnavailable):
		reason = "unavailable"
	}
	c.place.Gaps = append(c.place.Gaps, Gap{What: what, ID: id, Reason: reason, Err: err.Error()})
}
