package kmstest

import (
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// protoAdvanceEncrypt uses the primary version and returns a self-contained ciphertext.
func protoAdvanceEncrypt(c *protoCall, in *api.AdvanceEncryptRequest) (proto.Message, *model.Error) {
	c.plaintextIn(len(in.Plaintext))
	if len(in.Plaintext) == 0 {
		return nil, model.MissingParameter("Plaintext")
	}
	s, err := c.advanceSeal(in.KeyId, in.Algorithm, in.Iv, in.Plaintext, in.Aad)
	if err != nil {
		return nil, err
	}
	return &api.AdvanceEncryptResponse{KeyId: s.KeyID, CiphertextBlob: s.Advance(), Iv: s.IV, RequestId: c.requestID(), Algorithm: model.AESGCM,
		PaddingMode: in.PaddingMode, KeyVersionId: s.VersionID}, nil
}

func (c *protoCall) advanceSeal(keyRef, algorithm string, iv, plaintext, aad []byte) (model.Sealed, *model.Error) {
	if len(iv) == 0 {
		iv = nil
	}
	s, err := c.door.AdvanceSeal(keyRef, algorithm, iv, plaintext, aad)
	if err == nil {
		c.used(s.KeyID, s.VersionID)
	}
	return s, err
}

func protoAdvanceDecrypt(c *protoCall, in *api.AdvanceDecryptRequest) (proto.Message, *model.Error) {
	o, err := c.door.AdvanceOpen(model.AdvanceOpen{KeyRef: in.KeyId, Algorithm: in.Algorithm, Blob: in.CiphertextBlob, IV: in.Iv, AAD: in.Aad})
	if err != nil {
		return nil, err
	}
	c.used(o.KeyID, o.VersionID)
	c.plaintextOut(len(o.Plaintext))
	return &api.AdvanceDecryptResponse{KeyId: o.KeyID, Plaintext: o.Plaintext, RequestId: c.requestID(), Algorithm: model.AESGCM,
		PaddingMode: in.PaddingMode, KeyVersionId: o.VersionID}, nil
}

func protoAdvanceGenerateDataKey(c *protoCall, in *api.AdvanceGenerateDataKeyRequest) (proto.Message, *model.Error) {
	key, err := newRawKey(in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	s, err := c.advanceSeal(in.KeyId, "", nil, key, in.Aad)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(key))
	return &api.AdvanceGenerateDataKeyResponse{KeyId: s.KeyID, Iv: s.IV, Plaintext: key, CiphertextBlob: s.Advance(), RequestId: c.requestID(),
		Algorithm: model.AESGCM, KeyVersionId: s.VersionID}, nil
}
