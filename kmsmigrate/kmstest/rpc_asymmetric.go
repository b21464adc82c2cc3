package kmstest

import (
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// asymmetricRef reads the three parameters that every asymmetric operation must have: here nothing has a default.
func (c *rpcCall) asymmetricRef() (model.VersionRef, *model.Error) {
	ref := model.VersionRef{}
	for name, into := range map[string]*string{"KeyId": &ref.KeyRef, "KeyVersionId": &ref.VersionID, "Algorithm": &ref.Algorithm} {
		v, err := c.params.need(name)
		if err != nil {
			return ref, err
		}
		*into = v
	}
	return ref, nil
}

// binary reads a base64 parameter that must be there.
func (c *rpcCall) binary(name string) ([]byte, *model.Error) {
	if _, err := c.params.need(name); err != nil {
		return nil, err
	}
	return c.params.base64(name)
}

// asymmetric carries out an operation on the bytes of one parameter.
func (c *rpcCall) asymmetric(parameter string, do func(model.VersionRef, []byte) (model.AsymmetricResult, *model.Error)) (model.AsymmetricResult, *model.Error) {
	ref, err := c.asymmetricRef()
	if err != nil {
		return model.AsymmetricResult{}, err
	}
	data, err := c.binary(parameter)
	if err != nil {
		return model.AsymmetricResult{}, err
	}
	r, err := do(ref, data)
	if err == nil {
		c.used(r.KeyID, r.VersionID)
	}
	return r, err
}

// asymmetricEncrypt, unlike encrypt, takes Plaintext as base64 of the bytes to encrypt.
func asymmetricEncrypt(c *rpcCall) (stamped, *model.Error) {
	r, err := c.asymmetric("Plaintext", func(ref model.VersionRef, plaintext []byte) (model.AsymmetricResult, *model.Error) {
		c.plaintextIn(len(plaintext))
		return c.door.AsymmetricEncrypt(ref, plaintext)
	})
	if err != nil {
		return nil, err
	}
	return &cryptoAnswer{KeyId: r.KeyID, KeyVersionId: r.VersionID, CiphertextBlob: base64.StdEncoding.EncodeToString(r.Data)}, nil
}

func asymmetricDecrypt(c *rpcCall) (stamped, *model.Error) {
	r, err := c.asymmetric("CiphertextBlob", c.door.AsymmetricDecrypt)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(r.Data))
	return &decryptAnswer{KeyId: r.KeyID, KeyVersionId: r.VersionID, Plaintext: base64.StdEncoding.EncodeToString(r.Data)}, nil
}

type signAnswer struct {
	answer
	KeyId        string
	KeyVersionId string
	Value        string
}

func asymmetricSign(c *rpcCall) (stamped, *model.Error) {
	r, err := c.asymmetric("Digest", c.door.Sign)
	if err != nil {
		return nil, err
	}
	return &signAnswer{KeyId: r.KeyID, KeyVersionId: r.VersionID, Value: base64.StdEncoding.EncodeToString(r.Data)}, nil
}

type verifyAnswer struct {
	answer
	KeyId        string
	KeyVersionId string
	Value        bool
}

func asymmetricVerify(c *rpcCall) (stamped, *model.Error) {
	ref, err := c.asymmetricRef()
	if err != nil {
		return nil, err
	}
	digest, err := c.binary("Digest")
	if err != nil {
		return nil, err
	}
	signature, err := c.binary("Value")
	if err != nil {
		return nil, err
	}
	r, err := c.door.Verify(ref, digest, signature)
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &verifyAnswer{KeyId: r.KeyID, KeyVersionId: r.VersionID, Value: r.Valid}, nil
}

type publicKeyAnswer struct {
	answer
	KeyId        string
	KeyVersionId string
	PublicKey    string
}

func getPublicKey(c *rpcCall) (stamped, *model.Error) {
	key, err := c.params.need("KeyId")
	if err != nil {
		return nil, err
	}
	version, err := c.params.need("KeyVersionId")
	if err != nil {
		return nil, err
	}
	r, err := c.door.PublicKey(model.VersionRef{KeyRef: key, VersionID: version})
	if err != nil {
		return nil, err
	}
	c.used(r.KeyID, r.VersionID)
	return &publicKeyAnswer{KeyId: r.KeyID, KeyVersionId: r.VersionID, PublicKey: string(r.Data)}, nil
}
