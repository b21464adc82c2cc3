package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// keyCase is a key with everything that rules ask about it.
type keyCase struct {
	key    *Key
	place  *placeIndex
	move   *Move
	note   KeyNote
	border bool
	*Verdict
}

func (a *assessor) key(p *placeIndex, k *Key) {
	v := Verdict{Kind: "key", Account: p.place.Account, Region: p.place.Region, ID: k.ID, Instance: k.InstanceID, Versions: max(1, len(k.Versions)), names: k.Aliases}
	c := &keyCase{key: k, place: p, move: p.move, Verdict: &v}
	c.note, _ = note(a.goal.Keys, v.Region, append([]string{k.ID}, k.Aliases...)...)
	if p.move != nil {
		v.To = p.move.To
		c.border = CrossesBorder(v.Region, v.To)
	}
	path, rule := a.keyPath(c)
	v.Path = path
	v.add(rule, c.reason(rule))
	if moves(v.Path) {
		a.keyStands(c)
		a.keyMoves(c)
		a.keyRetires(c)
	}
	a.out.Resources = append(a.out.Resources, v)
}

// moves reports whether something is done on a path.
func moves(p Path) bool { return p != PathNothing && p != PathService && p != PathNone }

// serviceProduct tells the cloud product that a key belongs to: its alias is alias/acs/<product>, or its creator is no account's number.
func serviceProduct(k *Key) string {
	for _, alias := range k.Aliases {
		if product, ok := strings.CutPrefix(alias, "alias/acs/"); ok {
			return product
		}
	}
	if k.Creator != "" && strings.Trim(k.Creator, "0123456789") != "" {
		return k.Creator
	}
	return ""
}

// keyPath decides, most binding first, and names the rule that decided.
func (a *assessor) keyPath(c *keyCase) (Path, string) {
	k := c.key
	if product := serviceProduct(k); product != "" {
		c.Product = product
		if c.move == nil || c.move.SameRegion() {
			return PathNothing, "key.service-stays"
		}
		return PathService, "key.service-guide"
	}
	if !a.knownKey(c) {
		return PathNone, "key.unknown-word"
	}
	if c.note.Unused {
		return PathNothing, "key.unused"
	}
	if c.move == nil {
		return PathNothing, "key.not-moved"
	}
	anew := PathReencrypt
	if k.Usage == usageSign {
		anew = PathResign
	}
	switch {
	case c.note.Compromised:
		return anew, "key.compromised"
	case c.note.NeedsHSM && c.move.SameRegion() && k.InstanceID == "":
		return anew, "key.needs-hsm"
	case c.move.SameRegion() && k.InstanceID != "":
		return PathNothing, "key.in-instance"
	case c.move.SameRegion():
		rule := toolTakes(k, c.Region, c.move.Target.Kind)
		if rule == "tool.listed" {
			return PathTool, rule
		}
		return anew, rule
	case k.InstanceID == "":
		return anew, signRule(k, "path.default-key")
	case c.place.kinds[k.InstanceID] == Hardware:
		return anew, signRule(k, "path.hardware-instance")
	case c.move.Target.Kind != Software:
		return anew, "restore.kind"
	case c.border:
		return PathRestoreBorder, "path.software-instance"
	default:
		return PathRestore, "path.software-instance"
	}
}

func signRule(k *Key, otherwise string) string {
	if k.Usage == usageSign {
		return "path.sign-verify"
	}
	return otherwise
}

// knownKey reports words that no rule can judge.
func (a *assessor) knownKey(c *keyCase) bool {
	k, before := c.key, len(a.unknown)
	for _, w := range []struct {
		field, value string
		known        map[string]bool
	}{
		{"state", k.State, knownStates}, {"usage", k.Usage, knownUsages}, {"spec", k.Spec, knownSpecs}, {"origin", k.Origin, knownOrigins},
		{"protection_level", k.ProtectionLevel, knownLevels}, {"rotation", k.Rotation, knownRotations},
	} {
		if !w.known[w.value] {
			a.badWord("key "+k.ID+" in "+c.Region, w.field, w.value)
		}
	}
	return len(a.unknown) == before
}

// reason gives the particulars of the rule that decided the path.
func (c *keyCase) reason(rule string) string {
	k := c.key
	versions := "one version"
	if len(k.Versions) > 1 {
		versions = fmt.Sprintf("%d versions", len(k.Versions))
	}
	switch {
	case strings.HasPrefix(rule, "tool."):
		return fmt.Sprintf("%s %s, %s, into a %s instance", k.ProtectionLevel, k.Spec, versions, c.move.Target.Kind)
	case rule == "key.service-stays", rule == "key.service-guide":
		return serviceProduct(k) + ": " + productGuide(serviceProduct(k))
	case strings.HasPrefix(rule, "path."):
		return k.Usage + " " + k.Spec
	case rule == "key.in-instance":
		return k.InstanceID
	default:
		return ""
	}
}

// keyStands files what the key's own condition says.
func (a *assessor) keyStands(c *keyCase) {
	k := c.key
	switch k.State {
	case "Disabled":
		c.add("key.disabled", "")
	case "PendingDeletion":
		about := ""
		if !k.Deletes.IsZero() {
			about = "deleted on " + date(k.Deletes)
		}
		c.add("key.pending-deletion", about)
	case "PendingImport":
		c.add("key.pending-import", "")
	case "Unavailable":
		c.add("key.unavailable", "")
	}
	if k.Rotation != "" && k.Rotation != rotationOff && (c.Path.copiesMaterial() || !c.move.SameRegion()) {
		c.add("key.rotation-on", k.Rotation)
	}
	if k.Versions == nil {
		c.add("key.versions-unknown", "")
	}
	if !k.MaterialExpire.IsZero() {
		c.add("key.material-expires", date(k.MaterialExpire))
	}
	if k.InstanceID == "" {
		c.add("key.view-only", "")
	}
	if k.Origin == originBYOK && !c.Path.copiesMaterial() {
		c.add("byok.no-copy", "")
	}
	if rotated := k.Rotation == "Enabled" || k.Rotation == "Suspended"; rotated {
		switch {
		case !symmetricSpecs[k.Spec] || c.move.Target.Kind == Hardware && c.Path != PathTool:
			c.add("rotation.not-in-target", string(c.move.Target.Kind)+", "+k.Spec)
		case c.move.Target.Kind == Software && k.RotationInterval > 0 && (k.RotationInterval < 7*day || k.RotationInterval > 365*day):
			c.add("rotation.interval", fmt.Sprintf("%.0f days", k.RotationInterval.Hours()/24))
		default:
			c.add("rotation.again", "")
		}
	}
}

const day = 24 * time.Hour

// keyMoves files what its path and its target say.
func (a *assessor) keyMoves(c *keyCase) {
	k, target := c.key, c.move.Target
	switch c.Path {
	case PathTool:
		a.keyByTool(c)
	case PathRestore, PathRestoreBorder:
		if t := c.place.target; t != nil {
			if t.keyIDs[k.ID] != nil {
				c.add("restore.key-exists", c.To)
			}
			for _, alias := range k.Aliases {
				if id, ok := t.aliases[alias]; ok && id != k.ID {
					c.add("restore.alias-exists", alias)
				}
			}
		}
	}
	if c.move.SameRegion() && c.Path == PathTool {
		c.add("policy.same-region", "")
	} else {
		c.add("policy.rewrite", "")
	}
	if c.note.NeedsHSM && target.Kind != Hardware {
		c.add("key.needs-hsm-kind", "")
	}
	if c.border {
		if a.goal.LegalApproval == "" && c.Path != PathResign {
			c.add("border.approval", c.Region+" to "+c.To)
		}
		if c.Path == PathReencrypt {
			c.add("border.processes", c.Region+" to "+c.To)
		}
	}
	if c.Path == PathReencrypt {
		a.keyFlows(c)
	}
}

func (a *assessor) keyByTool(c *keyCase) {
	k, target := c.key, c.move.Target
	for _, f := range a.goal.Findings {
		if f.Kind == "version-id" {
			c.add("code.version-ids", f.At)
			break // one names the place; the plan lists them all
		}
	}
	if k.ProtectionLevel == levelHSM && target.Kind == Software && c.note.DowngradeApproved == "" {
		c.add("tool.downgrade", "")
	}
	if target.Kind == Hardware {
		c.add("tool.database", "")
	}
	if c.note.Exports {
		c.add("tool.exports", "")
	}
	if k.Origin == originBYOK {
		c.add("tool.byok-software", "")
	}
	if len(k.Versions) > 1 {
		c.add("tool.all-versions", fmt.Sprintf("%d versions", len(k.Versions)))
	}
	c.add("tool.version-ids", "")
	c.add("tool.metadata", "")
}

// keyFlows looks at who writes and reads its ciphertext. A producer may be at write-new only when every consumer reads both.
func (a *assessor) keyFlows(c *keyCase) {
	for _, f := range a.goal.Flows {
		if f.Key != c.ID && !slices.Contains(c.key.Aliases, f.Key) {
			continue
		}
		for _, p := range f.Producers {
			if p.PlainSDK || p.Phase < kmsmigrate.WriteNew {
				continue
			}
			for _, consumer := range f.Consumers {
				if consumer.PlainSDK || consumer.Phase < kmsmigrate.ReadBoth {
					c.add("flow.order", fmt.Sprintf("%s: %s writes new, %s does not read it", f.Name, p.Name, consumer.Name))
				}
			}
			if p.RollbackPhase < kmsmigrate.ReadBoth {
				c.add("flow.rollback", f.Name+": "+p.Name)
			}
		}
	}
}

// keyRetires files what keeps the old key alive. A key that the tool moves is the same key afterwards: there is nothing to retire.
func (a *assessor) keyRetires(c *keyCase) {
	if c.Path == PathTool {
		return
	}
	if !c.note.UsesStated {
		c.add("key.uses-unknown", "")
	}
	for _, u := range c.note.Uses {
		if u.Product != "" {
			c.add("key.used-by-product", u.Product+": "+productGuide(u.Product))
		}
	}
	if c.key.DeletionProtected {
		c.add("key.deletion-protection", "")
	}
}
