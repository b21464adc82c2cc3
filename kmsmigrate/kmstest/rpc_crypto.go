package kmstest

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

const (
	maxPlaintext = 6 << 10 // bytes of Plaintext in Encrypt
	maxDataKey   = 1024    // bytes of NumberOfBytes
)

type cryptoAnswer struct {
	answer
	KeyId          string
	KeyVersionId   string
	Plaintext      string `json:",omitempty" xml:",omitempty"`
	CiphertextBlob string `json:",omitempty" xml:",omitempty"`
}

type decryptAnswer struct {
	answer
	KeyId        string
	KeyVersionId string
	Plaintext    string
}

// encrypt takes Plaintext as the string it is. The documents ask for base64, but the service stores what it is given: Terraform's
// examples and Alibaba's own transfer SDKs rely on it.
func encrypt(c *rpcCall) (stamped, *model.Error) {
	plaintext, err := c.params.need("Plaintext")
	if err != nil {
		return nil, err
	}
	c.plaintextIn(len(plaintext))
	if len(plaintext) > maxPlaintext {
		return nil, model.InvalidParameter("Plaintext")
	}
	s, err := c.seal([]byte(plaintext))
	if err != nil {
		return nil, err
	}
	return &cryptoAnswer{KeyId: s.KeyID, KeyVersionId: s.VersionID, CiphertextBlob: base64.StdEncoding.EncodeToString(s.Blob())}, nil
}

func (c *rpcCall) seal(plaintext []byte) (model.Sealed, *model.Error) {
	id, err := c.params.need("KeyId")
	if err != nil {
		return model.Sealed{}, err
	}
	aad, err := c.x.face.cloud.model.ContextAAD("EncryptionContext", c.params.get("EncryptionContext"))
	if err != nil {
		return model.Sealed{}, err
	}
	s, err := c.door.Seal(id, model.Primary, nil, plaintext, aad)
	if err == nil {
		c.used(s.KeyID, s.VersionID)
	}
	return s, err
}

// decrypt asks for no key id: the blob names its key version.
func decrypt(c *rpcCall) (stamped, *model.Error) {
	blob, err := c.params.need("CiphertextBlob")
	if err != nil {
		return nil, err
	}
	aad, err := c.x.face.cloud.model.ContextAAD("EncryptionContext", c.params.get("EncryptionContext"))
	if err != nil {
		return nil, err
	}
	raw, derr := decodeBase64(blob)
	s, ok := model.ParseBlob(raw)
	if derr != nil || !ok {
		return nil, c.x.face.cloud.model.BadCiphertext()
	}
	o, err := c.door.Open(s, aad)
	if err != nil {
		return nil, err
	}
	c.used(o.KeyID, o.VersionID)
	c.plaintextOut(len(o.Plaintext))
	return &decryptAnswer{KeyId: o.KeyID, KeyVersionId: o.VersionID, Plaintext: string(o.Plaintext)}, nil
}

func generateDataKey(c *rpcCall) (stamped, *model.Error) {
	a, err := newDataKey(c)
	if err != nil {
		return nil, err
	}
	c.plaintextOut(len(a.Plaintext))
	return a, nil
}

func generateDataKeyWithoutPlaintext(c *rpcCall) (stamped, *model.Error) {
	a, err := newDataKey(c)
	if err != nil {
		return nil, err
	}
	a.Plaintext = ""
	return a, nil
}

// newDataKey wraps the base64 text of the data key, not its bytes: that is what KMS 1.0 blobs hold, so Decrypt returns base64.
func newDataKey(c *rpcCall) (*cryptoAnswer, *model.Error) {
	size, err := dataKeySize(c.params)
	if err != nil {
		return nil, err
	}
	key := make([]byte, size)
	rand.Read(key)
	text := base64.StdEncoding.EncodeToString(key)
	s, err := c.seal([]byte(text))
	if err != nil {
		return nil, err
	}
	return &cryptoAnswer{KeyId: s.KeyID, KeyVersionId: s.VersionID, Plaintext: text,
		CiphertextBlob: base64.StdEncoding.EncodeToString(s.Blob())}, nil
}

// dataKeySize: NumberOfBytes wins when both are given.
func dataKeySize(p params) (int, *model.Error) {
	size := 32
	switch p.get("KeySpec") {
	case "", "AES_256":
	case "AES_128":
		size = 16
	default:
		return 0, model.InvalidParameter("KeySpec")
	}
	return p.integer("NumberOfBytes", 1, maxDataKey, size)
}
