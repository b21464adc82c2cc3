package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tool adds the freeze, the batches and what follows them. It returns the step after which everything that the tool moves has moved.
func (b *builder) tool() string {
	g := b.groups[PathTool]
	if len(g.keys)+len(g.secrets) == 0 {
		return ""
	}
	last := b.add("freeze-begin", nil, b.ready...)
	if n := len(b.goal.Windows); n > 0 {
		for _, w := range b.goal.Windows {
			b.step(last).About = append(b.step(last).About, w.From.UTC().Format(time.RFC3339)+" to "+w.To.UTC().Format(time.RFC3339))
		}
	}
	batchOf := map[string]string{}
	for n, part := range b.batches(g.keys) {
		last = b.numbered("tool-keys", fmt.Sprintf("%04d", n+1), refs(part), last)
		b.carry(last)
		for _, k := range part {
			batchOf[k.ID] = last
		}
	}
	for n, part := range b.batches(g.secrets) {
		after := []string{last}
		for _, s := range part {
			after = append(after, batchOf[s.Key])
		}
		last = b.numbered("tool-secrets", fmt.Sprintf("%04d", n+1), refs(part), after...)
		b.carry(last)
	}
	last = b.add("tool-reconcile", nil, last)
	var left []string
	for _, path := range []Path{PathReencrypt, PathResign, PathSecretCopy, PathNone} {
		left = append(left, refs(b.groups[path].keys)...)
		left = append(left, refs(b.groups[path].secrets)...)
	}
	if len(left) > 0 {
		b.step(last).About = []string{fmt.Sprintf("%d keys and secrets stay behind; each has its own path", len(left))}
		b.step(last).Resources = left
	}
	last = b.add("compare", append(refs(g.keys), refs(g.secrets)...), last)
	if b.goal.Terraform {
		last = b.add("terraform", nil, last)
	}
	return b.add("freeze-end", nil, last)
}

// batches cuts what the tool takes. What is blocked comes last, in batches of its own: one blocked key must not hold back 49 others.
func (b *builder) batches(list []*Verdict) [][]*Verdict {
	var free, stuck []*Verdict
	for _, v := range list {
		if len(unsettled(v.Blockers)) > 0 {
			stuck = append(stuck, v)
		} else {
			free = append(free, v)
		}
	}
	return append(slices.Collect(slices.Chunk(free, batch)), slices.Collect(slices.Chunk(stuck, batch))...)
}

// settles are the kinds of steps that settle a blocker, so that later steps need not wait for another assessment.
var settles = map[string]string{
	"key.rotation-on": "rotation-off", "secret.rotation-on": "rotation-off", "border.approval": "approve-border", "secret.border": "approve-border",
	"code.version-ids": "code-findings",
}

// unsettled leaves out the blockers that a step of the plan settles.
func unsettled(list []Finding) []Finding {
	var out []Finding
	for _, f := range list {
		if settles[f.Rule] == "" {
			out = append(out, f)
		}
	}
	return out
}

// restore adds backup, restore, comparison and cut-over. It returns the comparison and the cut-over.
func (b *builder) restore() (compared, cut string) {
	path := PathRestore
	if b.place.Border {
		path = PathRestoreBorder
	}
	g := b.groups[path]
	if len(g.keys)+len(g.secrets) == 0 {
		return "", ""
	}
	byInstance := map[string]*group{}
	for _, k := range g.keys {
		in(byInstance, k.Instance).keys = append(in(byInstance, k.Instance).keys, k)
	}
	for _, s := range g.secrets {
		in(byInstance, s.Instance).secrets = append(in(byInstance, s.Instance).secrets, s)
	}
	var restored, files []string
	for _, instance := range slices.Sorted(maps.Keys(byInstance)) {
		part := byInstance[instance]
		what := append(refs(part.keys), refs(part.secrets)...) // keys stand before their secrets
		last := b.numbered("backup", instance, what, b.ready...)
		b.step(last).Instance = instance
		if path == PathRestoreBorder {
			last = b.numbered("backup-download", instance, nil, last)
			last = b.numbered("backup-upload", instance, nil, last)
			files = append(files, instance)
		}
		last = b.numbered("restore", instance, what, last)
		b.carry(last)
		restored = append(restored, last)
	}
	all := append(refs(g.keys), refs(g.secrets)...)
	compared = b.numbered("compare", "restored", all, restored...)
	for _, instance := range files {
		b.numbered("backup-destroy", instance, nil, compared)
	}
	return compared, b.add("cut-over", all, append([]string{compared}, b.ready...)...)
}

func in(m map[string]*group, key string) *group {
	if m[key] == nil {
		m[key] = &group{}
	}
	return m[key]
}

// newKeys adds the creation of new keys for what is encrypted again.
func (b *builder) newKeys() string {
	g := b.groups[PathReencrypt]
	if len(g.keys) == 0 {
		return ""
	}
	return b.add("create-keys", refs(g.keys), b.ready...)
}

// reencrypt weaves in the phases of the client.
func (b *builder) reencrypt(created string) []string {
	keys := b.groups[PathReencrypt].keys
	if len(keys) == 0 {
		return nil
	}
	all := refs(keys)
	phase := func(kind, name string, resources []string, after ...string) string {
		id := b.add(kind, resources, after...)
		b.step(id).Phase = name
		b.carry(id)
		return id
	}
	last := phase("phase-read-both", "read-both", all, append([]string{created}, b.ready...)...)
	for _, f := range b.goal.Flows {
		b.step(last).About = append(b.step(last).About, "flow "+f.Name+": consumers "+participants(f.Consumers)+" before producers "+participants(f.Producers))
	}
	last = phase("phase-write-new", "write-new", all, last)
	var plain, fresh []string
	for _, k := range keys {
		if has(k.Warnings, "key.compromised") {
			fresh = append(fresh, ref(k))
		} else {
			plain = append(plain, ref(k))
		}
	}
	var swept []string
	if len(plain) > 0 {
		swept = append(swept, phase("sweep", "rewrite", plain, last))
	}
	if len(fresh) > 0 {
		swept = append(swept, phase("sweep-fresh", "rewrite", fresh, last))
	}
	if b.place.Border {
		for _, id := range swept {
			b.step(id).About = append(b.step(id).About,
				"plaintext exists in: "+strings.Join(append(b.processes(keys), "every other process of the application that opens or seals records", "the sweep's process"), "; ")+"; nowhere else",
				"data keys exist in: the same processes, for as long as their cache keeps them; on the wire between them and the KMS of "+b.place.Region+" and "+b.place.To+", under TLS",
				"run the sweep beside the data")
		}
	}
	counted := b.add("census", all, swept...)
	return []string{phase("phase-new-only", "new-only", all, counted)}
}

// processes are the names of those that the goal says use these keys, sorted: who is named there holds plaintext.
func (b *builder) processes(keys []*Verdict) []string {
	who := map[string]bool{}
	for _, k := range keys {
		all := append([]string{k.ID}, k.names...)
		n, _ := note(b.goal.Keys, k.Region, all...)
		for _, u := range n.Uses {
			who[u.By] = true
		}
		for _, f := range b.goal.Flows {
			if slices.Contains(all, f.Key) {
				for _, p := range slices.Concat(f.Producers, f.Consumers) {
					who[p.Name+" ("+f.Name+")"] = true
				}
			}
		}
	}
	delete(who, "")
	return slices.Sorted(maps.Keys(who))
}

func participants(list []Participant) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Name
		if p.PlainSDK {
			names[i] += " (plain SDK)"
		}
	}
	return strings.Join(names, ", ")
}

func (b *builder) resign() string {
	keys := b.groups[PathResign].keys
	if len(keys) == 0 {
		return ""
	}
	saved := b.add("save-public-keys", refs(keys), b.ready...)
	created := b.add("create-signing-keys", refs(keys), append([]string{saved}, b.ready...)...)
	id := b.add("switch-signing", refs(keys), created)
	b.carry(id)
	return id
}

// secrets adds copies and re-creations. They wait for the keys of the target.
func (b *builder) secrets(created, restored string) []string {
	var done []string
	if list := b.groups[PathSecretCopy].secrets; len(list) > 0 {
		id := b.add("copy-secrets", refs(list), append([]string{created, restored}, b.ready...)...)
		b.carry(id)
		done = append(done, b.add("switch-readers", refs(list), id))
	}
	if list := b.groups[PathSecretRecreate].secrets; len(list) > 0 {
		id := b.add("recreate-secrets", refs(list), b.ready...)
		b.carry(id)
		done = append(done, id)
	}
	return done
}

func (b *builder) products() {
	by := map[string][]string{}
	for _, k := range b.groups[PathService].keys {
		by[k.Product] = append(by[k.Product], ref(k))
	}
	for _, path := range Paths() {
		for _, k := range b.groups[path].keys {
			for _, f := range k.Retirement {
				if product, _, ok := strings.Cut(f.About, ":"); ok && f.Rule == "key.used-by-product" {
					by[strings.ToLower(product)] = append(by[strings.ToLower(product)], ref(k))
				}
			}
		}
	}
	for _, product := range slices.Sorted(maps.Keys(by)) {
		id := b.numbered("product", product, by[product], b.ready[0])
		b.step(id).About = []string{productGuide(product)}
	}
}

func (b *builder) rotationOn(finished []string) {
	var again []string
	for _, path := range Paths() {
		for _, v := range append(slices.Clone(b.groups[path].keys), b.groups[path].secrets...) {
			if has(v.Why, "rotation.again") || v.Kind == "secret" && has(v.Blockers, "secret.rotation-on") && moves(path) {
				again = append(again, ref(v))
			}
		}
	}
	if len(again) > 0 {
		b.add("rotation-on", again, finished...)
	}
}

// retire adds the end of the old keys: of those that have a successor. A key that the tool moved has none, it is the same key.
func (b *builder) retire(finished []string) {
	var old []*Verdict
	for _, path := range []Path{PathRestore, PathRestoreBorder, PathReencrypt, PathResign} {
		old = append(old, b.groups[path].keys...)
	}
	if len(old) == 0 {
		return
	}
	slices.SortFunc(old, func(a, b *Verdict) int { return strings.Compare(a.ID, b.ID) })
	all := refs(old)
	prefix := b.place.Account + "/" + b.place.Region + "/" + b.place.To + "/"
	after := append(slices.Clone(finished), prefix+"use-statement")
	for _, s := range b.out.Steps { // a product that still encrypts with one of them goes first
		if s.Kind == "product" && strings.HasPrefix(s.ID, prefix) {
			after = append(after, s.ID)
		}
	}
	last := b.add("watch-old", all, after...)
	last = b.add("disable-old", all, last)
	var kept []Finding
	for _, k := range old {
		kept = append(kept, about(k.Retirement, k.ID)...)
	}
	b.step(last).Blockers = kept
	last = b.add("wait-disabled", all, last)
	b.add("schedule-deletion", all, last)
}

// carry puts the blockers of a step's resources into the step.
func (b *builder) carry(id string) {
	s := b.step(id)
	for _, r := range s.Resources {
		_, name, _ := strings.Cut(r, ":")
		s.Blockers = append(s.Blockers, about(unsettled(b.blocks[r]), name)...)
	}
}
