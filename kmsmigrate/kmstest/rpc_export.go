package kmstest

import (
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type exportAnswer struct {
	answer
	KeyId           string
	KeyVersionId    string
	CiphertextBlob  string `json:",omitempty" xml:",omitempty"`
	ExportedDataKey string
}

// exportDataKey hands a data key over to the holder of a public key, without showing it to the caller.
func exportDataKey(c *rpcCall) (stamped, *model.Error) {
	opened, err := decrypt(c)
	if err != nil {
		return nil, err
	}
	c.x.record.PlaintextOut = 0
	d := opened.(*decryptAnswer)
	wrapped, err := c.wrap(d.Plaintext)
	if err != nil {
		return nil, err
	}
	return &exportAnswer{KeyId: d.KeyId, KeyVersionId: d.KeyVersionId, ExportedDataKey: wrapped}, nil
}

func generateAndExportDataKey(c *rpcCall) (stamped, *model.Error) {
	a, err := newDataKey(c)
	if err != nil {
		return nil, err
	}
	wrapped, err := c.wrap(a.Plaintext)
	if err != nil {
		return nil, err
	}
	return &exportAnswer{KeyId: a.KeyId, KeyVersionId: a.KeyVersionId, CiphertextBlob: a.CiphertextBlob, ExportedDataKey: wrapped}, nil
}

// wrap encrypts a data key, given as the base64 text that the blob holds, under PublicKeyBlob.
func (c *rpcCall) wrap(text string) (string, *model.Error) {
	public, err := c.binary("PublicKeyBlob")
	if err != nil {
		return "", err
	}
	algorithm, err := c.params.need("WrappingAlgorithm")
	if err != nil {
		return "", err
	}
	spec, err := c.params.need("WrappingKeySpec")
	if err != nil {
		return "", err
	}
	key, derr := base64.StdEncoding.DecodeString(text)
	if derr != nil {
		return "", c.x.face.cloud.model.BadCiphertext() // not a data key
	}
	wrapped, problem := material.Wrap(public, spec, algorithm, key)
	if problem != "" {
		return "", model.InvalidParameter(problem)
	}
	if algorithm == material.SM2PKE && c.x.face.cloud.config.PlainSM2 {
		plain, perr := material.PlainSM2(wrapped)
		if perr != nil {
			return "", model.Internal()
		}
		wrapped = plain
	}
	return base64.StdEncoding.EncodeToString(wrapped), nil
}
