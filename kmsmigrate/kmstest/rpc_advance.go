package kmstest

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type advanceAnswer struct {
	answer
	KeyId          string
	KeyVersionId   string
	Plaintext      string `json:",omitempty" xml:",omitempty"`
	CiphertextBlob string `json:",omitempty" xml:",omitempty"`
	Iv             string `json:",omitempty" xml:",omitempty"`
	Algorithm      string
	PaddingMode    string `json:",omitempty" xml:",omitempty"`
}

// advanceEncrypt is the RPC form of the instance's AdvanceEncrypt: binary parameters in base64.
func advanceEncrypt(c *rpcCall) (stamped, *model.Error) {
	plaintext, err := c.params.base64("Plaintext")
	if err != nil {
		return nil, err
	}
	if len(plaintext) == 0 {
		return nil, model.MissingParameter("Plaintext")
	}
	c.plaintextIn(len(plaintext))
	if len(plaintext) > maxPlaintext {
		return nil, model.InvalidParameter("Plaintext")
	}
	s, err := c.advanceSeal(plaintext)
	if err != nil {
		return nil, err
	}
	return sealedAnswer(s), nil
}

func advanceGenerateDataKey(c *rpcCall) (stamped, *model.Error) {
	size, err := dataKeySize(c.params)
	if err != nil {
		return nil, err
	}
	key := make([]byte, size)
	rand.Read(key)
	s, err := c.advanceSeal(key)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(key))
	a := sealedAnswer(s)
	a.Plaintext = base64.StdEncoding.EncodeToString(key)
	return a, nil
}

func sealedAnswer(s model.Sealed) *advanceAnswer {
	return &advanceAnswer{KeyId: s.KeyID, KeyVersionId: s.VersionID, Algorithm: model.AESGCM,
		CiphertextBlob: base64.StdEncoding.EncodeToString(s.Advance()), Iv: base64.StdEncoding.EncodeToString(s.IV)}
}

func (c *rpcCall) advanceSeal(plaintext []byte) (model.Sealed, *model.Error) {
	id, err := c.params.need("KeyId")
	if err != nil {
		return model.Sealed{}, err
	}
	aad, err := c.params.base64("Aad")
	if err != nil {
		return model.Sealed{}, err
	}
	iv, err := c.params.base64("Iv")
	if err != nil {
		return model.Sealed{}, err
	}
	s, err := c.door.AdvanceSeal(id, c.params.get("Algorithm"), iv, plaintext, aad)
	if err == nil {
		c.used(s.KeyID, s.VersionID)
	}
	return s, err
}

func advanceDecrypt(c *rpcCall) (stamped, *model.Error) {
	in := model.AdvanceOpen{KeyRef: c.params.get("KeyId"), Algorithm: c.params.get("Algorithm")}
	for name, into := range map[string]*[]byte{"CiphertextBlob": &in.Blob, "Iv": &in.IV, "Aad": &in.AAD} {
		b, err := c.params.base64(name)
		if err != nil {
			return nil, err
		}
		*into = b
	}
	o, err := c.door.AdvanceOpen(in)
	if err != nil {
		return nil, err
	}
	c.used(o.KeyID, o.VersionID)
	c.plaintextOut(len(o.Plaintext))
	return &advanceAnswer{KeyId: o.KeyID, KeyVersionId: o.VersionID, Algorithm: model.AESGCM,
		Plaintext: base64.StdEncoding.EncodeToString(o.Plaintext)}, nil
}
