package shim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// Config describes a migration to a Transport. Old, New and Keys are needed; everything else has a useful zero value.
type Config struct {
	// Phase says which side is written and which are read. Nil means OldOnly: every call goes to the old side.
	Phase kmsmigrate.PhaseSource
	// Old and New are the endpoints of the two sides: a region's shared gateway, or the RPC face of an instance (Instance, Endpoint
	// and CAPEM set). Versions lists versions that are known to be a side's. All fields count but Directory: pacing, retries and the
	// breaker are those of every alikms.Gateway. Old may be zero where Phase is the constant NewOnly, New where it is nil or the constant OldOnly.
	//
	// In one region, set Account of both where they are two accounts, or have two access keys of one. Without it nobody knows whether the new
	// side can open what the old key wrote: then what a key outside Keys wrote is held to be the old side's.
	Old, New alikms.GatewayConfig
	// OldControl and NewControl are where control operations of a side go. Nil: Old and New. The face of an instance refuses
	// them, so for keys of an instance this is the shared gateway of the region.
	OldControl, NewControl *alikms.GatewayConfig
	// OldInstance and NewInstance are KMS instances that a side asks with a ClientKey, over the protobuf API: the ten operations that the
	// transfer SDK gives to an instance go there, all others to Old and New, which are then shared gateways. Form says
	// how ciphertext is made; the transfer SDK's is alikms.FormMigrationHeader. Nil: there is none.
	OldInstance, NewInstance *alikms.InstanceConfig
	// Keys says which new key takes the place of each old one. A key that it does not name is refused once the new side is
	// written, unless there is a Default.
	Keys kmsmigrate.KeyMap
	// KeyVersions names, by new key id as it stands in Keys, the version that asymmetric operations use: unlike symmetric ones,
	// they name the version, and asymmetric keys have no primary one.
	KeyVersions map[string]string
	// Signing says which side signs; it goes through the same phases, in an order of its own. Publish the new public key to every verifier,
	// then let it write new: a new key whose public key is not in Published does not sign for an old one. Nil: the old side signs.
	Signing kmsmigrate.PhaseSource
	// Retained holds public keys of the old side. Signatures of a key that is in it are verified here, without a call, and
	// GetPublicKey answers from it. Nil: nothing is retained.
	Retained verify.Store
	// Published holds the public keys that every verifier has by now. AsymmetricSign moves to a new key only once that one's
	// public key is in it, under the new key's id and version, and verifies what the new key signs; until then the old key signs, and
	// Stats.SigningHeld counts. A store that takes more than half a second holds it back, too. In phase NewOnly of Signing it is an error instead. Nil: Retained. One of them is needed where
	// Signing can move, but for a constant NewOnly. A call that names a new key itself is not held.
	Published verify.Store
	// Secrets says which secrets are read from the new side already. Nil: none, until the phase is NewOnly.
	Secrets *Secrets
	// Others is the side for operations that name neither a key, nor an alias, nor a secret: CreateKey, ListKeys. Zero: the old
	// side or, where it is not configured, the new one.
	Others kmsmigrate.Side
	// AnswerOldIDs makes answers of the new side carry the KeyId and KeyVersionId of the old key that was asked for, as far as they are
	// known, for applications that compare them. Answers that were changed so are counted in Stats.
	AnswerOldIDs bool
	// OnStale is told of ciphertext that was read from the old side in phase Rewrite, once a new one is made of it that the new
	// key has been seen to open. Both are CiphertextBlob strings. The application stores the new one with a compare-and-swap on the old. It is called
	// after the answer was returned, from up to eight goroutines at once. It must not call Close, which waits for it; a panic in it is recovered and
	// counted in Stats.RenewFailed. Nil: nobody, and nothing is made.
	OnStale func(old, renewed string)
}

// router knows where calls go. A Transport, a Client and a Handler are faces of one.
type router struct {
	routing
	sides   [3]*side // by kmsmigrate.Side; nil where one is not configured
	others  kmsmigrate.Side
	renewer *renewer
	stats   counters
}

// side is one end of the migration.
type side struct {
	data, control endpoint
	gateway       endpoint // beside an instance that is asked with a ClientKey; else nil
	instance      bool     // no ReEncrypt
	unversioned   bool     // asymmetric operations need no version: the instance API has none
}

func newRouter(cfg Config) (*router, error) {
	shared, err := newRouting(cfg)
	if err != nil {
		return nil, err
	}
	r := &router{routing: shared, others: cfg.Others}
	if cfg.Others > kmsmigrate.SideNew {
		return nil, invalid("Others is neither side")
	}
	if r.sides[kmsmigrate.SideOld], err = newSide(kmsmigrate.SideOld, cfg.Old, cfg.OldControl, cfg.OldInstance); err != nil {
		return nil, err
	}
	if r.sides[kmsmigrate.SideNew], err = newSide(kmsmigrate.SideNew, cfg.New, cfg.NewControl, cfg.NewInstance); err != nil {
		if old := r.sides[kmsmigrate.SideOld]; old != nil {
			old.close()
		}
		return nil, err
	}
	r.renewer = newRenewer(r, cfg.OnStale)
	return r, nil
}

// checkKeys also refuses a map whose new keys are old ones that lead elsewhere: then one id would mean two keys.
func checkKeys(m kmsmigrate.KeyMap) error {
	if err := m.Validate(); err != nil {
		return err
	}
	bare := map[string]string{}
	for old, to := range m.Keys {
		bare[bareName(old)] = bareName(to)
	}
	for _, old := range slices.Sorted(maps.Keys(bare)) {
		to := bare[old]
		if next, ok := bare[to]; ok && next != to {
			return invalid("Keys leads %q to %q, and that on to %q: name the last one", old, to, next)
		}
	}
	return nil
}

func newSide(which kmsmigrate.Side, data alikms.GatewayConfig, control *alikms.GatewayConfig, instance *alikms.InstanceConfig) (*side, error) {
	if data.Region == "" {
		return nil, nil
	}
	at, err := newUpstream(which, data)
	if err != nil {
		return nil, err
	}
	s := &side{data: at, control: at, instance: data.Instance != ""}
	if control != nil {
		apart, err := newUpstream(which, *control)
		if err != nil {
			at.close()
			return nil, err
		}
		s.control = apart
	}
	if instance != nil {
		asked, err := newDedicated(which, *instance, at)
		if err != nil {
			s.close()
			return nil, err
		}
		s.data, s.gateway, s.instance, s.unversioned = asked, at, true, true
	}
	return s, nil
}

// close closes the endpoints of the side, of which some may be one.
func (s *side) close() {
	s.data.close()
	s.control.close()
	if s.gateway != nil {
		s.gateway.close()
	}
}

// close returns when no renewal, no call and no connection is left.
func (r *router) close() {
	r.renewer.close()
	for _, s := range r.sides {
		if s != nil {
			s.close()
		}
	}
}

// invalid is kmsmigrate.ErrInvalid, and says so once: what it wraps may be that already.
func invalid(format string, args ...any) error {
	err := fmt.Errorf("shim: "+format, args...)
	if errors.Is(err, kmsmigrate.ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: %w", err, kmsmigrate.ErrInvalid)
}

// bareName strips "acs:kms:<region>:<account>:" and "key/" from an ARN. An alias keeps its "alias/".
func bareName(id string) string {
	if !strings.HasPrefix(id, "acs:kms:") {
		return id
	}
	parts := strings.SplitN(id, ":", 5)
	return strings.TrimPrefix(parts[len(parts)-1], "key/")
}
