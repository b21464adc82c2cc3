package kmstest

import (
	"regexp"
	"strconv"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// largestPage is the upper bound of PageSize everywhere but in ListKeyVersions, where the documents say 101.
const (
	largestPage        = 100
	largestVersionPage = 101
)

type metadataAnswer struct {
	answer
	KeyMetadata model.Metadata
}

func createKey(c *rpcCall) (stamped, *model.Error) {
	in := model.NewKey{
		InstanceID: c.params.get("DKMSInstanceId"), Spec: c.params.get("KeySpec"), Usage: c.params.get("KeyUsage"),
		Origin: c.params.get("Origin"), Protection: c.params.get("ProtectionLevel"), Description: c.params.get("Description"),
	}
	var err *model.Error
	if in.Rotate, err = c.params.boolean("EnableAutomaticRotation"); err != nil {
		return nil, err
	}
	if in.Interval, err = interval(c.params, "RotationInterval"); err != nil {
		return nil, err
	}
	if in.Tags, err = tagsOf(c.params, "Tags"); err != nil {
		return nil, err
	}
	m, err := c.door.CreateKey(in)
	if err != nil {
		return nil, err
	}
	c.used(m.KeyId, "")
	return &metadataAnswer{KeyMetadata: m}, nil
}

var intervalForm = regexp.MustCompile(`^([0-9]{1,9})([dhms])$`)

// interval reads a RotationInterval: a number and d, h, m or s.
func interval(p params, name string) (time.Duration, *model.Error) {
	v := p.get(name)
	if v == "" {
		return 0, nil
	}
	m := intervalForm.FindStringSubmatch(v)
	if m == nil {
		return 0, model.InvalidParameter(name)
	}
	n, _ := strconv.Atoi(m[1]) // at most nine digits
	unit := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}[m[2]]
	if n == 0 || time.Duration(n) > 100*365*24*time.Hour/unit {
		return 0, model.InvalidParameter(name)
	}
	return time.Duration(n) * unit, nil
}

// tagsOf reads tags as the older operations take them: a JSON list of objects with TagKey and TagValue.
func tagsOf(p params, name string) (map[string]string, *model.Error) {
	var list []struct{ TagKey, TagValue string }
	if err := p.json(name, &list); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, t := range list {
		if t.TagKey == "" {
			return nil, model.InvalidParameter(name)
		}
		out[t.TagKey] = t.TagValue
	}
	return out, nil
}

func describeKey(c *rpcCall) (stamped, *model.Error) {
	m, err := c.door.DescribeKey(c.params.get("KeyId"))
	if err != nil {
		return nil, err
	}
	return &metadataAnswer{KeyMetadata: m}, nil
}

type keysAnswer struct {
	answer
	page
	Keys struct {
		Key []keyEntry
	}
}

type keyEntry struct{ KeyId, KeyArn string }

func listKeys(c *rpcCall) (stamped, *model.Error) {
	var filters []model.Filter
	if err := c.params.json("Filters", &filters); err != nil {
		return nil, err
	}
	all, err := c.door.ListKeys(filters)
	if err != nil {
		return nil, err
	}
	some, p, err := paged(c.params, all, largestPage)
	if err != nil {
		return nil, err
	}
	a := &keysAnswer{page: p}
	a.Keys.Key = make([]keyEntry, len(some))
	for i, m := range some {
		a.Keys.Key[i] = keyEntry{m.KeyId, m.Arn}
	}
	return a, nil
}

type versionsAnswer struct {
	answer
	page
	KeyVersions struct {
		KeyVersion []versionEntry
	}
}

type versionEntry struct{ KeyId, KeyVersionId, CreationDate string }

func listKeyVersions(c *rpcCall) (stamped, *model.Error) {
	all, err := c.door.KeyVersions(c.params.get("KeyId"))
	if err != nil {
		return nil, err
	}
	some, p, err := paged(c.params, all, largestVersionPage)
	if err != nil {
		return nil, err
	}
	a := &versionsAnswer{page: p}
	a.KeyVersions.KeyVersion = make([]versionEntry, len(some))
	for i, v := range some {
		a.KeyVersions.KeyVersion[i] = versionEntry{v.KeyID, v.VersionID, model.Stamp(v.Created)}
	}
	return a, nil
}

func enableKey(c *rpcCall) (stamped, *model.Error)  { return setEnabled(c, true) }
func disableKey(c *rpcCall) (stamped, *model.Error) { return setEnabled(c, false) }

func setEnabled(c *rpcCall, on bool) (stamped, *model.Error) {
	if err := c.door.SetEnabled(c.params.get("KeyId"), on); err != nil {
		return nil, err
	}
	return &answer{}, nil
}
