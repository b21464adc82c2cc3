package kmstest

import (
	"crypto/rand"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// protoEncrypt uses the key's initial version for ever: rotation has no effect on it. Its ciphertext names nothing, so the caller keeps key
// id and IV beside it.
func protoEncrypt(c *protoCall, in *api.EncryptRequest) (proto.Message, *model.Error) {
	c.plaintextIn(len(in.Plaintext))
	if len(in.Plaintext) == 0 {
		return nil, model.MissingParameter("Plaintext")
	}
	s, err := c.sealInitial(in.KeyId, in.Algorithm, in.Iv, in.Plaintext, in.Aad)
	if err != nil {
		return nil, err
	}
	return &api.EncryptResponse{KeyId: s.KeyID, CiphertextBlob: s.Data, Iv: s.IV, RequestId: c.requestID(), Algorithm: model.AESGCM,
		PaddingMode: in.PaddingMode}, nil
}

func (c *protoCall) sealInitial(keyRef, algorithm string, iv, plaintext, aad []byte) (model.Sealed, *model.Error) {
	if algorithm != "" && algorithm != model.AESGCM {
		return model.Sealed{}, model.InvalidParameter("Algorithm")
	}
	if len(iv) == 0 {
		iv = nil
	}
	s, err := c.door.Seal(keyRef, model.Initial, iv, plaintext, aad)
	if err == nil {
		c.used(s.KeyID, s.VersionID)
	}
	return s, err
}

// protoDecrypt takes the key version from the migration header when there is one, and then needs no key id.
func protoDecrypt(c *protoCall, in *api.DecryptRequest) (proto.Message, *model.Error) {
	switch {
	case len(in.CiphertextBlob) == 0:
		return nil, model.MissingParameter("CiphertextBlob")
	case len(in.Iv) == 0:
		return nil, model.MissingParameter("Iv")
	case len(in.Iv) != material.NonceSize:
		return nil, model.InvalidParameter("Iv")
	}
	s := model.Sealed{IV: in.Iv, Data: in.CiphertextBlob}
	var o model.Opened
	var err *model.Error
	if version := c.migrationVersion(); version != "" && in.KeyId == "" {
		s.VersionID = version
		o, err = c.door.Open(s, in.Aad)
	} else {
		o, err = c.door.OpenInitial(in.KeyId, s, in.Aad)
	}
	if err != nil {
		return nil, err
	}
	c.used(o.KeyID, o.VersionID)
	c.plaintextOut(len(o.Plaintext))
	return &api.DecryptResponse{KeyId: o.KeyID, Plaintext: o.Plaintext, RequestId: c.requestID(), Algorithm: model.AESGCM,
		PaddingMode: in.PaddingMode}, nil
}

// protoGenerateDataKey wraps the data key's bytes, not their base64 text as the gateway does.
func protoGenerateDataKey(c *protoCall, in *api.GenerateDataKeyRequest) (proto.Message, *model.Error) {
	key, err := newRawKey(in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	s, err := c.sealInitial(in.KeyId, in.Algorithm, nil, key, in.Aad)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(key))
	return &api.GenerateDataKeyResponse{KeyId: s.KeyID, Iv: s.IV, Plaintext: key, CiphertextBlob: s.Data, RequestId: c.requestID(),
		Algorithm: model.AESGCM}, nil
}

func newRawKey(size int32) ([]byte, *model.Error) {
	if size == 0 {
		size = 32
	}
	if size < 1 || size > maxDataKey {
		return nil, model.InvalidParameter("NumberOfBytes")
	}
	key := make([]byte, size)
	rand.Read(key)
	return key, nil
}
