package model

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Metadata is KeyMetadata of DescribeKey and CreateKey: strings throughout, as the API has it.
type Metadata struct {
	KeyId                         string
	Arn                           string
	Creator                       string
	CreationDate                  string
	Description                   string
	KeyState                      string
	KeyUsage                      string
	KeySpec                       string
	Origin                        string
	MaterialExpireTime            string
	ProtectionLevel               string
	DKMSInstanceId                string
	PrimaryKeyVersion             string
	AutomaticRotation             string
	RotationInterval              string
	LastRotationDate              string
	NextRotationDate              string
	DeleteDate                    string
	DeletionProtection            string
	DeletionProtectionDescription string
}

// Stamp writes a time as the API does; the zero time is an empty string.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func (k *Key) metadata() Metadata {
	m := Metadata{
		KeyId: k.ID, Arn: k.ARN(), Creator: k.Creator, CreationDate: Stamp(k.Created), Description: k.Description,
		KeyState: string(k.State), KeyUsage: k.Usage, KeySpec: k.Spec, Origin: k.Origin, ProtectionLevel: k.Protection,
		MaterialExpireTime: Stamp(k.Import.Expires), AutomaticRotation: k.Rotation.Status, LastRotationDate: Stamp(k.Rotation.Last),
		DeleteDate: Stamp(k.Deletion.Date), DeletionProtection: "Disabled",
	}
	if k.Instance != nil {
		m.DKMSInstanceId = k.Instance.ID
	}
	if v := k.primary(); v != nil && k.Symmetric() {
		m.PrimaryKeyVersion = v.ID
	}
	if k.Rotation.Interval > 0 {
		m.RotationInterval = strconv.Itoa(int(k.Rotation.Interval/time.Second)) + "s"
	}
	if k.Rotation.Status == "Enabled" {
		m.NextRotationDate = Stamp(k.Rotation.Next)
	}
	if k.Deletion.Protected {
		m.DeletionProtection = "Enabled"
		m.DeletionProtectionDescription = k.Deletion.ProtectionDescription
	}
	return m
}

// DescribeKey works in every state.
func (d Door) DescribeKey(ref string) (Metadata, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.key(ref)
	if err != nil {
		return Metadata{}, err
	}
	return k.metadata(), nil
}

// Filter is one entry of the Filters parameter: the named property must be one of Values.
type Filter struct {
	Key    string
	Values []string
}

const maxFilters = 10

// ListKeys lists every key of the region that passes all filters, oldest first. Filters of the same key are alternatives.
func (d Door) ListKeys(filters []Filter) ([]Metadata, *Error) {
	wanted, err := mergeFilters(filters)
	if err != nil {
		return nil, err
	}
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	keys := make([]*Key, 0, len(d.Region.keys))
	for _, k := range d.Region.keys {
		if k.matches(wanted) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b *Key) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	out := make([]Metadata, len(keys))
	for i, k := range keys {
		out[i] = k.metadata()
	}
	return out, nil
}

func mergeFilters(filters []Filter) (map[string][]string, *Error) {
	if len(filters) > maxFilters {
		return nil, InvalidParameter("Filters")
	}
	wanted := map[string][]string{}
	for _, f := range filters {
		switch f.Key {
		case "KeyState", "KeySpec", "KeyUsage", "ProtectionLevel", "CreatorType", "DKMSInstanceId":
			wanted[f.Key] = append(wanted[f.Key], f.Values...)
		default:
			return nil, InvalidParameter("Filters")
		}
	}
	return wanted, nil
}

func (k *Key) matches(wanted map[string][]string) bool {
	for name, values := range wanted {
		if !slices.Contains(values, k.property(name)) {
			return false
		}
	}
	return true
}

func (k *Key) property(name string) string {
	switch name {
	case "KeyState":
		return string(k.State)
	case "KeySpec":
		return k.Spec
	case "KeyUsage":
		return k.Usage
	case "ProtectionLevel":
		return k.Protection
	case "CreatorType":
		if k.Service() {
			return "Service"
		}
		return "User"
	}
	if k.Instance != nil {
		return k.Instance.ID
	}
	return ""
}
