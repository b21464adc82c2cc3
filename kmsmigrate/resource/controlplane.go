package resource

import (
	"context"
	"iter"
	"time"
)

// ControlPlane reads and changes the keys, secrets and instances of one account in one region. It is safe for concurrent
// use. Iterators page as they go, yield an error at most once, as their last pair, and stop when the loop does. Errors are
// *kmsmigrate.Errors where package alikms makes them.
//
// Keys are named by id, alias or ARN wherever a parameter is called key.
type ControlPlane interface {
	// Region is the region's id.
	Region() string

	Reader
	Writer
}

// Reader is the part of a [ControlPlane] that changes nothing.
type Reader interface {
	// Keys yields every key of the region, default and service keys included, as DescribeKey tells them. Versions, aliases and tags are not
	// filled in: they cost a call for each key.
	Keys(ctx context.Context) iter.Seq2[Key, error]
	// Key describes one key. It works in every state.
	Key(ctx context.Context, key string) (Key, error)
	// Versions yields the versions of a key.
	Versions(ctx context.Context, key string) iter.Seq2[Version, error]
	// Aliases yields every alias of the region.
	Aliases(ctx context.Context) iter.Seq2[Alias, error]
	// KeyTags returns the tags of a key.
	KeyTags(ctx context.Context, key string) (map[string]string, error)
	// Secrets yields every secret of the region, with tags and without versions.
	Secrets(ctx context.Context) iter.Seq2[Secret, error]
	// SecretVersions yields the versions of a secret, deprecated ones included, in no order.
	SecretVersions(ctx context.Context, name string) iter.Seq2[SecretVersion, error]
	// SecretValue reads one version of a secret: the one with that id, or, with an empty id, the one that is ACSCurrent.
	SecretValue(ctx context.Context, name, versionID string) (SecretValue, error)
	// Instances yields the KMS instances of the region, described.
	Instances(ctx context.Context) iter.Seq2[Instance, error]
}

// Writer is the part of a [ControlPlane] that changes things. None of it deletes a key: scheduling is as far as it goes, and
// that can be taken back.
type Writer interface {
	CreateKey(ctx context.Context, spec NewKey) (Key, error)
	// CreateAlias gives a key another name, which begins with alias/; UpdateAlias points an existing one at another key.
	CreateAlias(ctx context.Context, name, key string) error
	UpdateAlias(ctx context.Context, name, key string) error
	DeleteAlias(ctx context.Context, name string) error
	TagKey(ctx context.Context, key string, tags map[string]string) error
	// SetRotation switches automatic rotation on, every interval, or off with zero.
	SetRotation(ctx context.Context, key string, interval time.Duration) error
	// SetDeletionProtection needs the key's ARN where the service does; an implementation looks it up.
	SetDeletionProtection(ctx context.Context, key string, on bool, why string) error
	EnableKey(ctx context.Context, key string) error
	// DisableKey stops a key from encrypting and decrypting: the way to find out who still needs it.
	DisableKey(ctx context.Context, key string) error
	// ScheduleKeyDeletion lets the service delete a key after 7 to 366 days; until then CancelKeyDeletion takes it back.
	ScheduleKeyDeletion(ctx context.Context, key string, days int) error
	CancelKeyDeletion(ctx context.Context, key string) error

	CreateSecret(ctx context.Context, secret NewSecret) error
	// PutSecretValue adds a version. The same id with the same value is no error; with another value it is one.
	PutSecretValue(ctx context.Context, value SecretValue) error
	// MoveSecretStage takes a stage from one version and gives it to another; either may be empty.
	MoveSecretStage(ctx context.Context, name, stage, from, to string) error
}
