package kmstest

import (
	"encoding/json"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type secretAnswer struct {
	answer
	SecretName        string
	Arn               string `json:",omitempty" xml:",omitempty"`
	VersionId         string `json:",omitempty" xml:",omitempty"`
	SecretType        string `json:",omitempty" xml:",omitempty"`
	AutomaticRotation string `json:",omitempty" xml:",omitempty"`
	ExtendedConfig    string `json:",omitempty" xml:",omitempty"`
	DKMSInstanceId    string `json:",omitempty" xml:",omitempty"`
	PlannedDeleteTime string `json:",omitempty" xml:",omitempty"`
}

func createSecret(c *rpcCall) (stamped, *model.Error) {
	in := model.NewSecret{
		Name: c.params.get("SecretName"), Type: c.params.get("SecretType"), VersionID: c.params.get("VersionId"),
		Data: c.params.get("SecretData"), DataType: c.params.get("SecretDataType"), KeyRef: c.params.get("EncryptionKeyId"),
		InstanceID: c.params.get("DKMSInstanceId"), Description: c.params.get("Description"), Extended: c.params.get("ExtendedConfig"),
	}
	c.plaintextIn(len(in.Data))
	rotate, err := c.params.boolean("EnableAutomaticRotation")
	if err != nil {
		return nil, err
	}
	if rotate && (in.Type == "" || in.Type == "Generic") {
		return nil, model.Unsupported() // only managed secrets rotate by themselves
	}
	if in.Tags, err = tagsOf(c.params, "Tags"); err != nil {
		return nil, err
	}
	var extended any
	if err := c.params.json("ExtendedConfig", &extended); err != nil {
		return nil, err
	}
	s, err := c.door.CreateSecret(in)
	if err != nil {
		return nil, err
	}
	return &secretAnswer{SecretName: s.Name, Arn: s.ARN, VersionId: s.CurrentID, SecretType: s.Type, AutomaticRotation: rotationOf(s),
		ExtendedConfig: s.Extended, DKMSInstanceId: s.InstanceID}, nil
}

// rotationOf: a generic secret has no rotation to be had.
func rotationOf(s model.SecretInfo) string {
	if s.Type == "Generic" {
		return "Invalid"
	}
	return "Disabled"
}

type stages struct{ VersionStage []string }

type putSecretAnswer struct {
	answer
	SecretName    string
	VersionId     string
	VersionStages stages
}

func putSecretValue(c *rpcCall) (stamped, *model.Error) {
	var wanted []string
	if err := c.params.json("VersionStages", &wanted); err != nil {
		return nil, err
	}
	name := c.params.get("SecretName")
	c.plaintextIn(len(c.params.get("SecretData")))
	v, err := c.door.PutSecretValue(name, c.params.get("VersionId"), c.params.get("SecretData"), c.params.get("SecretDataType"), wanted)
	if err != nil {
		return nil, err
	}
	return &putSecretAnswer{SecretName: name, VersionId: v.ID, VersionStages: stages{v.Stages}}, nil
}

type secretValueAnswer struct {
	answer
	SecretName        string
	SecretType        string
	SecretData        string
	SecretDataType    string
	VersionId         string
	VersionStages     stages
	CreateTime        string
	AutomaticRotation string
	ExtendedConfig    string `json:",omitempty" xml:",omitempty"`
}

func getSecretValue(c *rpcCall) (stamped, *model.Error) {
	extended, err := c.params.boolean("FetchExtendedConfig")
	if err != nil {
		return nil, err
	}
	s, v, err := c.door.SecretValue(c.params.get("SecretName"), c.params.get("VersionId"), c.params.get("VersionStage"))
	if err != nil {
		return nil, err
	}
	c.used(s.KeyID, "")
	c.plaintextOut(len(v.Data))
	a := &secretValueAnswer{SecretName: s.Name, SecretType: s.Type, SecretData: v.Data, SecretDataType: v.DataType, VersionId: v.ID,
		VersionStages: stages{v.Stages}, CreateTime: model.Stamp(v.Created), AutomaticRotation: rotationOf(s)}
	if extended {
		a.ExtendedConfig = s.Extended
	}
	return a, nil
}

type secretVersionsAnswer struct {
	answer
	page
	SecretName string
	VersionIds struct{ VersionId []secretVersionEntry }
}

type secretVersionEntry struct {
	VersionId     string
	CreateTime    string
	VersionStages stages
}

func listSecretVersionIDs(c *rpcCall) (stamped, *model.Error) {
	deprecated, err := c.params.boolean("IncludeDeprecated")
	if err != nil {
		return nil, err
	}
	name := c.params.get("SecretName")
	all, err := c.door.SecretVersions(name, deprecated)
	if err != nil {
		return nil, err
	}
	some, p, err := paged(c.params, all, largestPage)
	if err != nil {
		return nil, err
	}
	a := &secretVersionsAnswer{page: p, SecretName: name}
	a.VersionIds.VersionId = make([]secretVersionEntry, len(some))
	for i, v := range some {
		a.VersionIds.VersionId[i] = secretVersionEntry{v.ID, model.Stamp(v.Created), stages{v.Stages}}
	}
	return a, nil
}

func updateSecretVersionStage(c *rpcCall) (stamped, *model.Error) {
	name := c.params.get("SecretName")
	if err := c.door.MoveStage(name, c.params.get("VersionStage"), c.params.get("RemoveFromVersion"), c.params.get("MoveToVersion")); err != nil {
		return nil, err
	}
	return &secretAnswer{SecretName: name}, nil
}

type secretTags struct{ Tag []secretTag }

type secretTag struct{ TagKey, TagValue string }

func tagsFor(s model.SecretInfo, fetch bool) secretTags {
	out := secretTags{Tag: []secretTag{}}
	if fetch {
		for k, v := range s.Tags {
			out.Tag = append(out.Tag, secretTag{k, v})
		}
	}
	return out
}

type describeSecretAnswer struct {
	answer
	SecretName        string
	Arn               string
	SecretType        string
	Description       string
	EncryptionKeyId   string
	DKMSInstanceId    string
	ExtendedConfig    string
	AutomaticRotation string
	CreateTime        string
	UpdateTime        string
	PlannedDeleteTime string
	Tags              secretTags
}

func describeSecret(c *rpcCall) (stamped, *model.Error) {
	fetch, err := c.params.boolean("FetchTags")
	if err != nil {
		return nil, err
	}
	s, err := c.door.DescribeSecret(c.params.get("SecretName"))
	if err != nil {
		return nil, err
	}
	return &describeSecretAnswer{SecretName: s.Name, Arn: s.ARN, SecretType: s.Type, Description: s.Description, EncryptionKeyId: s.KeyID,
		DKMSInstanceId: s.InstanceID, ExtendedConfig: s.Extended, AutomaticRotation: rotationOf(s), CreateTime: model.Stamp(s.Created),
		UpdateTime: model.Stamp(s.Updated), PlannedDeleteTime: model.Stamp(s.PlannedDelete), Tags: tagsFor(s, fetch)}, nil
}

type secretsAnswer struct {
	answer
	page
	SecretList struct{ Secret []secretEntry }
}

type secretEntry struct {
	SecretName        string
	SecretType        string
	CreateTime        string
	UpdateTime        string
	PlannedDeleteTime string
	Tags              secretTags
}

func listSecrets(c *rpcCall) (stamped, *model.Error) {
	fetch, err := c.params.boolean("FetchTags")
	if err != nil {
		return nil, err
	}
	var filters []model.Filter
	if err := c.params.json("Filters", &filters); err != nil {
		return nil, err
	}
	all, err := c.door.Secrets(filters)
	if err != nil {
		return nil, err
	}
	some, p, err := paged(c.params, all, largestPage)
	if err != nil {
		return nil, err
	}
	a := &secretsAnswer{page: p}
	a.SecretList.Secret = make([]secretEntry, len(some))
	for i, s := range some {
		a.SecretList.Secret[i] = secretEntry{s.Name, s.Type, model.Stamp(s.Created), model.Stamp(s.Updated), model.Stamp(s.PlannedDelete), tagsFor(s, fetch)}
	}
	return a, nil
}

func deleteSecret(c *rpcCall) (stamped, *model.Error) {
	force, err := c.params.boolean("ForceDeleteWithoutRecovery")
	if err != nil {
		return nil, err
	}
	days, err := c.params.integer("RecoveryWindowInDays", 0, 1000, model.DefaultRecovery)
	if err != nil {
		return nil, err
	}
	s, err := c.door.DeleteSecret(c.params.get("SecretName"), force, days)
	if err != nil {
		return nil, err
	}
	return &secretAnswer{SecretName: s.Name, PlannedDeleteTime: model.Stamp(s.PlannedDelete)}, nil
}

func restoreSecret(c *rpcCall) (stamped, *model.Error) {
	s, err := c.door.RestoreSecret(c.params.get("SecretName"))
	if err != nil {
		return nil, err
	}
	return &secretAnswer{SecretName: s.Name}, nil
}

func updateSecret(c *rpcCall) (stamped, *model.Error) {
	extended := ""
	if custom := c.params.get("ExtendedConfig.CustomData"); custom != "" {
		var data any
		if err := c.params.json("ExtendedConfig.CustomData", &data); err != nil {
			return nil, err
		}
		text, jerr := json.Marshal(map[string]any{"CustomData": data})
		if jerr != nil {
			return nil, model.InvalidParameter("ExtendedConfig.CustomData")
		}
		extended = string(text)
	}
	s, err := c.door.UpdateSecret(c.params.get("SecretName"), c.params.get("Description"), extended)
	if err != nil {
		return nil, err
	}
	return &secretAnswer{SecretName: s.Name}, nil
}

// managedOnly answers operations that exist for managed secrets, whose rotation the fake does not play.
func managedOnly(c *rpcCall) (stamped, *model.Error) {
	if _, err := c.door.DescribeSecret(c.params.get("SecretName")); err != nil {
		return nil, err
	}
	return nil, model.Unsupported()
}
