package kmstest

import (
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type versionAnswer struct {
	answer
	KeyVersion versionEntry
}

func entry(v model.VersionInfo) versionEntry {
	return versionEntry{v.KeyID, v.VersionID, model.Stamp(v.Created)}
}

func createKeyVersion(c *rpcCall) (stamped, *model.Error) {
	v, err := c.door.CreateKeyVersion(c.params.get("KeyId"))
	if err != nil {
		return nil, err
	}
	return &versionAnswer{KeyVersion: entry(v)}, nil
}

func describeKeyVersion(c *rpcCall) (stamped, *model.Error) {
	v, err := c.door.DescribeKeyVersion(c.params.get("KeyId"), c.params.get("KeyVersionId"))
	if err != nil {
		return nil, err
	}
	return &versionAnswer{KeyVersion: entry(v)}, nil
}

// done answers operations that return nothing.
func done(err *model.Error) (stamped, *model.Error) {
	if err != nil {
		return nil, err
	}
	return &answer{}, nil
}

func scheduleKeyDeletion(c *rpcCall) (stamped, *model.Error) {
	if _, err := c.params.need("PendingWindowInDays"); err != nil {
		return nil, err
	}
	days, err := c.params.integer("PendingWindowInDays", model.MinWindow, model.MaxWindow, 0)
	if err != nil {
		return nil, err
	}
	return done(c.door.ScheduleKeyDeletion(c.params.get("KeyId"), days))
}

func cancelKeyDeletion(c *rpcCall) (stamped, *model.Error) {
	return done(c.door.CancelKeyDeletion(c.params.get("KeyId")))
}

func updateRotationPolicy(c *rpcCall) (stamped, *model.Error) {
	if _, err := c.params.need("EnableAutomaticRotation"); err != nil {
		return nil, err
	}
	on, err := c.params.boolean("EnableAutomaticRotation")
	if err != nil {
		return nil, err
	}
	every, err := interval(c.params, "RotationInterval")
	if err != nil {
		return nil, err
	}
	return done(c.door.SetRotationPolicy(c.params.get("KeyId"), model.RotationPolicy{Enable: on, Interval: every}))
}

func setDeletionProtection(c *rpcCall) (stamped, *model.Error) {
	arn, err := c.params.need("ProtectedResourceArn")
	if err != nil {
		return nil, err
	}
	if _, err := c.params.need("EnableDeletionProtection"); err != nil {
		return nil, err
	}
	on, err := c.params.boolean("EnableDeletionProtection")
	if err != nil {
		return nil, err
	}
	return done(c.door.SetDeletionProtection(arn, on, c.params.get("DeletionProtectionDescription")))
}

func updateKeyDescription(c *rpcCall) (stamped, *model.Error) {
	return done(c.door.SetDescription(c.params.get("KeyId"), c.params.get("Description")))
}

type importParametersAnswer struct {
	answer
	KeyId           string
	ImportToken     string
	PublicKey       string
	TokenExpireTime string
}

func getParametersForImport(c *rpcCall) (stamped, *model.Error) {
	p, err := c.door.ParametersForImport(c.params.get("KeyId"), c.params.get("WrappingAlgorithm"), c.params.get("WrappingKeySpec"))
	if err != nil {
		return nil, err
	}
	return &importParametersAnswer{KeyId: p.KeyID, ImportToken: p.Token, PublicKey: p.PublicKey, TokenExpireTime: model.Stamp(p.Expires)}, nil
}

func importKeyMaterial(c *rpcCall) (stamped, *model.Error) {
	wrapped, err := c.binary("EncryptedKeyMaterial")
	if err != nil {
		return nil, err
	}
	token, err := c.params.need("ImportToken")
	if err != nil {
		return nil, err
	}
	unix, err := c.params.integer("KeyMaterialExpireUnix", 0, 1<<40, 0)
	if err != nil {
		return nil, err
	}
	var expires time.Time
	if unix > 0 {
		expires = time.Unix(int64(unix), 0)
	}
	return done(c.door.ImportMaterial(c.params.get("KeyId"), token, wrapped, expires))
}

func deleteKeyMaterial(c *rpcCall) (stamped, *model.Error) {
	return done(c.door.DeleteMaterial(c.params.get("KeyId")))
}

func updateAlias(c *rpcCall) (stamped, *model.Error) {
	return done(c.door.UpdateAlias(c.params.get("AliasName"), c.params.get("KeyId")))
}

func deleteAlias(c *rpcCall) (stamped, *model.Error) {
	return done(c.door.DeleteAlias(c.params.get("AliasName")))
}

func listAliasesByKeyID(c *rpcCall) (stamped, *model.Error) {
	id, err := c.params.need("KeyId")
	if err != nil {
		return nil, err
	}
	return aliasPage(c, id)
}
