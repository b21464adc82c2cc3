package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The dates of KMS 1.0 ("Why migrate"), in GMT+8.
var (
	china        = time.FixedZone("GMT+8", 8*3600)
	endOfFixes   = time.Date(2025, 3, 30, 0, 0, 0, 0, china)
	endOfSupport = time.Date(2025, 9, 30, 0, 0, 0, 0, china)
)

// place judges a region, given the verdicts of what is in it.
func (a *assessor) place(p *placeIndex, verdicts []Verdict) {
	pv := PlaceVerdict{Account: p.place.Account, Region: p.place.Region}
	defer func() { a.out.Places = append(a.out.Places, pv) }()
	if len(p.place.Gaps) > 0 || !p.place.Complete {
		about := "the collection did not finish"
		if len(p.place.Gaps) > 0 {
			g := p.place.Gaps[0]
			about = fmt.Sprintf("%d gaps, the first: %s %s (%s)", len(p.place.Gaps), g.What, g.ID, g.Reason)
		}
		pv.add("place.partial", about)
	}
	if p.move == nil {
		if slices.Contains(a.goal.Notice.Regions, p.place.Region) {
			pv.add("notice.no-move", "")
		}
		return
	}
	pv.To, pv.Target, pv.Border = p.move.To, p.move.Target, CrossesBorder(p.place.Region, p.move.To)
	count := counts(verdicts)
	a.deadlines(&pv, p)
	a.instances(&pv, p, count)
	for _, r := range []string{pv.Region, pv.To} {
		if !KnownRegion(r) && pv.Border {
			pv.add("place.region-unknown", r)
		}
	}
	if p.move.SameRegion() {
		a.byTool(&pv, p, count)
		return
	}
	sources := map[string]bool{}
	for _, v := range verdicts {
		if v.Kind == "key" && (v.Path == PathRestore || v.Path == PathRestoreBorder) {
			sources[v.Instance] = true
		}
	}
	if have := max(1, p.move.Target.Backups); len(sources) > have {
		pv.add("restore.backups", fmt.Sprintf("%d instances, %d backup instances", len(sources), have))
	}
	if len(sources) > 0 {
		pv.add("restore.minutes", "")
		pv.add("restore.tabs", "")
	}
	if len(sources) > 0 && pv.Border {
		pv.add("restore.file-key", "")
	}
	if count.moving() > 0 {
		pv.add("access.first", "")
	}
}

// tally counts what a place moves.
type tally struct {
	toolKeys, toolSecrets, keyVersions, secrets, left, fresh, asItIs int
}

func (t tally) moving() int { return t.keyVersions + t.secrets }

func counts(verdicts []Verdict) tally {
	var t tally
	for _, v := range verdicts {
		key := v.Kind == "key"
		switch {
		case v.Path == PathTool && key:
			t.toolKeys++
			t.asItIs++
			t.keyVersions += v.Versions
		case v.Path == PathTool:
			t.toolSecrets++
			t.secrets++
		case v.Path.copiesMaterial() && key:
			t.asItIs++
			t.keyVersions += v.Versions
		case moves(v.Path) && key:
			t.keyVersions++ // the new key begins with one version
			t.fresh++
			t.left++
		case moves(v.Path):
			t.secrets++
			t.left++
		case v.Path == PathNone:
			t.left++
		}
	}
	return t
}

func (a *assessor) deadlines(pv *PlaceVerdict, p *placeIndex) {
	now := a.goal.Now
	if now.IsZero() {
		return
	}
	if p.move.SameRegion() {
		if now.Before(endOfFixes) {
			pv.add("notice.soon", "")
		} else {
			pv.add("notice.overdue", fmt.Sprintf("%d days without fixes, %d without support", int(now.Sub(endOfFixes).Hours()/24), max(0, int(now.Sub(endOfSupport).Hours()/24))))
		}
	}
	if n := a.goal.Notice; slices.Contains(n.Regions, pv.Region) && !n.Deadline.IsZero() && now.After(n.Deadline) {
		pv.add("notice.past", date(n.Deadline))
	}
	for _, in := range p.place.Instances {
		if !in.Ends.IsZero() && in.Ends.Before(now.Add(90*day)) {
			pv.add("instance.ends", in.ID+" on "+date(in.Ends))
		}
	}
}

// instances judges the target: there, connected, new enough, large enough.
func (a *assessor) instances(pv *PlaceVerdict, p *placeIndex, count tally) {
	t, seen := p.move.Target, p.target
	if count.moving() == 0 {
		return
	}
	roomKeys, roomSecrets := orUnknown(t.KeyQuota), orUnknown(t.SecQuota)
	if seen == nil {
		pv.add("target.unseen", pv.To)
	} else if t.Instance != "" {
		at := slices.IndexFunc(seen.place.Instances, func(i Instance) bool { return i.ID == t.Instance })
		if at < 0 {
			pv.add("target.missing", t.Instance)
		} else {
			in := seen.place.Instances[at]
			if in.Status != "" && in.Status != "Connected" {
				pv.add("target.status", in.ID+" is "+in.Status)
			}
			usedVersions, usedSecrets := 0, 0
			for _, k := range seen.place.Keys {
				if k.InstanceID == t.Instance {
					usedVersions += max(1, len(k.Versions))
				}
			}
			for _, s := range seen.place.Secrets {
				if s.InstanceID == t.Instance {
					usedSecrets++
				}
			}
			if t.KeyQuota == 0 && in.Keys > 0 {
				roomKeys = max(0, in.Keys-usedVersions)
			}
			if t.SecQuota == 0 && in.Secrets > 0 {
				roomSecrets = max(0, in.Secrets-usedSecrets)
			}
		}
	}
	if roomKeys >= 0 && count.keyVersions > roomKeys {
		pv.add("target.key-quota", fmt.Sprintf("%d versions, room for %d", count.keyVersions, roomKeys))
	}
	if roomSecrets >= 0 && count.secrets > roomSecrets {
		pv.add("target.secret-quota", fmt.Sprintf("%d secrets, room for %d", count.secrets, roomSecrets))
	}
	if !t.Reachable && (!p.move.SameRegion() || count.fresh > 0) {
		pv.add("target.connectivity", t.Instance)
	}
}

// orUnknown turns an undeclared quota, zero, into -1.
func orUnknown(quota int) int {
	if quota == 0 {
		return -1
	}
	return quota
}

// byTool judges the run of the migration tool.
func (a *assessor) byTool(pv *PlaceVerdict, p *placeIndex, count tally) {
	image := p.move.Target.Image
	switch tool := count.toolKeys + count.toolSecrets; {
	case tool == 0:
	case image == "":
		pv.add("target.image-unknown", "")
	case imageBefore(image, [3]int{2, 9, 0}):
		pv.add("target.image", image)
	}
	if count.toolKeys+count.toolSecrets > 0 {
		pv.add("tool.freeze", "")
		pv.add("tool.batches", fmt.Sprintf("%d keys, %d secrets", count.toolKeys, count.toolSecrets))
		pv.add("tool.network", "")
		pv.add("sdk.other-products", "")
		if len(a.goal.Windows) == 0 {
			pv.add("tool.window", "")
		}
		if a.goal.Terraform {
			pv.add("terraform.after", "")
		}
	}
	if count.left > 0 {
		pv.add("tool.remainder", fmt.Sprintf("%d keys and secrets", count.left))
	}
	read, ok := a.goal.Console[pv.Account+"/"+pv.Region]
	switch {
	case !ok:
		pv.add("tool.columns-unread", "")
	case read.KeysNotMigrated != count.toolKeys || read.SecretsNotMigrated != count.toolSecrets:
		pv.add("tool.columns", fmt.Sprintf("to migrate: the tool shows %d keys and %d secrets, the inventory gives %d and %d",
			read.KeysNotMigrated, read.SecretsNotMigrated, count.toolKeys, count.toolSecrets))
	}
	if ok {
		migratedKeys, migratedSecrets := 0, 0
		for _, k := range p.place.Keys {
			if k.InstanceID != "" && uuid(k.ID) {
				migratedKeys++
			}
		}
		for _, s := range p.place.Secrets {
			if s.InstanceID != "" {
				migratedSecrets++
			}
		}
		// A key that the tool moved keeps its UUID. Secrets keep nothing that tells, so more in instances than migrated is no contradiction.
		if read.KeysMigrated != migratedKeys || read.SecretsMigrated > migratedSecrets {
			pv.add("tool.columns", fmt.Sprintf("migrated: the tool shows %d keys and %d secrets, the inventory has %d and at most %d",
				read.KeysMigrated, read.SecretsMigrated, migratedKeys, migratedSecrets))
		}
	}
}

// uncovered finds regions of the notification that are not in the inventory at all.
func (a *assessor) uncovered(inv Inventory) {
	for _, r := range a.goal.Notice.Regions {
		if slices.ContainsFunc(inv.Places, func(p Place) bool { return p.Region == r }) {
			continue
		}
		pv := PlaceVerdict{Region: r}
		pv.add("notice.no-move", "not in the inventory")
		a.out.Places = append(a.out.Places, pv)
	}
}

// unmatched finds what the goal says of things that the inventory does not have. A note that a key is compromised and a flow of a key would
// otherwise be lost with one wrong letter.
func (a *assessor) unmatched(inv Inventory) {
	known := map[string]bool{}
	for _, p := range inv.Places {
		known["region "+p.Region] = true
		known["move "+p.Account+" "+p.Region], known["move  "+p.Region] = true, true
		known["place "+p.Account+"/"+p.Region] = true
		for _, in := range p.Instances {
			known["instance "+in.ID] = true
		}
		for _, k := range p.Keys {
			for _, name := range append([]string{k.ID}, k.Aliases...) {
				known["key "+name], known["key "+p.Region+"/"+name] = true, true
			}
			known["instance "+k.InstanceID] = true
		}
		for _, s := range p.Secrets {
			known["instance "+s.InstanceID] = true
		}
	}
	missing := func(what, name string) {
		if !known[what+" "+name] {
			a.out.Warnings = append(a.out.Warnings, Finding{Rule: "goal.unmatched", About: what + " " + name})
		}
	}
	for _, m := range a.goal.Moves {
		missing("move", m.Account+" "+m.From)
	}
	for _, id := range slices.Sorted(maps.Keys(a.goal.Keys)) {
		missing("key", id)
	}
	for _, f := range a.goal.Flows {
		missing("key", f.Key)
	}
	for _, id := range slices.Sorted(maps.Keys(a.goal.Instances)) {
		missing("instance", id)
	}
	for _, at := range slices.Sorted(maps.Keys(a.goal.Console)) {
		missing("place", at)
	}
}

// uuid reports whether a key id is one of KMS 1.0.
func uuid(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
