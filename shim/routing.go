package shim

import (
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// routing is what there is to know of where calls go, whichever SDK they come by.
type routing struct {
	phase, signing kmsmigrate.PhaseSource
	keys           kmsmigrate.KeyMap
	keyVersions    map[string]string
	retained       verify.Store
	published      verify.Store
	secrets        *Secrets
	oldIDs         bool
	hasNew         bool // the new side is configured
	known          *known
}

func newRouting(cfg Config) (routing, error) {
	r := routing{
		phase: cfg.Phase, signing: cfg.Signing, keys: cfg.Keys, keyVersions: maps.Clone(cfg.KeyVersions), retained: cfg.Retained,
		published: cfg.Published, secrets: cfg.Secrets, oldIDs: cfg.AnswerOldIDs, hasNew: cfg.New.Region != "",
	}
	if r.published == nil {
		r.published = cfg.Retained
	}
	if r.published != nil {
		r.published = timely{r.published}
	}
	if r.phase == nil {
		r.phase = kmsmigrate.OldOnly
	}
	if r.signing == nil {
		r.signing = kmsmigrate.OldOnly
	}
	if !r.phase.Current().Valid() || !r.signing.Current().Valid() {
		return r, fmt.Errorf("shim: Phase and Signing must be one of the five phases: %w", kmsmigrate.ErrPhase)
	}
	if err := canSign(r.signing, r.published); err != nil {
		return r, err
	}
	constant, fixed := r.phase.(kmsmigrate.Phase)
	if cfg.Old.Region == "" && (!fixed || constant != kmsmigrate.NewOnly) {
		return r, invalid("Old is not configured; only a shim that stays in new-only can do without")
	}
	if !r.hasNew && (!fixed || constant != kmsmigrate.OldOnly) {
		return r, invalid("New is not configured; only a shim that stays in old-only can do without")
	}
	if r.hasNew {
		if err := checkKeys(cfg.Keys); err != nil {
			return r, err
		}
	}
	r.known = newKnown(cfg)
	return r, nil
}

// noPlace says why a key can be used on no side, as the service would.
type noPlace struct {
	status        int
	code, message string
}

// place says where a key that an application names is to be used, if want is the side to write: with its own name on its own side,
// or with that of the key that takes its place.
func (r *routing) place(want kmsmigrate.Side, id string) (kmsmigrate.Side, string, *noPlace) {
	switch {
	case id == "": // the service says what is missing
		return want, "", nil
	case r.hasNew && r.known.ofKey(id) == kmsmigrate.SideNew:
		return kmsmigrate.SideNew, id, nil
	case want == kmsmigrate.SideOld:
		return want, id, nil
	}
	to, err := r.keys.New(id)
	if errors.Is(err, kmsmigrate.ErrInvalid) {
		return want, "", &noPlace{http.StatusBadRequest, "InvalidParameter", fmt.Sprintf(`The specified parameter "KeyId" is not valid: the shim's Keys leads %s to several new keys, by ARNs of several places. Name it by its ARN, or add its id to Keys.`, clip(id))}
	}
	if err != nil {
		return want, "", &noPlace{http.StatusNotFound, "Forbidden.KeyNotFound", fmt.Sprintf("The specified Key is not found: the shim's Keys names no new key for %s. Add it, or set Keys.Default.", clip(id))}
	}
	return want, to, nil
}
