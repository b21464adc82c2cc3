package kmstest

import (
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// keyPairRequest is what all four requests have in common.
type keyPairRequest interface {
	GetKeyId() string
	GetKeyPairSpec() string
	GetKeyFormat() string
	GetAad() []byte
}

// protoKeyPair makes a key pair and wraps its private key under the initial version.
func protoKeyPair(c *protoCall, in *api.GenerateDataKeyPairRequest) (proto.Message, *model.Error) {
	pair, r, err := c.keyPair(in, in.Algorithm)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(pair.Private))
	return &api.GenerateDataKeyPairResponse{KeyId: r.KeyID, Iv: r.IV, KeyPairSpec: in.KeyPairSpec, PrivateKeyPlaintext: pair.Private,
		PrivateKeyCiphertextBlob: r.Data, PublicKey: pair.Public, RequestId: c.requestID(), Algorithm: r.Algorithm}, nil
}

func protoKeyPairWithout(c *protoCall, in *api.GenerateDataKeyPairWithoutPlaintextRequest) (proto.Message, *model.Error) {
	pair, r, err := c.keyPair(in, in.Algorithm)
	if err != nil {
		return nil, err
	}
	return &api.GenerateDataKeyPairWithoutPlaintextResponse{KeyId: r.KeyID, Iv: r.IV, KeyPairSpec: in.KeyPairSpec,
		PrivateKeyCiphertextBlob: r.Data, PublicKey: pair.Public, RequestId: c.requestID(), Algorithm: r.Algorithm}, nil
}

func (c *protoCall) keyPair(in keyPairRequest, algorithm string) (model.KeyPair, model.CipherResult, *model.Error) {
	pair, err := model.NewKeyPair(in.GetKeyPairSpec(), in.GetKeyFormat())
	if err != nil {
		return model.KeyPair{}, model.CipherResult{}, err
	}
	r, err := c.sealInitial(in.GetKeyId(), algorithm, pair.Private, in.GetAad())
	return pair, r, err
}

// protoAdvanceKeyPair wraps under the primary version, self-contained.
func protoAdvanceKeyPair(c *protoCall, in *api.AdvanceGenerateDataKeyPairRequest) (proto.Message, *model.Error) {
	pair, s, err := c.advanceKeyPair(in)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(pair.Private))
	return &api.AdvanceGenerateDataKeyPairResponse{KeyId: s.KeyID, Iv: s.IV, KeyPairSpec: in.KeyPairSpec, PrivateKeyPlaintext: pair.Private,
		PrivateKeyCiphertextBlob: s.Advance(), PublicKey: pair.Public, RequestId: c.requestID(), Algorithm: model.AESGCM, KeyVersionId: s.VersionID}, nil
}

func protoAdvanceKeyPairWithout(c *protoCall, in *api.AdvanceGenerateDataKeyPairWithoutPlaintextRequest) (proto.Message, *model.Error) {
	pair, s, err := c.advanceKeyPair(in)
	if err != nil {
		return nil, err
	}
	return &api.AdvanceGenerateDataKeyPairWithoutPlaintextResponse{KeyId: s.KeyID, Iv: s.IV, KeyPairSpec: in.KeyPairSpec,
		PrivateKeyCiphertextBlob: s.Advance(), PublicKey: pair.Public, RequestId: c.requestID(), Algorithm: model.AESGCM, KeyVersionId: s.VersionID}, nil
}

func (c *protoCall) advanceKeyPair(in keyPairRequest) (model.KeyPair, model.Sealed, *model.Error) {
	pair, err := model.NewKeyPair(in.GetKeyPairSpec(), in.GetKeyFormat())
	if err != nil {
		return model.KeyPair{}, model.Sealed{}, err
	}
	s, err := c.advanceSeal(in.GetKeyId(), "", nil, pair.Private, in.GetAad())
	return pair, s, err
}
