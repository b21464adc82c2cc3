package kmstest

import (
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// reEncrypt decrypts and encrypts without showing the plaintext. Its answer names the key and version that decrypted, not those of the new
// blob, as the documents have it. Shared gateway only.
func reEncrypt(c *rpcCall) (stamped, *model.Error) {
	blob, err := c.params.need("CiphertextBlob")
	if err != nil {
		return nil, err
	}
	target, err := c.params.need("DestinationKeyId")
	if err != nil {
		return nil, err
	}
	raw, derr := decodeBase64(blob)
	if derr != nil {
		return nil, c.x.face.cloud.model.BadCiphertext()
	}
	from, plaintext, err := c.reOpen(raw)
	if err != nil {
		return nil, err
	}
	aad, err := c.x.face.cloud.model.ContextAAD("DestinationEncryptionContext", c.params.get("DestinationEncryptionContext"))
	if err != nil {
		return nil, err
	}
	s, err := c.door.Seal(target, model.Primary, nil, plaintext, aad)
	if err != nil {
		return nil, err
	}
	c.used(s.KeyID, s.VersionID)
	return &cryptoAnswer{KeyId: from.KeyID, KeyVersionId: from.VersionID, CiphertextBlob: base64.StdEncoding.EncodeToString(s.Blob())}, nil
}

// reOpen opens the source: by its own prefix, or as an asymmetric ciphertext when a source key is named.
func (c *rpcCall) reOpen(raw []byte) (model.AsymmetricResult, []byte, *model.Error) {
	if algorithm := c.params.get("SourceEncryptionAlgorithm"); algorithm != "" {
		ref := model.VersionRef{Algorithm: algorithm}
		var err *model.Error
		if ref.KeyRef, err = c.params.need("SourceKeyId"); err != nil {
			return model.AsymmetricResult{}, nil, err
		}
		if ref.VersionID, err = c.params.need("SourceKeyVersionId"); err != nil {
			return model.AsymmetricResult{}, nil, err
		}
		r, err := c.door.AsymmetricDecrypt(ref, raw)
		return r, r.Data, err
	}
	aad, err := c.x.face.cloud.model.ContextAAD("SourceEncryptionContext", c.params.get("SourceEncryptionContext"))
	if err != nil {
		return model.AsymmetricResult{}, nil, err
	}
	s, ok := model.ParseBlob(raw)
	if !ok {
		return model.AsymmetricResult{}, nil, c.x.face.cloud.model.BadCiphertext()
	}
	o, err := c.door.Open(s, aad)
	return model.AsymmetricResult{KeyID: o.KeyID, VersionID: o.VersionID}, o.Plaintext, err
}
