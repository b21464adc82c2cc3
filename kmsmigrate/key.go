package kmsmigrate

import (
	"context"
	"fmt"
	"strings"
)

// Key is one KMS key at one endpoint: everything this module knows of a service is behind it. A Key is safe for
// concurrent use. Package keytest has a conformance suite, TestKey, for whoever writes one.
//
// Ciphertext at this boundary is raw bytes in the form that the KMS OpenAPI uses (see [DecodeBlob]): a 36-byte id of the
// key version, a 12-byte nonce, the encrypted bytes and a 16-byte tag. A Key neither keeps nor changes the slices it is
// given, and the caller owns the slices it returns.
type Key interface {
	// Encrypt encrypts 1 byte or more (the KMS takes up to 6 KB) under ec. An empty plaintext is an error, because the
	// service has no way to say it, and so is an empty answer.
	Encrypt(ctx context.Context, plaintext []byte, ec EncryptionContext) ([]byte, error)

	// Decrypt opens what Encrypt returned, given an equal ec. An error that wraps ErrForeign means "not mine, ask
	// another key". Any other error is final: throttling, time-outs and disabled keys must never look foreign. A nil
	// error comes with at least one byte of plaintext.
	Decrypt(ctx context.Context, ciphertext []byte, ec EncryptionContext) ([]byte, error)

	// Owns says whose ciphertext this is, from its first bytes and what the Key has learned. It does no I/O. Unknown is
	// always a safe answer: it costs a trial, never correctness. The KeyRef holds whatever could be told, also when
	// the answer is Foreign or Unknown.
	Owns(ciphertext []byte) (KeyRef, Ownership)
}

// Ownership is a Key's answer to "is this ciphertext yours?".
type Ownership uint8

// The answers of [Key.Owns]. The zero value is Unknown.
const (
	Unknown Ownership = iota // cannot be told without asking the service
	Mine                     // this key encrypted it
	Foreign                  // another key encrypted it: no call is made
)

// String returns "unknown", "mine" or "foreign".
func (o Ownership) String() string {
	switch o {
	case Mine:
		return "mine"
	case Foreign:
		return "foreign"
	default:
		return "unknown"
	}
}

// MarshalText returns what String returns.
func (o Ownership) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText returns, so that a census can be kept as JSON.
func (o *Ownership) UnmarshalText(text []byte) error {
	for _, known := range []Ownership{Unknown, Mine, Foreign} {
		if string(text) == known.String() {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("kmsmigrate: unknown ownership %q: %w", text, ErrInvalid)
}

// Side is one of the two ends of a migration.
type Side uint8

// The sides. The zero value is neither.
const (
	SideUnknown Side = iota // neither side, or not known
	SideOld                 // Config.Old, Config.Older and the old keys of Config.Pairs
	SideNew                 // Config.New and the new keys of Config.Pairs
)

// String returns "unknown", "old" or "new".
func (s Side) String() string {
	switch s {
	case SideOld:
		return "old"
	case SideNew:
		return "new"
	default:
		return "unknown"
	}
}

// MarshalText returns what String returns.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText returns.
func (s *Side) UnmarshalText(text []byte) error {
	for _, known := range []Side{SideUnknown, SideOld, SideNew} {
		if string(text) == known.String() {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("kmsmigrate: unknown side %q: %w", text, ErrInvalid)
}

// KeyRef names one version of one key at one endpoint. It is comparable. What cannot be known is empty: a blob alone
// tells only the version. The key id alone is not an identity, because Alibaba's same-region migration tool and its
// backup and restore both keep it while everything around it changes.
type KeyRef struct {
	Endpoint  string `json:"endpoint,omitempty"`   // host, and port where it is not 443: kms.cn-hangzhou.aliyuncs.com
	Account   string `json:"account,omitempty"`    // account uid
	Region    string `json:"region,omitempty"`     // region id: cn-hangzhou
	Instance  string `json:"instance,omitempty"`   // KMS instance: kst-…; empty for a key outside of any
	KeyID     string `json:"key_id,omitempty"`     // a UUID or key-…
	VersionID string `json:"version_id,omitempty"` // key version: 36 bytes, a UUID or key-…-…
}

// SameKey reports whether r and o name the same key at the same endpoint, of whatever version.
func (r KeyRef) SameKey(o KeyRef) bool {
	r.VersionID, o.VersionID = "", ""
	return r == o
}

// String returns the key, or what is known of it, for people: "key-hzz…/17kedv… at kms.cn-hangzhou.aliyuncs.com".
func (r KeyRef) String() string {
	var b strings.Builder
	switch {
	case r.KeyID != "" && r.VersionID != "":
		b.WriteString("key " + r.KeyID + " version " + r.VersionID)
	case r.KeyID != "":
		b.WriteString("key " + r.KeyID)
	case r.VersionID != "":
		b.WriteString("key version " + r.VersionID)
	default:
		b.WriteString("a key that is not known")
	}
	switch {
	case r.Endpoint != "":
		b.WriteString(" at " + r.Endpoint)
	case r.Instance != "":
		b.WriteString(" in " + r.Instance)
	case r.Region != "":
		b.WriteString(" in " + r.Region)
	}
	return b.String()
}
