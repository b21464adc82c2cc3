package model

import (
	"crypto/rand"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// Mint makes an OpenAPI blob outside all rules of operations: any bytes under any additional data, in any state of the key. It is how old data
// comes into being that no operation makes any more.
func (d Door) Mint(ref string, plaintext, aad []byte) (Sealed, *Error) {
	c := d.Region.cloud
	c.rlock()
	k, err := d.key(ref)
	if err == nil && (!k.Symmetric() || len(k.Versions) == 0) {
		err = Unsupported()
	}
	var v *Version
	if err == nil {
		v = k.primary()
	}
	c.mu.RUnlock()
	if err != nil {
		return Sealed{}, err
	}
	iv := make([]byte, material.NonceSize)
	rand.Read(iv)
	data, merr := v.Material.Seal(iv, plaintext, aad)
	if merr != nil {
		return Sealed{}, Internal()
	}
	return Sealed{KeyID: v.key.ID, VersionID: v.ID, IV: iv, Data: data}, nil
}
