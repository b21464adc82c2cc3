package kmstest

import (
	"cmp"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// Message types of Sign and Verify.
const (
	messageRaw    = "RAW"
	messageDigest = "DIGEST"
)

// digest turns what was sent into what is signed: RAW, the default, is a whole message. An old field carries a digest outright.
func (c *protoCall) digest(ref model.VersionRef, message, digest []byte, kind string) ([]byte, *model.Error) {
	switch {
	case len(digest) > 0:
		return digest, nil
	case len(message) == 0:
		return nil, model.MissingParameter("Message")
	case kind == messageDigest:
		return message, nil
	case kind == messageRaw, kind == "":
		return c.door.Digest(ref, message)
	}
	return nil, model.InvalidParameter("MessageType")
}

func (c *protoCall) versionRef(keyID, algorithm string) model.VersionRef {
	return model.VersionRef{KeyRef: keyID, VersionID: c.migrationVersion(), Algorithm: algorithm}
}

func protoSign(c *protoCall, in *api.SignRequest) (proto.Message, *model.Error) {
	in.Algorithm = cmp.Or(in.Algorithm, c.door.DefaultAlgorithm(in.KeyId, model.SignVerify))
	ref := c.versionRef(in.KeyId, in.Algorithm)
	digest, err := c.digest(ref, in.Message, in.Digest, in.MessageType)
	if err != nil {
		return nil, err
	}
	r, err := c.door.Sign(ref, digest)
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &api.SignResponse{KeyId: r.KeyID, Signature: r.Data, RequestId: c.requestID(), Algorithm: in.Algorithm, MessageType: in.MessageType}, nil
}

func protoVerify(c *protoCall, in *api.VerifyRequest) (proto.Message, *model.Error) {
	in.Algorithm = cmp.Or(in.Algorithm, c.door.DefaultAlgorithm(in.KeyId, model.SignVerify))
	ref := c.versionRef(in.KeyId, in.Algorithm)
	digest, err := c.digest(ref, in.Message, in.Digest, in.MessageType)
	if err != nil {
		return nil, err
	}
	if len(in.Signature) == 0 {
		return nil, model.MissingParameter("Signature")
	}
	r, err := c.door.Verify(ref, digest, in.Signature)
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &api.VerifyResponse{KeyId: r.KeyID, Value: r.Valid, RequestId: c.requestID(), Algorithm: in.Algorithm, MessageType: in.MessageType}, nil
}

func protoGetPublicKey(c *protoCall, in *api.GetPublicKeyRequest) (proto.Message, *model.Error) {
	r, err := c.door.PublicKey(c.versionRef(in.KeyId, ""))
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &api.GetPublicKeyResponse{KeyId: r.KeyID, PublicKey: string(r.Data), RequestId: c.requestID()}, nil
}

func protoGetSecretValue(c *protoCall, in *api.GetSecretValueRequest) (proto.Message, *model.Error) {
	s, v, err := c.door.SecretValue(in.SecretName, in.VersionId, in.VersionStage)
	if err != nil {
		return nil, err
	}
	c.x.record.KeyID = s.KeyID
	c.plaintextOut(len(v.Data))
	out := &api.GetSecretValueResponse{SecretName: s.Name, SecretType: s.Type, SecretData: v.Data, SecretDataType: v.DataType,
		VersionStages: v.Stages, VersionId: v.ID, CreateTime: model.Stamp(v.Created), RequestId: c.requestID(), AutomaticRotation: rotationOf(s)}
	if in.FetchExtendedConfig {
		out.ExtendedConfig = s.Extended
	}
	return out, nil
}
