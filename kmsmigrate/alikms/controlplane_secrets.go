package alikms

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

func (c controlPlane) Secrets(ctx context.Context) iter.Seq2[string, error] {
	return pages(func(page int) ([]string, int, error) {
		answer := kms.CreateListSecretsResponse()
		err := c.ask(ctx, "ListSecrets", "", parameters{}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.SecretList.Secret, func(s kms.Secret) string { return s.SecretName }), answer.TotalCount, err
	})
}

func (c controlPlane) DescribeSecret(ctx context.Context, name string) (resource.Secret, error) {
	s := kms.CreateDescribeSecretResponse()
	err := c.ask(ctx, "DescribeSecret", "", parameters{"SecretName": name, "FetchTags": "true"}, s, func() string { return s.SecretName })
	if err != nil {
		return resource.Secret{}, err
	}
	return resource.Secret{
		Name: s.SecretName, ARN: s.Arn, Type: s.SecretType, Description: s.Description, EncryptionKeyID: s.EncryptionKeyId, Instance: s.DKMSInstanceId,
		Rotation: resource.Rotation{
			Mode: s.AutomaticRotation, Interval: interval(s.RotationInterval), Last: timeOf(s.LastRotationDate), Next: timeOf(s.NextRotationDate),
		},
		ExtendedConfig: s.ExtendedConfig, Tags: tagsOf(s.Tags.Tag), Created: timeOf(s.CreateTime), Updated: timeOf(s.UpdateTime), DeleteAt: timeOf(s.PlannedDeleteTime),
	}, nil
}

func (c controlPlane) SecretVersions(ctx context.Context, name string) iter.Seq2[resource.SecretVersion, error] {
	return pages(func(page int) ([]resource.SecretVersion, int, error) {
		answer := kms.CreateListSecretVersionIdsResponse()
		err := c.ask(ctx, "ListSecretVersionIds", "", parameters{"SecretName": name, "IncludeDeprecated": "true"}.page(page), answer, func() string { return answer.RequestId })
		return collect(answer.VersionIds.VersionId, func(v kms.VersionId) resource.SecretVersion {
			return resource.SecretVersion{ID: v.VersionId, Stages: v.VersionStages.VersionStage, Created: timeOf(v.CreateTime)}
		}), answer.TotalCount, err
	})
}

func (c controlPlane) SecretValue(ctx context.Context, name, versionID string) (resource.SecretValue, error) {
	return c.gateway.GetSecretValue(ctx, name, versionID, "")
}

const maxSecret = 30720 // bytes of SecretData (API reference, CreateSecret)

// checkValue returns the SecretData and SecretDataType of a value.
func (c controlPlane) checkValue(op string, v resource.SecretValue) (data, kind string, err error) {
	data, kind = string(v.Data), "text"
	if v.Binary {
		kind = "binary"
	}
	switch {
	case len(v.Data) == 0:
		err = c.gateway.wrong(op, "", kmsmigrate.ErrInvalid, "the secret has no data")
	case !utf8.ValidString(data):
		err = c.gateway.wrong(op, "", kmsmigrate.ErrInvalid, "the data is not UTF-8: binary data is given as its base64 text")
	case len(data) > maxSecret:
		err = c.gateway.wrong(op, "", kmsmigrate.ErrInvalid, "the secret is longer than 30,720 bytes")
	case v.VersionID == "":
		err = c.gateway.wrong(op, "", kmsmigrate.ErrInvalid, "the version of the secret has no id")
	}
	return data, kind, err
}

func (c controlPlane) PutSecretValue(ctx context.Context, name string, value resource.SecretValue) error {
	data, kind, err := c.checkValue("PutSecretValue", value)
	if err != nil {
		return err
	}
	p := parameters{"SecretName": name, "VersionId": value.VersionID, "SecretData": data, "SecretDataType": kind}
	if len(value.Stages) > 0 {
		stages, err := json.Marshal(value.Stages)
		if err != nil {
			return c.gateway.wrong("PutSecretValue", "", kmsmigrate.ErrInvalid, "the stages cannot be written as JSON")
		}
		p["VersionStages"] = string(stages)
	}
	answer := kms.CreatePutSecretValueResponse()
	// The same version and value again change nothing, so this may be repeated.
	return c.gateway.rpc(ctx, rpc{
		action: "PutSecretValue", parameters: p, answer: answer,
		secrets: func() secrets { return secrets{data} },
		check:   func() string { return missing("VersionId", answer.VersionId) },
	})
}

// splitWords yields the words of a list with commas or white space between.
func splitWords(text string) iter.Seq[string] {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}
