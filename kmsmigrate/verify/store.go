package verify

import (
	"context"
	"fmt"
	"time"
)

// Retained is the public key of one version of a KMS key. Its JSON form is what files hold.
type Retained struct {
	KeyID     string `json:"key_id"`     // the key's id: key-hzz… or a UUID; not an alias, which can move
	VersionID string `json:"version_id"` // the id of the key version, 36 characters
	PublicKey string `json:"public_key"` // PEM, as GetPublicKey returned it
	// Fingerprint pins PublicKey: the SHA-256 of its SubjectPublicKeyInfo in hexadecimal (PublicKey.Fingerprint). It is worth
	// most when it comes another way than the key: from a review, or from a second person's GetPublicKey.
	Fingerprint string `json:"sha256"`
	// KeepUntil is the date until which the key must be kept: when the last signature that somebody may have to verify
	// loses its meaning. Zero means for ever.
	KeepUntil time.Time `json:"keep_until,omitzero"`
}

// Retain makes a Retained of what GetPublicKey returned. It fails with ErrInvalid for a public key that ParsePublicKey refuses
// and for an empty id.
func Retain(keyID, versionID, publicKey string, keepUntil time.Time) (Retained, error) {
	key, err := ParsePublicKey(publicKey)
	if err != nil {
		return Retained{}, err
	}
	r := Retained{KeyID: keyID, VersionID: versionID, PublicKey: publicKey, Fingerprint: key.Fingerprint(), KeepUntil: keepUntil}
	_, err = r.Parse()
	return r, err
}

// Parse returns the public key. It fails with ErrInvalid where it is malformed or an id is missing, and with ErrPinned where it is
// not the one that Fingerprint names.
func (r Retained) Parse() (*PublicKey, error) {
	if r.KeyID == "" || r.VersionID == "" {
		return nil, fmt.Errorf("verify: a retained key needs its key id and its version id: %w", ErrInvalid)
	}
	key, err := ParsePublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	if r.Fingerprint != key.Fingerprint() {
		return nil, fmt.Errorf("verify: %s: the public key has the fingerprint %s, and %q is pinned: %w", r.name(), key.Fingerprint(), clip(r.Fingerprint), ErrPinned)
	}
	return key, nil
}

func (r Retained) name() string { return "key " + clip(r.KeyID) + " version " + clip(r.VersionID) }

// Store finds retained keys. It must be safe for concurrent use.
type Store interface {
	// Find returns the key of that id and version. Where there is none the error wraps ErrUnknownKey; any other error means
	// that it could not be told.
	Find(ctx context.Context, keyID, versionID string) (Retained, error)
}

// Request is one signature to verify.
type Request struct {
	KeyID, VersionID string    // what the KMS named when it signed
	Algorithm        Algorithm // what it signed with
	Digest           []byte    // 32 bytes
	Signature        []byte    // raw; the KMS's Value is its base64
}

// Signature returns nil when the signature is one of the retained key over the digest. Errors wrap ErrBadSignature,
// ErrUnknownKey where the store has no such key, ErrPinned where it has another than was pinned, ErrInvalid for a question that
// cannot be answered, or are the store's own.
func Signature(ctx context.Context, store Store, r Request) error {
	if store == nil {
		return fmt.Errorf("verify: there is no store: %w", ErrInvalid)
	}
	retained, err := store.Find(ctx, r.KeyID, r.VersionID)
	if err != nil {
		return err
	}
	if retained.KeyID != r.KeyID || retained.VersionID != r.VersionID {
		return fmt.Errorf("verify: the store answered with %s when asked for another: %w", retained.name(), ErrPinned)
	}
	key, err := retained.Parse()
	if err != nil {
		return err
	}
	return key.Verify(r.Algorithm, r.Digest, r.Signature)
}
