package model

import (
	"crypto/rand"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// Which picks the version that encrypts.
type Which int

// OpenAPI operations and Advance* use the primary version; an instance's Encrypt and GenerateDataKey use the initial one for ever, which is
// why rotation has no effect on them.
const (
	Primary Which = iota
	Initial
)

func (w Which) of(k *Key) *Version {
	if w == Initial {
		return k.initial()
	}
	return k.primary()
}

// Opened is the result of a decryption.
type Opened struct {
	KeyID     string
	VersionID string
	Plaintext []byte
}

// Seal encrypts plaintext under GCM. A nil iv is drawn at random.
func (d Door) Seal(ref string, which Which, iv, plaintext, aad []byte) (Sealed, *Error) {
	v, err := d.symmetricVersion(ref, which)
	if err != nil {
		return Sealed{}, err
	}
	if iv == nil {
		iv = make([]byte, material.NonceSize)
		rand.Read(iv)
	}
	data, serr := v.Material.Seal(iv, plaintext, aad)
	if serr != nil {
		return Sealed{}, InvalidParameter("Iv")
	}
	return Sealed{KeyID: v.key.ID, VersionID: v.ID, IV: iv, Data: data}, nil
}

// symmetricVersion finds the version that Seal uses, and refuses keys of the wrong sort. Only the lookup happens under the lock.
func (d Door) symmetricVersion(ref string, which Which) (*Version, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.cryptoKey(ref)
	if err != nil {
		return nil, err
	}
	if !k.Symmetric() {
		return nil, d.wrongSort(k)
	}
	return which.of(k), nil
}

// wrongSort answers an asymmetric key given to a symmetric operation.
func (d Door) wrongSort(k *Key) *Error {
	if d.Instance != nil {
		return OnlySymmetric(k.ID)
	}
	return Unsupported()
}

// Open decrypts what names its key version itself: an OpenAPI blob, or a ciphertext with a version id beside it. No key id is asked for,
// and any key of this place may be the one.
func (d Door) Open(s Sealed, aad []byte) (Opened, *Error) {
	c := d.Region.cloud
	c.rlock()
	v := d.Region.versions[s.VersionID]
	var err *Error
	switch {
	case v == nil, d.Instance != nil && v.key.Instance != d.Instance:
		err = c.rules.UnknownVersion
	default:
		err = d.forCrypto(v.key)
	}
	bad := c.rules.BadCiphertext
	reported := s.VersionID
	if err == nil && c.rules.ReportNewVersions {
		reported = v.ID
	}
	c.mu.RUnlock()
	if err != nil {
		return Opened{}, err
	}
	plaintext, oerr := v.Material.Open(s.IV, s.Data, aad)
	if oerr != nil {
		return Opened{}, bad
	}
	return Opened{KeyID: v.key.ID, VersionID: reported, Plaintext: plaintext}, nil
}

// OpenInitial decrypts an instance ciphertext that names nothing: the caller brings key id and IV, and the initial version is the one.
func (d Door) OpenInitial(ref string, s Sealed, aad []byte) (Opened, *Error) {
	v, err := d.symmetricVersion(ref, Initial)
	if err != nil {
		return Opened{}, err
	}
	s.KeyID, s.VersionID = v.key.ID, v.ID
	plaintext, oerr := v.Material.Open(s.IV, s.Data, aad)
	if oerr != nil {
		return Opened{}, d.Region.cloud.rules.BadCiphertext
	}
	return Opened{KeyID: v.key.ID, VersionID: v.ID, Plaintext: plaintext}, nil
}

// BadCiphertext is the configured answer to a blob that does not parse.
func (c *Cloud) BadCiphertext() *Error { return c.rules.BadCiphertext }

// MustBeSymmetric is nil when ref names a symmetric key that may be used here.
func (d Door) MustBeSymmetric(ref string) *Error {
	_, err := d.symmetricVersion(ref, Initial)
	return err
}
