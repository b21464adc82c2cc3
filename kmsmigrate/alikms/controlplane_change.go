package alikms

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// changed is one change that the service may refuse to make twice.
type changed struct {
	action, key string
	parameters  parameters
	answer      responses.AcsResponse
	field       func() string // one that a right answer has
	hide        secrets
	// there looks whether the change has been made.
	there func(ctx context.Context) (bool, error)
}

// change makes a change that a repetition would find already made, and so be refused: a deletion that is no longer
// scheduled cannot be cancelled. When an answer is lost, nobody knows whether the change was made, so it looks, and
// repeats the call only where it was not. Where looking fails too, the first error stands.
func (c controlPlane) change(ctx context.Context, w changed) error {
	for attempt, lost := 1, error(nil); ; attempt++ {
		err := c.gateway.rpc(ctx, rpc{action: w.action, key: w.key, parameters: w.parameters, answer: w.answer, once: true,
			secrets: func() secrets { return w.hide },
			check:   func() string { return missing("the field that it must have", w.field()) }})
		if err == nil {
			return nil
		}
		unclear := retryable(err) && !errors.Is(err, kmsmigrate.ErrThrottled) // what was throttled was not carried out
		if !unclear && lost == nil {
			return err
		}
		there, look := w.there(ctx)
		switch {
		case look == nil && there:
			return nil
		case look != nil || !unclear || attempt >= c.gateway.limits.Attempts:
			return err
		case !pause(ctx, time.Now().Add(c.gateway.limits.Call), min(firstPause<<(attempt-1), mostPause)):
			return err
		}
		lost = err
	}
}

// move is change for the operations whose answer is a RequestId.
func (c controlPlane) move(ctx context.Context, action, key string, p parameters, there func(ctx context.Context) (bool, error)) error {
	answer := kms.CreateEnableKeyResponse()
	return c.change(ctx, changed{action: action, key: key, parameters: p, answer: answer, field: func() string { return answer.RequestId }, there: there})
}

// state looks whether the key is as it should be.
func (c controlPlane) state(keyID string, is func(resource.Key) bool) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		key, err := c.DescribeKey(ctx, keyID)
		return err == nil && is(key), err
	}
}

func (c controlPlane) EnableKey(ctx context.Context, keyID string) error {
	return c.move(ctx, "EnableKey", keyID, parameters{"KeyId": keyID}, c.state(keyID, func(k resource.Key) bool { return k.State == resource.Enabled }))
}

func (c controlPlane) DisableKey(ctx context.Context, keyID string) error {
	return c.move(ctx, "DisableKey", keyID, parameters{"KeyId": keyID}, c.state(keyID, func(k resource.Key) bool { return k.State == resource.Disabled }))
}

func (c controlPlane) ScheduleKeyDeletion(ctx context.Context, keyID string, days int) error {
	if days < 7 || days > 366 {
		return c.gateway.wrong("ScheduleKeyDeletion", keyID, kmsmigrate.ErrInvalid, "the window must be 7 to 366 days")
	}
	begun := time.Now()
	return c.move(ctx, "ScheduleKeyDeletion", keyID, parameters{"KeyId": keyID, "PendingWindowInDays": strconv.Itoa(days)},
		c.state(keyID, func(k resource.Key) bool {
			// One that comes sooner was scheduled by somebody else. The service may cut off a part of a day, and clocks differ.
			const almost = 36 * time.Hour
			return k.State == resource.PendingDeletion && k.DeleteAt.Sub(begun) > time.Duration(days)*24*time.Hour-almost
		}))
}

func (c controlPlane) CancelKeyDeletion(ctx context.Context, keyID string) error {
	return c.move(ctx, "CancelKeyDeletion", keyID, parameters{"KeyId": keyID},
		c.state(keyID, func(k resource.Key) bool { return k.State != resource.PendingDeletion }))
}

func (c controlPlane) CreateAlias(ctx context.Context, name, keyID string) error {
	return c.move(ctx, "CreateAlias", keyID, parameters{"AliasName": name, "KeyId": keyID}, c.names(name, keyID))
}

func (c controlPlane) UpdateAlias(ctx context.Context, name, keyID string) error {
	return c.move(ctx, "UpdateAlias", keyID, parameters{"AliasName": name, "KeyId": keyID}, c.names(name, keyID))
}

// names looks whether an alias is of a key.
func (c controlPlane) names(alias, keyID string) func(context.Context) (bool, error) {
	look := c.state(alias, func(k resource.Key) bool { return k.ID == bareKeyID(keyID) })
	return func(ctx context.Context) (bool, error) {
		is, err := look(ctx)
		if errors.Is(err, kmsmigrate.ErrNoKey) {
			return false, nil
		}
		return is, err
	}
}

func (c controlPlane) DeleteAlias(ctx context.Context, name string) error {
	return c.move(ctx, "DeleteAlias", "", parameters{"AliasName": name}, func(ctx context.Context) (bool, error) {
		_, err := c.DescribeKey(ctx, name)
		if errors.Is(err, kmsmigrate.ErrNoKey) {
			return true, nil
		}
		return false, err
	})
}

func (c controlPlane) CreateSecret(ctx context.Context, spec resource.SecretSpec) error {
	data, kind, err := c.checkValue("CreateSecret", spec.Value)
	if err != nil {
		return err
	}
	answer := kms.CreateCreateSecretResponse()
	return c.change(ctx, changed{
		action: "CreateSecret", answer: answer, field: func() string { return answer.SecretName }, hide: secrets{data},
		parameters: parameters{
			"SecretName": spec.Name, "Description": spec.Description, "EncryptionKeyId": spec.EncryptionKeyID, "DKMSInstanceId": spec.Instance,
			"Tags": tagJSON(spec.Tags), "SecretData": data, "SecretDataType": kind, "VersionId": spec.Value.VersionID,
		},
		there: func(ctx context.Context) (bool, error) {
			value, err := c.SecretValue(ctx, spec.Name, spec.Value.VersionID)
			if errors.Is(err, kmsmigrate.ErrNoKey) {
				return false, nil
			}
			return err == nil && value.Binary == spec.Value.Binary && bytes.Equal(value.Data, spec.Value.Data), err
		},
	})
}

func (c controlPlane) MoveSecretStage(ctx context.Context, name, stage, from, to string) error {
	p := parameters{"SecretName": name, "VersionStage": stage, "RemoveFromVersion": from, "MoveToVersion": to}
	return c.move(ctx, "UpdateSecretVersionStage", "", p, func(ctx context.Context) (bool, error) {
		for version, err := range c.SecretVersions(ctx, name) {
			if err != nil {
				return false, err
			}
			has := slices.Contains(version.Stages, stage)
			if version.ID == to && !has || version.ID != to && has {
				return false, nil
			}
		}
		return true, nil
	})
}
