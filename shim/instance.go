package shim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	gcsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// InstanceConfig describes a migration from one KMS instance to another to an Instance. Old, New and Keys are needed; everything else has
// a useful zero value. What has the name of a field of Config means what it means there.
type InstanceConfig struct {
	// Phase says which side is written and which are read. Nil means OldOnly: every call goes to the old side.
	Phase kmsmigrate.PhaseSource
	// Old and New are the two instances, of software or hardware. They may be one, for a migration between two keys of it. Old may be
	// zero where Phase is the constant NewOnly, New where it is nil or the constant OldOnly. Form and Directory do not count.
	Old, New alikms.InstanceConfig
	// Keys says which new key takes the place of each old one. Name every old key by its id, too, where the application knows
	// it by an alias: what is stored holds the id.
	Keys kmsmigrate.KeyMap
	// Signing says which side signs, in an order of its own: see Config. Nil: the old side signs.
	Signing kmsmigrate.PhaseSource
	// Retained holds public keys of the old side, so that its signatures are verified without a call. Nil: nothing is retained.
	Retained verify.Store
	// Published holds the public keys that every verifier has by now: Sign moves to a new key only once that one's is in it. See Config. Nil:
	// Retained. One of them is needed where Signing can move, but for a constant NewOnly.
	Published verify.Store
	// KeyVersions names, by key id, the version whose public key is in Retained or Published: the instance API names none.
	KeyVersions map[string]string
	// Secrets says which secrets are read from the new side already. Nil: none, until the phase is NewOnly.
	Secrets *Secrets
	// AnswerOldIDs makes the answers of Decrypt, AdvanceDecrypt, Verify and GetPublicKey carry the KeyId and KeyVersionId of the old key
	// where the new side gave them. What encrypts names the real key in any case: the KeyId is a part of what is stored.
	AnswerOldIDs bool
	// OnStale is told of ciphertext that was read from the old side in phase Rewrite, once a new one is made of it that the new key has
	// been seen to open. The application stores the new fields with a compare-and-swap on the old. It is called after the answer was
	// returned, from up to eight goroutines at once. It must not call Close, which waits for it; a panic in it is a failed renewal. Nil:
	// nobody, and nothing is made.
	OnStale func(old, renewed Stored)
}

// Stored is what an application stores of an answer: the fields KeyId, Iv, CiphertextBlob and Algorithm, or CiphertextBlob alone where an
// Advance operation made it. PaddingMode is empty unless the application asked for one.
type Stored struct {
	KeyID       string
	IV          []byte
	Ciphertext  []byte
	Algorithm   string
	PaddingMode string
}

// String names the key and says how long the ciphertext is.
func (s Stored) String() string {
	return fmt.Sprintf("Stored(%s, %d bytes)", s.KeyID, len(s.Ciphertext))
}

//go:generate go run ./internal/generateinstance

// Instance takes the place of the dkms-gcs SDK's *Client: it has every method of it, with the SDK's own requests, responses, runtime options
// and errors, and routes the calls to the old or the new KMS instance. Package shim/gcs/client has it under the original's names, for
// who changes an import path. Make it with NewInstance, from what the original takes, or with NewMigratingInstance.
//
//	operation                                            goes to
//	Encrypt, Advance…Encrypt, …GenerateDataKey, …KeyPair   the side that the phase writes, with the key that Keys names there
//	Decrypt                                              the side that owns the KeyId; the new key of an old one where that does not open it
//	AdvanceDecrypt                                       the side that owns the key version in the blob; without one, as Decrypt
//	Sign                                                 the side that InstanceConfig.Signing writes
//	Verify, GetPublicKey                                 nobody where the public key is retained, else the side that owns the key
//	GetSecretValue                                       the old side until the secret is switched, or the phase is NewOnly
//	GenerateRandom                                       the side that the phase writes
//
// Nothing is added to what is stored: an official client with the new instance's ClientKey takes over when the migration is done. Advance
// operations are for software instances (Alibaba's documents); what an application wrote with them cannot move to hardware, and the new
// instance's refusal is passed on.
//
// # Headers and runtime options
//
// Headers of a response holds what RuntimeOptions.Headers asks for and, from this package, x-keyhaul-side (old, new, local) and
// x-keyhaul-stale: true for what Decrypt and AdvanceDecrypt read from the old side in phase Rewrite. Headers of a request are sent along.
// ReadTimeout bounds a call in milliseconds, all attempts together, below Limits.Call; Autoretry and MaxAttempts say how often it is tried.
// Connections belong to the sides: Verify and IgnoreSSL count only for an Instance that was made without a CA, and then in the first call that has
// one; the other options do not count.
//
// # What the original gets wrong
//
//   - It can hang for ever, and in a deadlock of the whole process; here each call has a time-out (TestRuntimeOptionsOfAnInstance).
//   - An answer of status 200, 204 or 302 with no content is an InternalFailure, not an empty plaintext with no error, and what a load
//     balancer refuses has a code (TestWhatIsNoAnswerOfAnInstanceIsAnError).
//   - A nil request and a client that nobody made are errors; the original panics (TestARequestThatIsNilAndAClientThatWasNotMade).
//   - Clients do not share connections, CA or certificate because they share an address, and ReadTimeout opens no new ones.
//   - IgnoreSSL does not keep the client's certificate back, and where there is a CA, the CA goes before it
//     (TestAnInstanceIsMadeOfWhatTheOriginalTakes).
//   - A CA that is none and a ClientKey that has expired are found when the client is made, not at the first call, and the config that was given is
//     not written to (TestAConfigOfTheOriginalThatCannotWork).
//   - No error quotes a request or an answer.
//
// Every error is a *tea.SDKError, for failures of the connection too. It is safe for concurrent use.
type Instance struct {
	mu    sync.Mutex // of Init
	route atomic.Pointer[instances]
}

// NewMigratingInstance checks cfg and makes an Instance of it, without a call. It fails with kmsmigrate.ErrInvalid where a field that is
// needed is missing, alikms.NewInstance would refuse a side, or Keys leads one key two ways, and with kmsmigrate.ErrPhase. Close it.
func NewMigratingInstance(cfg InstanceConfig) (*Instance, error) {
	r, err := newInstances(cfg)
	if err != nil {
		return nil, err
	}
	i := &Instance{}
	i.route.Store(r)
	return i, nil
}

// NewInstance makes an Instance of what the original's constructor takes, for an application whose import path is all that changes: config is
// the old side, and the rest stands in the migration file that the environment variable MigrationVariable names, as it does for packages
// shim/kms and shim/transfer/sdk. Without one it fails, as Migration.Instance does.
func NewInstance(config *gcsapi.Config) (*Instance, error) {
	i := &Instance{}
	return i, i.Init(config)
}

// Init makes an Instance what NewInstance makes, whatever it was before, and closes that.
func (i *Instance) Init(config *gcsapi.Config) error {
	m, err := ReadMigration()
	if err != nil {
		return err
	}
	r, err := m.instances(config)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if before := i.route.Swap(r); before != nil {
		before.close()
	}
	return nil
}

// Stats returns what was counted since the Instance was made.
func (i *Instance) Stats() Stats {
	if r := i.route.Load(); r != nil {
		return r.stats.stats()
	}
	return Stats{}
}

// SwitchSecret compares the current value of a secret on both sides and, where data, types and version agree, makes the new side answer for it
// from now on: see InstanceConfig.Secrets. It fails with kmsmigrate.ErrPhase in phase OldOnly. The error says what differs, and holds no value.
func (i *Instance) SwitchSecret(ctx context.Context, name string) error {
	r := i.route.Load()
	if r == nil || r.secrets == nil {
		return invalid("InstanceConfig.Secrets is nil, so there is nothing to switch")
	}
	if err := canSwitch(r.phase.Current()); err != nil {
		return err
	}
	var got [2]*api.GetSecretValueResponse
	for n, s := range []kmsmigrate.Side{kmsmigrate.SideOld, kmsmigrate.SideNew} {
		a, err := r.send(ctx, s, gcsCall{action: "GetSecretValue", request: &api.GetSecretValueRequest{SecretName: name}})
		if err != nil {
			return fmt.Errorf("shim: secret %q on the %s side: %s", clip(name), s, gcsCode(err))
		}
		got[n] = a.message.(*api.GetSecretValueResponse)
	}
	if differs := differingField(got[0], got[1]); differs != "" {
		return fmt.Errorf("shim: secret %q: the %s of the copy differs from the source's; copy it again", clip(name), differs)
	}
	r.secrets.Switch(name)
	return nil
}

func differingField(a, b *api.GetSecretValueResponse) string {
	switch {
	case a.SecretData != b.SecretData:
		return "SecretData"
	case a.SecretDataType != b.SecretDataType:
		return "SecretDataType"
	case a.SecretType != b.SecretType:
		return "SecretType"
	case a.VersionId != b.VersionId:
		return "VersionId"
	default:
		return ""
	}
}

// Close ends calls and renewals that are under way, and closes the connections of both sides. Further calls fail. The error is always nil.
func (i *Instance) Close() error {
	if r := i.route.Load(); r != nil {
		r.close()
	}
	return nil
}

// instances knows where the calls of an Instance go.
type instances struct {
	routing
	sides   [3]*instanceSide // by kmsmigrate.Side; nil where one is not configured
	renewer *instanceRenewer
	stats   counters
}

func newInstances(cfg InstanceConfig) (*instances, error) {
	// What is known of keys and versions is known of instances as it is of gateways; an address is a place.
	shared, err := newRouting(Config{
		Phase: cfg.Phase, Signing: cfg.Signing, Keys: cfg.Keys, KeyVersions: cfg.KeyVersions, Retained: cfg.Retained, Published: cfg.Published,
		Secrets: cfg.Secrets, AnswerOldIDs: cfg.AnswerOldIDs,
		Old: alikms.GatewayConfig{Region: cfg.Old.Endpoint, Versions: cfg.Old.Versions},
		New: alikms.GatewayConfig{Region: cfg.New.Endpoint, Versions: cfg.New.Versions},
	})
	if err != nil {
		return nil, err
	}
	r := &instances{routing: shared}
	for s, at := range map[kmsmigrate.Side]alikms.InstanceConfig{kmsmigrate.SideOld: cfg.Old, kmsmigrate.SideNew: cfg.New} {
		if at.Endpoint == "" {
			continue
		}
		made, err := newInstanceSide(s, at)
		if err != nil {
			r.close()
			return nil, err
		}
		r.sides[s] = made
	}
	r.renewer = newInstanceRenewer(r, cfg.OnStale)
	return r, nil
}

// close returns when no renewal and no call is left.
func (r *instances) close() {
	if r.renewer != nil {
		r.renewer.close()
	}
	for _, s := range r.sides {
		if s != nil {
			s.close()
		}
	}
}
