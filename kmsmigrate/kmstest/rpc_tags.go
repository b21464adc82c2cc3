package kmstest

import (
	"strconv"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// taggable reads the resource of the older operations: KeyId or SecretName.
func taggable(c *rpcCall) []model.Taggable {
	return []model.Taggable{{KeyRef: c.params.get("KeyId"), SecretName: c.params.get("SecretName")}}
}

func tagResource(c *rpcCall) (stamped, *model.Error) {
	if _, err := c.params.need("Tags"); err != nil {
		return nil, err
	}
	tags, err := tagsOf(c.params, "Tags")
	if err != nil {
		return nil, err
	}
	return done(c.door.SetTags(taggable(c), tags))
}

func untagResource(c *rpcCall) (stamped, *model.Error) {
	if _, err := c.params.need("TagKeys"); err != nil {
		return nil, err
	}
	var names []string
	if err := c.params.json("TagKeys", &names); err != nil {
		return nil, err
	}
	return done(c.door.RemoveTags(taggable(c), names, false))
}

type tagEntry struct{ KeyId, TagKey, TagValue string }

type keyTagsAnswer struct {
	answer
	Tags struct{ Tag []tagEntry }
}

func listResourceTags(c *rpcCall) (stamped, *model.Error) {
	m, err := c.door.DescribeKey(c.params.get("KeyId"))
	if err != nil {
		return nil, err
	}
	a := &keyTagsAnswer{}
	a.Tags.Tag = []tagEntry{}
	for _, t := range c.door.Tags("key", []string{m.KeyId}, nil) {
		a.Tags.Tag = append(a.Tags.Tag, tagEntry{t.Resource, t.Key, t.Value})
	}
	return a, nil
}

// repeated reads Name.1, Name.2 and so on.
func (p params) repeated(name string) []string {
	var out []string
	for i := 1; ; i++ {
		v, ok := p.lookup(name + "." + strconv.Itoa(i))
		if !ok {
			return out
		}
		out = append(out, v)
	}
}

// tagList reads Tag.1.Key, Tag.1.Value and so on.
func (p params) tagList() map[string]string {
	out := map[string]string{}
	for i := 1; ; i++ {
		prefix := "Tag." + strconv.Itoa(i)
		key, ok := p.lookup(prefix + ".Key")
		if !ok {
			return out
		}
		out[key] = p.get(prefix + ".Value")
	}
}

// resources reads ResourceType and the list of resources of the newer operations.
func (c *rpcCall) resources(must bool) (kind string, ids []string, refs []model.Taggable, err *model.Error) {
	if kind, err = c.params.need("ResourceType"); err != nil {
		return "", nil, nil, err
	}
	if kind != "key" && kind != "secret" {
		return "", nil, nil, model.InvalidParameter("ResourceType")
	}
	ids = c.params.repeated("ResourceId")
	if must && len(ids) == 0 {
		return "", nil, nil, model.MissingParameter("ResourceId")
	}
	for _, id := range ids {
		if kind == "key" {
			refs = append(refs, model.Taggable{KeyRef: id})
		} else {
			refs = append(refs, model.Taggable{SecretName: id})
		}
	}
	return kind, ids, refs, nil
}

func tagResources(c *rpcCall) (stamped, *model.Error) {
	_, _, refs, err := c.resources(true)
	if err != nil {
		return nil, err
	}
	return done(c.door.SetTags(refs, c.params.tagList()))
}

func untagResources(c *rpcCall) (stamped, *model.Error) {
	_, _, refs, err := c.resources(true)
	if err != nil {
		return nil, err
	}
	all, err := c.params.boolean("All")
	if err != nil {
		return nil, err
	}
	names := c.params.repeated("TagKey")
	if !all && len(names) == 0 {
		return nil, model.MissingParameter("TagKey")
	}
	return done(c.door.RemoveTags(refs, names, all))
}

type tagResourceEntry struct{ ResourceType, ResourceId, TagKey, TagValue string }

type tagResourcesAnswer struct {
	answer
	NextToken    string
	TagResources struct{ TagResource []tagResourceEntry }
}

// tagPage is how many tags one answer of listTagResources holds.
const tagPage = 20

func listTagResources(c *rpcCall) (stamped, *model.Error) {
	kind, ids, _, err := c.resources(false)
	if err != nil {
		return nil, err
	}
	start := 0
	if token := c.params.get("NextToken"); token != "" {
		n, cerr := strconv.Atoi(token)
		if cerr != nil || n < 0 {
			return nil, model.InvalidParameter("NextToken")
		}
		start = n
	}
	all := c.door.Tags(kind, ids, c.params.tagList())
	start = min(start, len(all))
	end := min(start+tagPage, len(all))
	a := &tagResourcesAnswer{}
	a.TagResources.TagResource = []tagResourceEntry{}
	for _, t := range all[start:end] {
		a.TagResources.TagResource = append(a.TagResources.TagResource, tagResourceEntry{t.Type, t.Resource, t.Key, t.Value})
	}
	if end < len(all) {
		a.NextToken = strconv.Itoa(end)
	}
	return a, nil
}
