package model

import (
	"cmp"
	"slices"
	"time"
)

// InstanceInfo is what GetKmsInstance says. Nothing in it tells software from hardware: that shows in the ProtectionLevel of the keys.
type InstanceInfo struct {
	ID      string
	ARN     string
	Name    string
	Created time.Time
	Ends    time.Time
	QPS     int
	Keys    int
	Secrets string // a number, as a string
}

// Instances lists the region's instances, oldest first.
func (r *Region) Instances() []InstanceInfo {
	c := r.cloud
	c.rlock()
	defer c.mu.RUnlock()
	out := make([]InstanceInfo, 0, len(r.instances))
	for _, i := range r.instances {
		out = append(out, i.info())
	}
	slices.SortFunc(out, func(a, b InstanceInfo) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Instance finds one.
func (r *Region) Instance(id string) (InstanceInfo, *Error) {
	c := r.cloud
	c.rlock()
	defer c.mu.RUnlock()
	if id == "" {
		return InstanceInfo{}, MissingParameter("KmsInstanceId")
	}
	i := r.instances[id]
	if i == nil {
		return InstanceInfo{}, InstanceNotFound()
	}
	return i.info(), nil
}

func (i *Instance) info() InstanceInfo {
	// Keys and Secrets are what was bought, the number that can be created (API reference, GetKmsInstance), and not what is
	// there; the fake does not hold anyone to them.
	out := InstanceInfo{
		ID: i.ID, ARN: i.Region.arn("keystore/" + i.ID), Name: i.Name, Created: i.Created, Ends: i.Created.AddDate(1, 0, 0),
		QPS: 1000, Keys: 1000, Secrets: "100",
	}
	if i.Kind == Hardware {
		out.QPS = 2000
	}
	return out
}

// RegionIDs lists the regions that were opened.
func (c *Cloud) RegionIDs() []string {
	c.rlock()
	defer c.mu.RUnlock()
	out := make([]string, 0, len(c.regions))
	for id := range c.regions {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
