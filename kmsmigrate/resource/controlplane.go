package resource

import (
	"context"
	"iter"
	"time"
)

// Inventory is what can be asked about the keys, secrets and instances of one region without changing anything.
//
// Sequences fetch page after page as they are ranged over. An error ends them and comes with a zero value. Errors of
// alikms are *kmsmigrate.Errors: ErrDenied where a permission is missing, ErrNoKey for what does not exist.
type Inventory interface {
	// Keys yields the ids of the keys that the filter lets through, in all states.
	Keys(ctx context.Context, filter KeyFilter) iter.Seq2[string, error]
	// DescribeKey returns the metadata of the key of that id, alias or ARN.
	DescribeKey(ctx context.Context, key string) (Key, error)
	// Versions yields all versions of a key.
	Versions(ctx context.Context, keyID string) iter.Seq2[Version, error]
	// Aliases yields all aliases of the region.
	Aliases(ctx context.Context) iter.Seq2[Alias, error]
	// AliasesOf yields the aliases of one key.
	AliasesOf(ctx context.Context, keyID string) iter.Seq2[Alias, error]
	// KeyTags returns the tags of a key.
	KeyTags(ctx context.Context, keyID string) (map[string]string, error)
	// PublicKey returns the public key of a version of an asymmetric key, in PEM (PKIX).
	PublicKey(ctx context.Context, keyID, versionID string) ([]byte, error)

	// Secrets yields the names of all secrets, also those whose deletion is planned.
	Secrets(ctx context.Context) iter.Seq2[string, error]
	// DescribeSecret returns the metadata of a secret, tags included.
	DescribeSecret(ctx context.Context, name string) (Secret, error)
	// SecretVersions yields the versions of a secret, deprecated ones included. The service does not sort them.
	SecretVersions(ctx context.Context, name string) iter.Seq2[SecretVersion, error]

	// Instances yields the ids of all instances of the region.
	Instances(ctx context.Context) iter.Seq2[string, error]
	// DescribeInstance returns what is known of an instance.
	DescribeInstance(ctx context.Context, id string) (Instance, error)
}

// ControlPlane is an Inventory whose contents can be changed. Nothing in it deletes: ScheduleKeyDeletion only starts a
// window in which the deletion can be cancelled.
//
// Calls that create something are not repeated when nobody knows whether they were carried out: look before calling again.
type ControlPlane interface {
	Inventory

	// CreateKey makes a key and returns its metadata.
	CreateKey(ctx context.Context, spec KeySpec) (Key, error)
	// EnableKey and DisableKey allow and stop encrypting and decrypting with a key.
	EnableKey(ctx context.Context, keyID string) error
	DisableKey(ctx context.Context, keyID string) error
	// ScheduleKeyDeletion has a key deleted after 7 to 366 days.
	ScheduleKeyDeletion(ctx context.Context, keyID string, days int) error
	// CancelKeyDeletion takes that back.
	CancelKeyDeletion(ctx context.Context, keyID string) error
	// ProtectKey turns deletion protection of a key on, for a reason, or off. The service wants the key's ARN.
	ProtectKey(ctx context.Context, arn string, on bool, because string) error
	// RotateEvery turns automatic rotation on, or off where the interval is zero.
	RotateEvery(ctx context.Context, keyID string, interval time.Duration) error
	// TagKey sets tags of a key and leaves its others alone.
	TagKey(ctx context.Context, keyID string, tags map[string]string) error

	// CreateAlias gives a key a further name (alias/…), UpdateAlias moves a name to another key, and DeleteAlias takes it
	// away.
	CreateAlias(ctx context.Context, name, keyID string) error
	UpdateAlias(ctx context.Context, name, keyID string) error
	DeleteAlias(ctx context.Context, name string) error

	// SecretValue returns the value of one version of a secret; of the current one where versionID is empty.
	SecretValue(ctx context.Context, name, versionID string) (SecretValue, error)
	// CreateSecret makes a generic secret with its first version.
	CreateSecret(ctx context.Context, spec SecretSpec) error
	// PutSecretValue adds a version. The same version with the same value again changes nothing.
	PutSecretValue(ctx context.Context, name string, value SecretValue) error
	// MoveSecretStage gives a stage to the version to, and takes it from the version from. Either may be empty.
	MoveSecretStage(ctx context.Context, name, stage, from, to string) error
}
