package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// The five regions: three stay and move into an instance, two leave, one of them across a border.
const (
	stays     = "cn-hangzhou"    // into a software instance
	staysHSM  = "cn-shanghai"    // into a hardware instance
	leaves    = "cn-beijing"     // to cn-hangzhou, within the country
	crosses   = "ap-southeast-1" // to cn-hangzhou, across a border
	staysAway = "cn-hongkong"    // into a software instance, outside of the mainland

	keysEach, secretsEach = 40, 20
)

// madeEstate makes the estate on a fake cloud, collects it through the control plane as yours would be, and returns a goal for it.
func madeEstate(ctx context.Context, stdout io.Writer) (plan.Inventory, plan.Goal, error) {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		return plan.Inventory{}, plan.Goal{}, err
	}
	defer func() { _ = cloud.Close() }()
	goal := plan.Goal{
		Schema: plan.GoalSchema, Now: time.Now().UTC().Truncate(24 * time.Hour), Keys: map[string]plan.KeyNote{}, Instances: map[string]plan.InstanceNote{},
		Terraform: true, DedicatedReaders: true,
	}
	var sources []plan.Source
	for _, id := range []string{stays, staysHSM, leaves, crosses, staysAway} {
		r, err := openRegion(ctx, cloud, id)
		if err != nil {
			return plan.Inventory{}, plan.Goal{}, fmt.Errorf("make %s: %w", id, err)
		}
		defer func() { _ = r.gateway.Close() }()
		if err := r.fill(&goal); err != nil {
			return plan.Inventory{}, plan.Goal{}, fmt.Errorf("make %s: %w", id, err)
		}
		sources = append(sources, plan.Source{Account: cloud.Account(), Region: id, Control: r.control})
	}
	// The real quotas are 50 calls a second and less; a fake on loopback need not be spared.
	quick := plan.Rates{Keys: 10_000, Tags: 10_000, Secrets: 10_000, Instances: 10_000}
	inventory, err := plan.Collect(ctx, sources, plan.CollectConfig{Rates: quick})
	if err != nil {
		return plan.Inventory{}, plan.Goal{}, err
	}
	keys, secrets := inventory.Counts()
	_, _ = fmt.Fprintf(stdout, "collected %d keys and %d secrets of %d regions through the control plane\n\n", keys, secrets, len(inventory.Places))
	return inventory, goal, nil
}

// region is a region that is being filled.
type region struct {
	ctx     context.Context
	cloud   *kmstest.Cloud
	region  *kmstest.Region
	gateway *alikms.Gateway
	control resource.ControlPlane

	keys, secrets      int
	software, hardware *kmstest.Instance
	default1           string // an enabled AES key outside of any instance
}

func openRegion(ctx context.Context, cloud *kmstest.Cloud, id string) (*region, error) {
	r, err := cloud.Region(id)
	if err != nil {
		return nil, err
	}
	gateway, err := alikms.NewGateway(r.GatewayConfig())
	if err != nil {
		return nil, err
	}
	out := &region{ctx: ctx, cloud: cloud, region: r, gateway: gateway, control: gateway.ControlPlane()}
	if out.software, err = r.CreateInstance(kmstest.InstanceSpec{Name: "software"}); err == nil {
		out.hardware, err = r.CreateInstance(kmstest.InstanceSpec{Name: "hardware", Hardware: true})
	}
	return out, err
}

// fill makes the region's cases, and then plain keys and secrets up to the round number.
func (r *region) fill(goal *plan.Goal) error {
	goal.Instances[r.software.ID] = plan.InstanceNote{Kind: plan.Software}
	goal.Instances[r.hardware.ID] = plan.InstanceNote{Kind: plan.Hardware}
	kind, instance := plan.Software, r.software
	if r.region.ID == staysHSM {
		kind, instance = plan.Hardware, r.hardware
	}
	to := r.region.ID
	if to == leaves || to == crosses {
		first, err := r.cloud.Region(stays)
		if err != nil {
			return err
		}
		to, instance = stays, first.Instances()[0]
	}
	goal.Moves = append(goal.Moves, plan.Move{From: r.region.ID, To: to, Target: plan.Target{Kind: kind, Instance: instance.ID, Image: "3.1.0", KeyQuota: 1000, SecQuota: 1000, Reachable: r.region.ID != crosses}})
	for _, c := range cases() {
		if err := r.key(c, goal); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for r.keys < keysEach-1 { // the last is the one of the secrets
		if err := r.key(recipe{name: "plain"}, goal); err != nil {
			return err
		}
	}
	return r.fillSecrets()
}
