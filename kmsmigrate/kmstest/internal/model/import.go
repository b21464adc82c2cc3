package model

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSAES_OAEP_SHA_1 is one of the wrapping algorithms
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// importToken is what GetParametersForImport handed out.
type importToken struct {
	algorithm string
	key       *rsa.PrivateKey
	expires   time.Time
}

// tokenLife is how long an import token is good for.
const tokenLife = 24 * time.Hour

// ImportParameters is the answer to GetParametersForImport.
type ImportParameters struct {
	KeyID     string
	Token     string // base64
	PublicKey string // base64 of a SubjectPublicKeyInfo
	Expires   time.Time
}

func invalidImport(code, message string) *Error { return &Error{http.StatusBadRequest, code, message} }

// ParametersForImport makes a wrapping key for material from outside.
func (d Door) ParametersForImport(ref, algorithm, spec string) (ImportParameters, *Error) {
	switch algorithm {
	case "":
		return ImportParameters{}, MissingParameter("WrappingAlgorithm")
	case material.OAEP1, material.OAEP256, "RSAES_PKCS1_V1_5":
	default:
		return ImportParameters{}, InvalidParameter("WrappingAlgorithm")
	}
	if spec == "" {
		return ImportParameters{}, MissingParameter("WrappingKeySpec")
	}
	if spec != material.RSA2048 {
		return ImportParameters{}, InvalidParameter("WrappingKeySpec")
	}
	wrapping, gerr := rsa.GenerateKey(rand.Reader, 2048) // slow, so before the lock
	if gerr != nil {
		return ImportParameters{}, Internal()
	}
	public, gerr := x509.MarshalPKIXPublicKey(&wrapping.PublicKey)
	if gerr != nil {
		return ImportParameters{}, Internal()
	}
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.importable(ref)
	if err != nil {
		return ImportParameters{}, err
	}
	text := base64.StdEncoding.EncodeToString([]byte(token(64)))
	expires := c.now().Add(tokenLife)
	if k.Import.tokens == nil {
		k.Import.tokens = map[string]importToken{}
	}
	k.Import.tokens[text] = importToken{algorithm, wrapping, expires}
	return ImportParameters{KeyID: k.ID, Token: text, PublicKey: base64.StdEncoding.EncodeToString(public), Expires: expires}, nil
}

func (d Door) importable(ref string) (*Key, *Error) {
	k, err := d.key(ref)
	switch {
	case err != nil:
		return nil, err
	case k.Origin != OriginExternal:
		return nil, &Error{http.StatusBadRequest, "Unsupported.Origin", "The origin of the key does not allow this operation."}
	case k.State == PendingDeletion:
		return nil, StateModifiedFailed()
	}
	return k, nil
}

// ImportMaterial gives an external key its material. A key that had material before takes the same again and no other: a ciphertext belongs
// to one key, whatever the material.
func (d Door) ImportMaterial(ref, tokenText string, wrapped []byte, expires time.Time) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.importable(ref)
	if err != nil {
		return err
	}
	t, ok := k.Import.tokens[tokenText]
	switch {
	case !ok:
		return invalidImport("InvalidImportToken", "The import token is not valid.")
	case !c.now().Before(t.expires):
		return invalidImport("ExpiredImportToken", "The import token has expired.")
	case !expires.IsZero() && !expires.After(c.now()):
		return InvalidParameter("KeyMaterialExpireUnix")
	}
	raw, uerr := t.unwrap(wrapped)
	if uerr != nil || len(raw) != material.Size(k.Spec) {
		return invalidImport("InvalidKeyMaterial", "The key material is not valid.")
	}
	if k.Import.First != nil && !k.Import.First.Same(raw) {
		return invalidImport("InvalidKeyMaterial", "The key material differs from what was imported before.")
	}
	if len(k.Versions) == 0 {
		m, merr := material.FromRaw(k.Spec, raw)
		if merr != nil {
			return Internal()
		}
		k.Import.First = m
		k.addVersion(newVersionID(k.ID), m)
	}
	k.Import.Expires = expires
	if k.State == PendingImport {
		k.State = Enabled
	}
	c.schedule(expires)
	return nil
}

func (t importToken) unwrap(wrapped []byte) ([]byte, error) {
	switch t.algorithm {
	case material.OAEP1:
		return rsa.DecryptOAEP(sha1.New(), nil, t.key, wrapped, nil) //nolint:gosec // as above
	case material.OAEP256:
		return rsa.DecryptOAEP(sha256.New(), nil, t.key, wrapped, nil)
	}
	return rsa.DecryptPKCS1v15(nil, t.key, wrapped) //nolint:staticcheck // RSAES_PKCS1_V1_5 is documented, and the fake keeps no secrets
}

// DeleteMaterial takes imported material away. The key waits for it to come back.
func (d Door) DeleteMaterial(ref string) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.importable(ref)
	if err != nil {
		return err
	}
	k.forgetMaterial()
	return nil
}

// forgetMaterial leaves the version in place, so that what it encrypted opens again after the same material was imported again.
func (k *Key) forgetMaterial() {
	k.Import.Expires = time.Time{}
	if k.State != PendingDeletion {
		k.State = PendingImport
	}
}
