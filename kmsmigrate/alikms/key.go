package alikms

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Key is one symmetric KMS key at a Gateway or an Instance: the kmsmigrate.Key that their Key methods return. It is safe
// for concurrent use.
type Key struct {
	face    face
	name    keyName
	owners  *owners
	resolve chan struct{} // held by whoever asks the service what the alias names
}

// face is what a Key needs of its endpoint.
type face interface {
	// encrypt returns raw ciphertext and the key that the answer names.
	encrypt(ctx context.Context, key string, plaintext []byte, ec kmsmigrate.EncryptionContext) (blob []byte, answered string, err error)
	// decrypt returns the plaintext and the key that the answer names. key is for errors only: the service finds its own.
	decrypt(ctx context.Context, key string, blob []byte, ec kmsmigrate.EncryptionContext) (plaintext []byte, answered string, err error)
	base() *endpoint
	// directory is a gateway that can describe keys and list their versions, or nil.
	directory() *Gateway
}

var (
	_ kmsmigrate.Key              = (*Key)(nil)
	_ kmsmigrate.DataKeyGenerator = (*Key)(nil)
)

func newKey(f face, id string, versions map[string][]string) (*Key, error) {
	name, err := parseKeyName(id)
	if err != nil {
		return nil, err
	}
	ref := f.base().ref
	if name.region != "" && ref.Region != "" && name.region != ref.Region {
		return nil, invalid("%s is in region %s, and the endpoint %s in %s: ciphertext does not leave its region", id, name.region, ref.Endpoint, ref.Region)
	}
	known := versions[id]
	if name.id != "" && id != name.id {
		known = append(known[:len(known):len(known)], versions[name.id]...)
	}
	return &Key{face: f, name: name, owners: newOwners(name, known), resolve: make(chan struct{}, 1)}, nil
}

// checkVersions checks the version ids of a config.
func checkVersions(versions map[string][]string) error {
	for id, list := range versions {
		if _, err := parseKeyName(id); err != nil {
			return err
		}
		for _, v := range list {
			if len(v) != kmsmigrate.VersionIDSize {
				return invalid("Versions of %s: %q is not the id of a key version, which has %d characters", clip(id), clip(v), kmsmigrate.VersionIDSize)
			}
		}
	}
	return nil
}

// Encrypt encrypts 1 byte or more (the gateways take up to 6 KB) with the key's primary version and returns raw ciphertext,
// 64 bytes longer. Errors are *kmsmigrate.Errors; ErrInvalid, without a call, for plaintext that is empty or that the face
// cannot carry, and ErrBadAnswer for an answer of another length or another key.
func (k *Key) Encrypt(ctx context.Context, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	e := k.face.base()
	if len(plaintext) == 0 {
		return nil, e.wrong("Encrypt", k.owners.keyID(), kmsmigrate.ErrInvalid, "there is no plaintext")
	}
	blob, answered, err := k.face.encrypt(ctx, k.name.given, plaintext, ec)
	if err != nil {
		return nil, err
	}
	if complaint := wraps(blob, len(plaintext)); complaint != "" {
		return nil, e.bad("Encrypt", k.owners.keyID(), complaint)
	}
	if err := k.wrote("Encrypt", answered, blob); err != nil {
		return nil, err
	}
	return blob, nil
}

// wrote checks which key an answer names that holds new ciphertext, and remembers it.
func (k *Key) wrote(op, answered string, blob []byte) error {
	answered = bareKeyID(answered)
	if k.name.id != "" && answered != k.name.id {
		return k.face.base().bad(op, k.name.id, "the answer is of another key")
	}
	k.owners.isKey(answered, time.Now())
	version, _ := kmsmigrate.BlobVersion(blob)
	k.owners.isOf(version, answered)
	return nil
}

// Decrypt opens what Encrypt returned, given an equal ec. It fails with ErrForeign where the ciphertext is another key's:
// without a call where Owns says so or the form is not that of a KMS ciphertext, and after one where the service names
// another key or answers with one of the foreign codes. A Key that is named by an alias asks the service once which key
// that is, with DescribeKey or, where that is not permitted, by encrypting one byte.
func (k *Key) Decrypt(ctx context.Context, ciphertext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	const op = "Decrypt"
	e := k.face.base()
	if len(ciphertext) == 0 {
		return nil, e.wrong(op, k.owners.keyID(), kmsmigrate.ErrInvalid, "there is no ciphertext")
	}
	version, ok := kmsmigrate.BlobVersion(ciphertext)
	if !ok {
		return nil, e.wrong(op, k.owners.keyID(), kmsmigrate.ErrForeign, "it does not begin with a key version, or is truncated")
	}
	_, owned := k.owners.judge(version)
	if owned == kmsmigrate.Unknown && k.listsFirst() {
		k.list(ctx, version)
		_, owned = k.owners.judge(version)
	}
	if owned == kmsmigrate.Foreign {
		return nil, e.wrong(op, k.owners.keyID(), kmsmigrate.ErrForeign, "the key version that it begins with is not this key's")
	}
	if err := k.know(ctx); err != nil {
		return nil, err
	}
	plaintext, answered, err := k.face.decrypt(ctx, k.owners.keyID(), ciphertext, ec)
	if err != nil {
		if owned == kmsmigrate.Unknown && errors.Is(err, kmsmigrate.ErrForeign) {
			k.list(ctx, version)
		}
		return nil, err
	}
	answered = bareKeyID(answered)
	k.owners.isOf(version, answered)
	if mine, err := k.has(ctx, answered); err != nil || !mine {
		clear(plaintext)
		if err != nil {
			return nil, err
		}
		return nil, e.wrong(op, k.owners.keyID(), kmsmigrate.ErrForeign, "the service opened it with another key")
	}
	if len(plaintext) != len(ciphertext)-kmsmigrate.BlobOverhead {
		clear(plaintext)
		return nil, e.bad(op, k.owners.keyID(), "the plaintext has not the length that the ciphertext says")
	}
	return plaintext, nil
}

// Owns tells from the version id whose ciphertext this is; see the package documentation. It does no I/O.
func (k *Key) Owns(ciphertext []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	version, ok := kmsmigrate.BlobVersion(ciphertext)
	if !ok {
		return kmsmigrate.KeyRef{}, kmsmigrate.Foreign
	}
	keyID, owned := k.owners.judge(version)
	if owned != kmsmigrate.Mine {
		return kmsmigrate.KeyRef{KeyID: keyID, VersionID: version}, owned
	}
	ref := k.face.base().ref
	ref.KeyID, ref.VersionID = keyID, version
	if k.name.account != "" {
		ref.Account = k.name.account
	}
	return ref, owned
}

// Refresh asks the service for the versions of the key, so that Owns knows them all before a census. It needs
// kms:ListKeyVersions, and for an alias kms:DescribeKey; an Instance and an instance's RPC face need a Directory for it.
// Nothing else needs Refresh to be called.
func (k *Key) Refresh(ctx context.Context) error {
	d := k.face.directory()
	if d == nil {
		return k.face.base().wrong("ListKeyVersions", k.owners.keyID(), kmsmigrate.ErrInvalid, "this endpoint cannot list versions: set Directory to a Gateway of the region")
	}
	if err := k.know(ctx); err != nil {
		return err
	}
	asked, id := k.owners.asking(), k.owners.keyID()
	versions, err := d.versions(ctx, id)
	if err != nil {
		return err
	}
	k.owners.list(id, versions, asked)
	return nil
}

// listsFirst reports whether an unknown version id is likelier another key's, so that a list is worth more than a trial:
// the version ids of a key with a 3.0 id would have told.
func (k *Key) listsFirst() bool { return isNew(k.name.id) && k.face.directory() != nil }

// list refreshes the versions because of an id that nobody knows. Where that is not permitted, or fails, the id stays
// unknown, and a trial tells.
func (k *Key) list(ctx context.Context, version string) {
	if k.face.directory() == nil || !k.owners.relist(version, time.Now()) {
		return
	}
	_ = k.Refresh(ctx) // whatever it is, the trial goes on
}

// know makes sure that the key's id is known, which for an alias takes a call.
func (k *Key) know(ctx context.Context) error {
	if k.owners.keyID() != "" {
		return nil
	}
	return k.ask(ctx, func() bool { return k.owners.keyID() != "" })
}

// has reports whether keyID is this key. An alias may have been moved to it since it was last looked at.
func (k *Key) has(ctx context.Context, keyID string) (bool, error) {
	if mine := k.owners.has(keyID); mine || !k.owners.stale(time.Now()) {
		return mine, nil
	}
	if err := k.ask(ctx, func() bool { return !k.owners.stale(time.Now()) }); err != nil {
		return false, err
	}
	return k.owners.has(keyID), nil
}

// ask resolves the alias, unless another goroutine did meanwhile.
func (k *Key) ask(ctx context.Context, already func() bool) error {
	e := k.face.base()
	select {
	case k.resolve <- struct{}{}:
		defer func() { <-k.resolve }()
	case <-ctx.Done():
		return e.failed(operation{name: "DescribeKey"}, 0, report{}, done(ctx), false)
	}
	if already() {
		return nil
	}
	if d := k.face.directory(); d != nil {
		id, err := d.resolve(ctx, k.name.given)
		if err == nil {
			k.owners.isKey(id, time.Now())
			return nil
		}
		if !errors.Is(err, kmsmigrate.ErrDenied) && !errors.Is(err, kmsmigrate.ErrInvalid) {
			return err
		}
	}
	_, err := k.Encrypt(ctx, []byte{'k'}, nil)
	if errors.Is(err, kmsmigrate.ErrDenied) {
		return e.wrong("DescribeKey", "", kmsmigrate.ErrDenied, "an alias needs kms:DescribeKey, or kms:Encrypt, to be resolved; or name the key by its id")
	}
	return err
}

func isNew(keyID string) bool { return len(keyID) > 4 && keyID[:4] == "key-" }

// GenerateDataKey makes a data key of n bytes, 1 to 1,024, and encrypts its base64 text with the key's primary version, in one
// round trip. plaintext is that text, in the standard alphabet with padding: exactly what Decrypt of ciphertext gives
// back, on this face, on the other, and with the official SDKs when this module is gone.
//
// At a Gateway the service makes the data key. The data keys that an instance makes wrap raw bytes, which the plain SDKs
// would not open as they open the rest, so at an Instance the bytes come from crypto/rand. Where they must be the
// instance's own, encrypt what Instance.GenerateRandom returns.
func (k *Key) GenerateDataKey(ctx context.Context, n int, ec kmsmigrate.EncryptionContext) (plaintext, ciphertext []byte, err error) {
	const op = "GenerateDataKey"
	e := k.face.base()
	if n < 1 || n > maxDataKey {
		return nil, nil, e.wrong(op, k.owners.keyID(), kmsmigrate.ErrInvalid, "a data key has 1 to 1,024 bytes")
	}
	if g, ok := k.face.(*Gateway); ok {
		made, err := g.GenerateDataKey(ctx, k.name.given, n, Binding{Context: ec})
		defer clear(made.Plaintext)
		if err == nil {
			err = k.wrote(op, made.KeyID, made.Ciphertext)
		}
		if err != nil {
			return nil, nil, err
		}
		return base64.StdEncoding.AppendEncode(nil, made.Plaintext), made.Ciphertext, nil
	}
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // it never fails (crypto/rand)
	plaintext = base64.StdEncoding.AppendEncode(nil, raw)
	clear(raw)
	if ciphertext, err = k.Encrypt(ctx, plaintext, ec); err != nil {
		clear(plaintext)
		return nil, nil, err
	}
	return plaintext, ciphertext, nil
}
