package model

import (
	"errors"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// VersionRef names one version of an asymmetric key. OpenAPI wants both; an instance takes the initial version when VersionID is empty.
type VersionRef struct {
	KeyRef    string
	VersionID string
	Algorithm string
}

// asymmetric finds the version and checks that the key is of the sort and for the usage.
func (d Door) asymmetric(ref VersionRef, usage string) (*Version, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.cryptoKey(ref.KeyRef)
	if err != nil {
		return nil, err
	}
	if k.Symmetric() || usage != "" && k.Usage != usage {
		return nil, Unsupported()
	}
	return k.version(ref.VersionID)
}

// version finds one of the key's versions by any id it ever had. An empty id is the initial version.
func (k *Key) version(id string) (*Version, *Error) {
	if id == "" {
		return k.initial(), nil
	}
	v := k.Region.versions[id]
	if v == nil || v.key != k {
		return nil, KeyVersionNotFound()
	}
	return v, nil
}

// AsymmetricResult names the version that did the work.
type AsymmetricResult struct {
	KeyID     string
	VersionID string
	Data      []byte
	Valid     bool
}

func result(v *Version, data []byte) AsymmetricResult {
	return AsymmetricResult{KeyID: v.key.ID, VersionID: v.ID, Data: data}
}

// AsymmetricEncrypt encrypts under a public key.
func (d Door) AsymmetricEncrypt(ref VersionRef, plaintext []byte) (AsymmetricResult, *Error) {
	v, err := d.asymmetric(ref, EncryptDecrypt)
	switch {
	case err != nil:
		return AsymmetricResult{}, err
	case !v.Material.CanEncrypt(ref.Algorithm):
		return AsymmetricResult{}, InvalidParameter("Algorithm")
	}
	out, merr := v.Material.Encrypt(ref.Algorithm, plaintext)
	if merr == nil && ref.Algorithm == material.SM2PKE && d.Region.cloud.rules.PlainSM2 {
		out, merr = material.PlainSM2(out)
	}
	if errors.Is(merr, material.ErrTooLong) {
		return AsymmetricResult{}, InvalidParameter("Plaintext")
	} else if merr != nil {
		return AsymmetricResult{}, Internal()
	}
	return result(v, out), nil
}

// AsymmetricDecrypt reverses AsymmetricEncrypt.
func (d Door) AsymmetricDecrypt(ref VersionRef, ciphertext []byte) (AsymmetricResult, *Error) {
	v, err := d.asymmetric(ref, EncryptDecrypt)
	switch {
	case err != nil:
		return AsymmetricResult{}, err
	case !v.Material.CanEncrypt(ref.Algorithm):
		return AsymmetricResult{}, InvalidParameter("Algorithm")
	}
	out, merr := v.Material.Decrypt(ref.Algorithm, ciphertext)
	if merr != nil {
		return AsymmetricResult{}, d.Region.cloud.rules.BadCiphertext
	}
	return result(v, out), nil
}

// Sign signs a digest of 32 bytes.
func (d Door) Sign(ref VersionRef, digest []byte) (AsymmetricResult, *Error) {
	v, err := d.signer(ref, digest)
	if err != nil {
		return AsymmetricResult{}, err
	}
	out, merr := v.Material.Sign(ref.Algorithm, digest)
	if merr != nil {
		return AsymmetricResult{}, Internal()
	}
	return result(v, out), nil
}

// Verify checks a signature. A wrong one is an answer, not an error.
func (d Door) Verify(ref VersionRef, digest, signature []byte) (AsymmetricResult, *Error) {
	v, err := d.signer(ref, digest)
	if err != nil {
		return AsymmetricResult{}, err
	}
	valid, merr := v.Material.Verify(ref.Algorithm, digest, signature)
	if merr != nil {
		return AsymmetricResult{}, Internal()
	}
	r := result(v, nil)
	r.Valid = valid
	return r, nil
}

func (d Door) signer(ref VersionRef, digest []byte) (*Version, *Error) {
	v, err := d.asymmetric(ref, SignVerify)
	switch {
	case err != nil:
		return nil, err
	case !v.Material.CanSign(ref.Algorithm):
		return nil, InvalidParameter("Algorithm")
	case len(digest) != material.DigestSize:
		return nil, InvalidParameter("Digest")
	}
	return v, nil
}

// Digest computes what is signed for a whole message: for SM2 it depends on the key.
func (d Door) Digest(ref VersionRef, message []byte) ([]byte, *Error) {
	v, err := d.asymmetric(ref, SignVerify)
	if err != nil {
		return nil, err
	}
	digest, merr := v.Material.Digest(message)
	if merr != nil {
		return nil, Internal()
	}
	return digest, nil
}

// PublicKey returns the PEM of a version's public key.
func (d Door) PublicKey(ref VersionRef) (AsymmetricResult, *Error) {
	v, err := d.asymmetric(ref, "")
	if err != nil {
		return AsymmetricResult{}, err
	}
	pem, merr := v.Material.PublicPEM()
	if merr != nil {
		return AsymmetricResult{}, Internal()
	}
	return result(v, []byte(pem)), nil
}
