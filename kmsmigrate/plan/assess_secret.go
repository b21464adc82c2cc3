package plan

import (
	"fmt"
	"strings"
)

func (a *assessor) secret(p *placeIndex, s *Secret) {
	v := Verdict{Kind: "secret", Account: p.place.Account, Region: p.place.Region, ID: s.Name, Instance: s.InstanceID, Key: s.EncryptionKeyID, Versions: max(1, len(s.Versions))}
	if p.move != nil {
		v.To = p.move.To
	}
	path, rule := a.secretPath(p, s, &v)
	v.Path = path
	about := ""
	if rule == "secret.no-path" || rule == "secret.unknown-type" {
		about = s.Type
	}
	v.add(rule, about)
	if moves(v.Path) {
		a.secretMoves(p, s, &v)
	}
	if key := p.keyOf(s); v.Path == PathNone && key != nil && moves(key.Path) && key.Path != PathTool {
		key.add("key.holds-secret", s.Name)
	}
	a.out.Resources = append(a.out.Resources, v)
}

// keyOf returns the verdict on the key that encrypts a secret, which is named by id, by alias or by ARN; nil where the place has no such key.
func (p *placeIndex) keyOf(s *Secret) *Verdict {
	name := s.EncryptionKeyID
	if own, ok := strings.CutPrefix(name, "acs:kms:"+p.place.Region+":"+p.place.Account+":"); ok {
		name = strings.TrimPrefix(own, "key/")
	}
	return p.verdicts[name]
}

func (a *assessor) secretPath(p *placeIndex, s *Secret, v *Verdict) (Path, string) {
	where, before := "secret "+s.Name+" in "+v.Region, len(a.unknown)
	if !knownSecrets[s.Type] {
		a.badWord(where, "type", s.Type)
	}
	if !secretRotation[s.Rotation] {
		a.badWord(where, "rotation", s.Rotation)
	}
	key := p.keyOf(s)
	switch {
	case len(a.unknown) > before:
		return PathNone, "secret.unknown-type"
	case p.move == nil:
		return PathNothing, "secret.not-moved"
	case p.move.SameRegion() && s.InstanceID != "":
		return PathNothing, "secret.in-instance"
	case p.move.SameRegion():
		if key != nil && key.Path != PathTool && key.Product == "" && (key.Instance == "" || key.Instance != p.move.Target.Instance) {
			return PathSecretCopy, "secret.key-elsewhere"
		}
		return PathTool, "secret.all-types"
	case s.Type == "RAMCredentials":
		return PathSecretRecreate, "secret.recreate"
	case s.Type != "Generic":
		return PathNone, "secret.no-path"
	case s.InstanceID != "" && key != nil && (key.Path == PathRestore || key.Path == PathRestoreBorder):
		return key.Path, "secret.restore"
	default:
		return PathSecretCopy, "secret.copy"
	}
}

func (a *assessor) secretMoves(p *placeIndex, s *Secret, v *Verdict) {
	if n := a.coming[p.nameInTarget(s.Name)]; n > 1 {
		v.add("secret.name-twice", fmt.Sprintf("%d secrets", n))
	}
	if t := p.target; t != nil {
		for _, instance := range t.names[s.Name] {
			// In its own region the secret itself is in the list. In another, a secret outside of any instance is no clash with one in an instance.
			if instance != "" && (p.move.Target.Instance == "" || instance == p.move.Target.Instance) {
				v.add("secret.name-in-target", instance)
			} else if instance == "" && !p.move.SameRegion() {
				v.add("secret.name-in-target", p.move.To)
			}
		}
	}
	if s.Rotation != "" && s.Rotation != rotationOff {
		v.add("secret.rotation-on", s.Rotation)
	}
	if !s.Deletes.IsZero() {
		v.add("secret.in-deletion", "until "+date(s.Deletes))
	}
	a.secretKey(p, s, v)
	if v.Path == PathSecretCopy {
		v.add("secret.no-writes", "")
	}
	if a.goal.DedicatedReaders {
		v.add("secret.dedicated-decrypt", "")
	}
	if v.Path != PathSecretRecreate && CrossesBorder(v.Region, v.To) && a.goal.LegalApproval == "" {
		v.add("secret.border", v.Region+" to "+v.To)
	}
}

// secretKey files what the key that encrypts the secret says.
func (a *assessor) secretKey(p *placeIndex, s *Secret, v *Verdict) {
	key := p.keyOf(s)
	system := s.EncryptionKeyID == "" || key != nil && key.Product != ""
	switch {
	case system:
		if v.Path == PathTool {
			v.add("secret.system-key", "")
		}
	case key == nil:
		v.add("secret.key-missing", s.EncryptionKeyID)
	case v.Path.copiesMaterial():
		v.Key = key.ID
		v.add("secret.key-first", key.ID)
		if len(key.Blockers) > 0 {
			v.add("secret.key-blocked", key.ID)
		}
	case v.Path == PathSecretCopy:
		v.Key = key.ID
		// To read the old value its key must decrypt; the other blockers of the key do not touch a copy.
		for _, b := range key.Blockers {
			if b.Rule == "key.disabled" || b.Rule == "key.pending-deletion" || b.Rule == "key.pending-import" || b.Rule == "key.unavailable" || b.Rule == "key.unknown-word" {
				v.add("secret.key-blocked", key.ID)
				break
			}
		}
	}
}
