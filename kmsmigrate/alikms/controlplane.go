package alikms

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// ControlPlane returns the keys, secrets and instances of the gateway's region. Only a shared gateway has them: the RPC
// face of an instance answers ErrInvalid (UnsupportedOperation).
//
// A change whose answer is lost may have been made. What sets values (ProtectKey, RotateEvery, TagKey, PutSecretValue) is then
// simply repeated. EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion, CreateAlias, UpdateAlias, DeleteAlias,
// CreateSecret and MoveSecretStage look first, with DescribeKey, GetSecretValue or ListSecretVersionIds, and are repeated where the
// change is not there: none of them fails because it was made already by the attempt before. CreateKey alone is not repeated: when it
// fails with ErrUnavailable, there may be a key that nobody knows of, which its description and tags tell.
func (g *Gateway) ControlPlane() resource.ControlPlane { return controlPlane{g} }

type controlPlane struct{ gateway *Gateway }

var _ resource.ControlPlane = controlPlane{}

// ask makes a call that changes nothing. field is one that a right answer has.
func (c controlPlane) ask(ctx context.Context, action, key string, p parameters, answer responses.AcsResponse, field func() string) error {
	return c.gateway.rpc(ctx, rpc{action: action, key: key, parameters: p, answer: answer,
		check: func() string { return missing("the field that it must have", field()) }})
}

// order makes a call that can be repeated at will: it sets values, and sets the same ones again.
func (c controlPlane) order(ctx context.Context, action, key string, p parameters) error {
	answer := kms.CreateEnableKeyResponse() // the answer to all of them: a RequestId
	return c.ask(ctx, action, key, p, answer, func() string { return answer.RequestId })
}

// pages yields the items of page after page, until total items have come or a page is empty.
func pages[T any](fetch func(page int) (items []T, total int, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for page, seen := 1, 0; ; page++ {
			items, total, err := fetch(page)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if seen += len(items); len(items) == 0 || seen >= total {
				return
			}
		}
	}
}

func (c controlPlane) Keys(ctx context.Context, filter resource.KeyFilter) iter.Seq2[string, error] {
	filters := filterJSON(filter)
	return pages(func(page int) ([]string, int, error) {
		answer := kms.CreateListKeysResponse()
		err := c.ask(ctx, "ListKeys", "", parameters{"Filters": filters}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.Keys.Key, func(k kms.Key) string { return k.KeyId }), answer.TotalCount, err
	})
}

func filterJSON(f resource.KeyFilter) string {
	type condition struct {
		Key    string
		Values []string
	}
	var conditions []condition
	add := func(name string, values []string) {
		if len(values) > 0 {
			conditions = append(conditions, condition{name, values})
		}
	}
	add("KeyState", collect(f.States, func(s resource.KeyState) string { return string(s) }))
	add("KeySpec", f.Specs)
	add("KeyUsage", f.Usages)
	add("ProtectionLevel", f.Protections)
	add("CreatorType", f.Creators)
	if conditions == nil {
		return ""
	}
	text, err := json.Marshal(conditions)
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

func (c controlPlane) DescribeKey(ctx context.Context, key string) (resource.Key, error) {
	answer := kms.CreateDescribeKeyResponse()
	err := c.ask(ctx, "DescribeKey", shownKey(key), parameters{"KeyId": key}, answer, func() string { return answer.KeyMetadata.KeyId })
	return keyOf(answer.KeyMetadata), err
}

func keyOf(m kms.KeyMetadata) resource.Key {
	return resource.Key{
		ID: m.KeyId, ARN: m.Arn, Creator: m.Creator, Description: m.Description, State: resource.KeyState(m.KeyState), Spec: m.KeySpec,
		Usage: m.KeyUsage, Origin: m.Origin, Protection: m.ProtectionLevel, Instance: m.DKMSInstanceId, PrimaryVersion: m.PrimaryKeyVersion,
		Rotation: resource.Rotation{
			Mode: m.AutomaticRotation, Interval: interval(m.RotationInterval), Last: timeOf(m.LastRotationDate), Next: timeOf(m.NextRotationDate),
		},
		DeletionProtected: m.DeletionProtection == "Enabled", ProtectedBecause: m.DeletionProtectionDescription,
		Created: timeOf(m.CreationDate), DeleteAt: timeOf(m.DeleteDate), MaterialExpires: timeOf(m.MaterialExpireTime),
	}
}

func (c controlPlane) Versions(ctx context.Context, keyID string) iter.Seq2[resource.Version, error] {
	return pages(func(page int) ([]resource.Version, int, error) {
		answer := kms.CreateListKeyVersionsResponse()
		err := c.ask(ctx, "ListKeyVersions", keyID, parameters{"KeyId": keyID}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.KeyVersions.KeyVersion, func(v kms.KeyVersion) resource.Version {
			return resource.Version{ID: v.KeyVersionId, KeyID: v.KeyId, Created: timeOf(v.CreationDate)}
		}), answer.TotalCount, err
	})
}

func (c controlPlane) Aliases(ctx context.Context) iter.Seq2[resource.Alias, error] {
	return pages(func(page int) ([]resource.Alias, int, error) {
		answer := kms.CreateListAliasesResponse()
		err := c.ask(ctx, "ListAliases", "", parameters{}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.Aliases.Alias, aliasOf), answer.TotalCount, err
	})
}

func (c controlPlane) AliasesOf(ctx context.Context, keyID string) iter.Seq2[resource.Alias, error] {
	return pages(func(page int) ([]resource.Alias, int, error) {
		answer := kms.CreateListAliasesByKeyIdResponse()
		err := c.ask(ctx, "ListAliasesByKeyId", keyID, parameters{"KeyId": keyID}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.Aliases.Alias, aliasOf), answer.TotalCount, err
	})
}

func aliasOf(a kms.Alias) resource.Alias {
	return resource.Alias{Name: a.AliasName, ARN: a.AliasArn, KeyID: a.KeyId}
}

func (c controlPlane) KeyTags(ctx context.Context, keyID string) (map[string]string, error) {
	answer := kms.CreateListResourceTagsResponse()
	err := c.ask(ctx, "ListResourceTags", keyID, parameters{"KeyId": keyID}, answer, func() string { return answer.RequestId })
	if err != nil {
		return nil, err
	}
	return tagsOf(answer.Tags.Tag), nil
}

func tagsOf(list []kms.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		tags[tag.TagKey] = tag.TagValue
	}
	return tags
}

func (c controlPlane) PublicKey(ctx context.Context, keyID, versionID string) ([]byte, error) {
	key, err := c.gateway.GetPublicKey(ctx, keyID, versionID)
	return key.PEM, err
}

func (c controlPlane) Instances(ctx context.Context) iter.Seq2[string, error] {
	return pages(func(page int) ([]string, int, error) {
		answer := kms.CreateListKmsInstancesResponse()
		err := c.ask(ctx, "ListKmsInstances", "", parameters{}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.KmsInstances.KmsInstance, func(i kms.KmsInstance) string { return i.KmsInstanceId }), int(answer.TotalCount), err
	})
}

func (c controlPlane) DescribeInstance(ctx context.Context, id string) (resource.Instance, error) {
	answer := kms.CreateGetKmsInstanceResponse()
	err := c.ask(ctx, "GetKmsInstance", "", parameters{"KmsInstanceId": id}, answer, func() string { return answer.RequestId })
	if err != nil {
		return resource.Instance{}, err
	}
	i := answer.KmsInstance
	secretQuota, _ := strconv.Atoi(i.SecretNum) // the service sends this one number as a string
	return resource.Instance{
		ID: cmp.Or(i.InstanceId, i.KmsInstanceId, id), ARN: i.KmsInstanceArn, Name: i.InstanceName, Status: i.Status, QPS: int(i.Spec), KeyQuota: int(i.KeyNum),
		SecretQuota: secretQuota, VPCQuota: int(i.VpcNum), VPC: i.VpcId, VSwitches: listOf(i.VswitchIds), Zones: listOf(i.ZoneIds),
		Bound: collect(i.BindVpcs.BindVpc, func(v kms.BindVpc) resource.VPC {
			return resource.VPC{ID: v.VpcId, Region: v.RegionId, Owner: v.VpcOwnerId, VSwitch: v.VSwitchId}
		}),
		Created: timeOf(i.CreateTime), Starts: timeOf(i.StartDate), Ends: timeOf(i.EndDate), CAPEM: i.CaCertificateChainPem,
	}, nil
}

func (c controlPlane) CreateKey(ctx context.Context, spec resource.KeySpec) (resource.Key, error) {
	p := parameters{
		"KeySpec": spec.Spec, "KeyUsage": spec.Usage, "Origin": spec.Origin, "ProtectionLevel": spec.Protection,
		"DKMSInstanceId": spec.Instance, "Description": spec.Description, "Tags": tagJSON(spec.Tags),
	}
	if spec.RotationInterval > 0 {
		p["EnableAutomaticRotation"], p["RotationInterval"] = "true", seconds(spec.RotationInterval)
	}
	answer := kms.CreateCreateKeyResponse()
	// No token makes two such calls one, and nothing tells a key that was just made from others, so this is repeated only where
	// the service surely made none.
	err := c.gateway.rpc(ctx, rpc{action: "CreateKey", parameters: p, answer: answer, once: true,
		check: func() string { return missing("KeyMetadata.KeyId", answer.KeyMetadata.KeyId) }})
	return keyOf(answer.KeyMetadata), err
}

func (c controlPlane) ProtectKey(ctx context.Context, arn string, on bool, because string) error {
	return c.order(ctx, "SetDeletionProtection", bareKeyID(arn), parameters{
		"ProtectedResourceArn": arn, "EnableDeletionProtection": strconv.FormatBool(on), "DeletionProtectionDescription": because,
	})
}

func (c controlPlane) RotateEvery(ctx context.Context, keyID string, interval time.Duration) error {
	p := parameters{"KeyId": keyID, "EnableAutomaticRotation": strconv.FormatBool(interval > 0)}
	if interval > 0 {
		p["RotationInterval"] = seconds(interval)
	}
	return c.order(ctx, "UpdateRotationPolicy", keyID, p)
}

func (c controlPlane) TagKey(ctx context.Context, keyID string, tags map[string]string) error {
	return c.order(ctx, "TagResource", keyID, parameters{"KeyId": keyID, "Tags": tagJSON(tags)})
}

// tagJSON is the Tags parameter: a JSON array of objects.
func tagJSON(tags map[string]string) string {
	if len(tags) == 0 {
		return ""
	}
	type tag struct{ TagKey, TagValue string }
	list := make([]tag, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag{name, tags[name]})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// interval reads a RotationInterval, which answers give in seconds: 31536000s.
func interval(text string) time.Duration {
	if len(text) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	if err != nil || n < 0 || unit == 0 || n > int64(200*365*24*time.Hour/unit) {
		return 0
	}
	return time.Duration(n) * unit
}

// timeOf reads the times of answers, which are ISO 8601 in UTC, with or without seconds.
func timeOf(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// listOf reads a list that an answer holds as text: a JSON array, or words with commas between.
func listOf(text string) []string {
	var list []string
	if json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	for word := range splitWords(text) {
		list = append(list, word)
	}
	return list
}

func collect[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, item := range in {
		out = append(out, f(item))
	}
	return out
}
