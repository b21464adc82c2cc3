package kmstest

import (
	"cmp"
	"crypto/rand"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// protoEncrypt uses the key's initial version for ever: rotation has no effect on it. Its ciphertext names nothing, so the caller keeps key
// id and IV beside it.
func protoEncrypt(c *protoCall, in *api.EncryptRequest) (proto.Message, *model.Error) {
	c.plaintextIn(len(in.Plaintext))
	if len(in.Plaintext) == 0 {
		return nil, model.MissingParameter("Plaintext")
	}
	algorithm := cmp.Or(in.Algorithm, c.door.DefaultAlgorithm(in.KeyId, model.EncryptDecrypt))
	r, err := c.door.Encrypt(model.Cipher{KeyRef: in.KeyId, VersionID: c.migrationVersion(), Algorithm: algorithm, Padding: in.PaddingMode,
		IV: in.Iv, Data: in.Plaintext, AAD: in.Aad})
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &api.EncryptResponse{KeyId: r.KeyID, CiphertextBlob: r.Data, Iv: r.IV, RequestId: c.requestID(), Algorithm: r.Algorithm,
		PaddingMode: r.Padding}, nil
}

// protoDecrypt takes the key version from the migration header when there is one, and then needs no key id.
func protoDecrypt(c *protoCall, in *api.DecryptRequest) (proto.Message, *model.Error) {
	if len(in.CiphertextBlob) == 0 {
		return nil, model.MissingParameter("CiphertextBlob")
	}
	algorithm := cmp.Or(in.Algorithm, c.door.DefaultAlgorithm(in.KeyId, model.EncryptDecrypt))
	r, err := c.door.Decrypt(model.Cipher{KeyRef: in.KeyId, VersionID: c.migrationVersion(), Algorithm: algorithm, Padding: in.PaddingMode,
		IV: in.Iv, Data: in.CiphertextBlob, AAD: in.Aad})
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	c.plaintextOut(len(r.Data))
	return &api.DecryptResponse{KeyId: r.KeyID, Plaintext: r.Data, RequestId: c.requestID(), Algorithm: r.Algorithm, PaddingMode: r.Padding}, nil
}

// protoGenerateDataKey wraps the data key's bytes, not their base64 text as the gateway does.
func protoGenerateDataKey(c *protoCall, in *api.GenerateDataKeyRequest) (proto.Message, *model.Error) {
	key, err := newRawKey(in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	r, err := c.sealInitial(in.KeyId, in.Algorithm, key, in.Aad)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(key))
	return &api.GenerateDataKeyResponse{KeyId: r.KeyID, Iv: r.IV, Plaintext: key, CiphertextBlob: r.Data, RequestId: c.requestID(),
		Algorithm: r.Algorithm}, nil
}

// sealInitial encrypts under the initial version of a symmetric key.
func (c *protoCall) sealInitial(keyRef, algorithm string, plaintext, aad []byte) (model.CipherResult, *model.Error) {
	if err := c.door.MustBeSymmetric(keyRef); err != nil {
		return model.CipherResult{}, err
	}
	r, err := c.door.Encrypt(model.Cipher{KeyRef: keyRef, VersionID: c.migrationVersion(), Algorithm: algorithm, Data: plaintext, AAD: aad})
	if err == nil {
		c.used(r.KeyID, r.VersionID)
	}
	return r, err
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

func protoGenerateRandom(c *protoCall, in *api.GenerateRandomRequest) (proto.Message, *model.Error) {
	if in.Length < 1 || in.Length > maxDataKey {
		return nil, model.InvalidParameter("Length")
	}
	out := make([]byte, in.Length)
	rand.Read(out)
	return &api.GenerateRandomResponse{Random: out, RequestId: c.requestID()}, nil
}
