package model

import (
	"crypto/rand"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// Cipher is an instance's Encrypt or Decrypt: everything that the ciphertext itself does not say stands beside it.
type Cipher struct {
	KeyRef    string
	VersionID string // from the migration header; empty: the initial version
	Algorithm string // empty: AES_GCM, or SM4_GCM
	Padding   string
	IV        []byte
	Data      []byte // plaintext or ciphertext
	AAD       []byte
}

// CipherResult is what came of it.
type CipherResult struct {
	KeyID     string
	VersionID string
	Algorithm string
	Padding   string
	IV        []byte
	Data      []byte
}

// Encrypt encrypts under the initial version: symmetric keys by GCM, in a hardware instance by the block modes too, asymmetric keys by their
// own algorithms.
func (d Door) Encrypt(in Cipher) (CipherResult, *Error) {
	v, mode, err := d.cipher(&in)
	switch {
	case err != nil:
		return CipherResult{}, err
	case mode == "":
		r, err := d.AsymmetricEncrypt(VersionRef{in.KeyRef, in.VersionID, in.Algorithm}, in.Data)
		return CipherResult{KeyID: r.KeyID, VersionID: r.VersionID, Algorithm: in.Algorithm, Data: r.Data}, err
	}
	if len(in.IV) == 0 {
		in.IV = make([]byte, mode.IVSize())
		rand.Read(in.IV)
	}
	out := CipherResult{KeyID: v.key.ID, VersionID: v.ID, Algorithm: v.Material.Algorithm(mode), Padding: in.Padding, IV: in.IV}
	var merr error
	if mode == material.GCM {
		if out.Data, merr = v.Material.Seal(in.IV, in.Data, in.AAD); merr != nil {
			return CipherResult{}, InvalidParameter("Iv")
		}
		return out, nil
	}
	if len(in.IV) != mode.IVSize() {
		return CipherResult{}, InvalidParameter("Iv")
	}
	if out.Data, merr = v.Material.SealBlocks(mode, in.Padding, in.IV, in.Data); merr != nil {
		return CipherResult{}, InvalidParameter("Plaintext")
	}
	return out, nil
}

// Decrypt reverses Encrypt. With a version id and no key, the version decides.
func (d Door) Decrypt(in Cipher) (CipherResult, *Error) {
	if in.KeyRef == "" && in.VersionID != "" {
		o, err := d.Open(Sealed{VersionID: in.VersionID, IV: in.IV, Data: in.Data}, in.AAD)
		return CipherResult{KeyID: o.KeyID, VersionID: o.VersionID, Algorithm: AESGCM, Data: o.Plaintext}, err
	}
	v, mode, err := d.cipher(&in)
	switch {
	case err != nil:
		return CipherResult{}, err
	case mode == "":
		r, err := d.AsymmetricDecrypt(VersionRef{in.KeyRef, in.VersionID, in.Algorithm}, in.Data)
		return CipherResult{KeyID: r.KeyID, VersionID: r.VersionID, Algorithm: in.Algorithm, Data: r.Data}, err
	case len(in.IV) == 0 && mode.IVSize() > 0:
		return CipherResult{}, MissingParameter("Iv")
	case len(in.IV) != mode.IVSize():
		return CipherResult{}, InvalidParameter("Iv")
	}
	out := CipherResult{KeyID: v.key.ID, VersionID: v.ID, Algorithm: v.Material.Algorithm(mode), Padding: in.Padding}
	var merr error
	if mode == material.GCM {
		out.Data, merr = v.Material.Open(in.IV, in.Data, in.AAD)
	} else {
		out.Data, merr = v.Material.OpenBlocks(mode, in.Padding, in.IV, in.Data)
	}
	if merr != nil {
		return CipherResult{}, d.Region.cloud.rules.BadCiphertext
	}
	return out, nil
}

// cipher finds the version and, for a symmetric key, the mode; an empty mode means an asymmetric key.
func (d Door) cipher(in *Cipher) (*Version, material.Mode, *Error) {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.cryptoKey(in.KeyRef)
	if err != nil {
		return nil, "", err
	}
	if !k.Symmetric() {
		return nil, "", nil
	}
	v, err := k.version(in.VersionID)
	if err != nil {
		return nil, "", err
	}
	mode, ok := v.Material.ParseMode(in.Algorithm)
	if !ok || mode != material.GCM && (k.Instance == nil || k.Instance.Kind != Hardware) {
		return nil, "", InvalidParameter("Algorithm")
	}
	if len(in.AAD) > maxAAD || len(in.AAD) > 0 && mode != material.GCM {
		return nil, "", InvalidParameter("Aad")
	}
	switch in.Padding {
	case "", material.NoPadding:
	case material.PKCS7:
		if mode == material.GCM {
			return nil, "", InvalidParameter("PaddingMode")
		}
	default:
		return nil, "", InvalidParameter("PaddingMode")
	}
	if mode != material.GCM && in.Padding == "" {
		in.Padding = material.PKCS7
	}
	return v, mode, nil
}
