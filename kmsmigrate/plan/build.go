package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// BuildConfig says how a plan is made. The zero value gives a plan without dates.
type BuildConfig struct {
	// Start is when the work begins. Zero: the goal's Now; if that is zero as well, the plan has no dates.
	Start time.Time
	// Sweep is how long the sweep of one move takes, from [EstimateSweep]. Zero: a guess of eight hours, twice that with fresh data keys.
	Sweep time.Duration
}

const batch = 50 // keys, and secrets, that the tool takes at a time (limits of the migration tool)

// Build turns an assessment into ordered steps. Blocked resources are in the steps too, which then carry their blockers: a plan that left them
// out would look complete.
//
// The error wraps [ErrTooLate] when the work ends after the notification's deadline; the plan is returned with it and says so.
func Build(a Assessment, config BuildConfig) (Plan, error) {
	if config.Start.IsZero() {
		config.Start = a.Goal.Now
	}
	b := &builder{goal: a.Goal, config: config, at: map[string]int{}}
	b.out = Plan{Schema: PlanSchema, Deadline: a.Goal.Notice.Deadline}
	rest := a.Resources
	for _, p := range a.Places {
		n := 0 // verdicts come place by place
		for n < len(rest) && rest[n].Account == p.Account && rest[n].Region == p.Region {
			n++
		}
		mine := rest[:n]
		rest = rest[n:]
		if p.Moves() {
			b.move(p, mine)
		} else {
			b.out.Blockers = append(b.out.Blockers, about(p.Blockers, p.Region)...)
		}
	}
	b.schedule()
	if err := b.out.Validate(); err != nil {
		return Plan{}, fmt.Errorf("plan: build: %w", err)
	}
	if d := b.out.Deadline; !d.IsZero() && b.out.Ends.After(d) {
		b.out.Blockers = append(b.out.Blockers, Finding{Rule: "notice.too-late", About: fmt.Sprintf("ends %s, deadline %s", date(b.out.Ends), date(d))})
		return b.out, fmt.Errorf("plan: build: it ends on %s and the deadline is %s: %w", date(b.out.Ends), date(d), ErrTooLate)
	}
	return b.out, nil
}

func about(findings []Finding, where string) []Finding {
	out := make([]Finding, len(findings))
	for i, f := range findings {
		out[i] = Finding{Rule: f.Rule, About: strings.TrimSpace(where + " " + f.About)}
	}
	return out
}

type builder struct {
	goal   Goal
	config BuildConfig
	out    Plan
	at     map[string]int // step id to index

	// of the move that is being built
	place  PlaceVerdict
	groups map[Path]*group
	blocks map[string][]Finding // by resource
	ready  []string             // what every path waits for
}

// group is what takes one path.
type group struct{ keys, secrets []*Verdict }

func (b *builder) add(kind string, resources []string, after ...string) string {
	return b.numbered(kind, "", resources, after...)
}

// numbered adds a step and returns its id. Empty ids in after are left out.
func (b *builder) numbered(kind, number string, resources []string, after ...string) string {
	p := b.place
	s := Step{
		ID: p.Account + "/" + p.Region + "/" + p.To + "/" + kind, Kind: kind, Mode: kindsByName()[kind].Mode, Account: p.Account, From: p.Region, To: p.To,
		Instance: p.Target.Instance, Resources: resources,
	}
	if number != "" {
		s.ID += "-" + number
	}
	for _, id := range after {
		if id != "" && !slices.Contains(s.After, id) {
			s.After = append(s.After, id)
		}
	}
	b.at[s.ID] = len(b.out.Steps)
	b.out.Steps = append(b.out.Steps, s)
	return s.ID
}

func (b *builder) step(id string) *Step { return &b.out.Steps[b.at[id]] }

func (b *builder) move(p PlaceVerdict, mine []Verdict) {
	b.place, b.groups, b.blocks, b.ready = p, map[Path]*group{}, map[string][]Finding{}, nil
	for _, path := range Paths() {
		b.groups[path] = &group{}
	}
	for i := range mine {
		v := &mine[i]
		g := b.groups[v.Path]
		if v.Kind == "key" {
			g.keys = append(g.keys, v)
		} else {
			g.secrets = append(g.secrets, v)
		}
		b.blocks[ref(v)] = v.Blockers
	}
	b.prepare(mine)
	created, finished := b.newKeys(), []string(nil)
	finished = append(finished, b.tool())
	restored, cut := b.restore()
	finished = append(finished, cut)
	finished = append(finished, b.reencrypt(created)...)
	finished = append(finished, b.resign())
	finished = append(finished, b.secrets(created, restored)...)
	b.products()
	b.rotationOn(finished)
	b.retire(finished)
}

// prepare adds what has to be in place before anything moves.
func (b *builder) prepare(mine []Verdict) {
	p := b.place
	inventory := b.add("inventory", nil)
	b.step(inventory).Blockers = slices.DeleteFunc(slices.Clone(p.Blockers), func(f Finding) bool { return f.Rule != "place.partial" })
	var blocked, stated, rotating, crossing []string
	busy := false
	for i := range mine {
		v := &mine[i]
		if len(v.Blockers) > 0 || v.Path == PathNone {
			blocked = append(blocked, ref(v))
		}
		if has(v.Retirement, "key.uses-unknown") || v.Kind == "key" && moves(v.Path) && v.Path != PathTool {
			stated = append(stated, ref(v))
		}
		if has(v.Blockers, "key.rotation-on") || has(v.Blockers, "secret.rotation-on") {
			rotating = append(rotating, ref(v))
		}
		if has(v.Blockers, "border.approval") || has(v.Blockers, "secret.border") {
			crossing = append(crossing, ref(v))
		}
		busy = busy || moves(v.Path)
	}
	after := []string{inventory}
	if len(blocked) > 0 || len(p.Blockers) > 0 {
		id := b.add("decide", blocked, inventory)
		b.step(id).Blockers = slices.Clone(p.Blockers)
		after = append(after, id)
	}
	if len(crossing) > 0 {
		after = append(after, b.add("approve-border", crossing, inventory))
	}
	if !busy {
		b.ready = after
		return
	}
	after = append(after, b.add("roles", nil, inventory))
	if len(stated) > 0 {
		b.add("use-statement", stated, inventory) // nothing but retirement waits for it
	}
	if tool := b.groups[PathTool]; len(tool.keys)+len(tool.secrets) > 0 || len(b.goal.Findings) > 0 {
		id := b.add("code-findings", nil, inventory)
		for _, f := range b.goal.Findings {
			b.step(id).About = append(b.step(id).About, f.Kind+" at "+f.At)
		}
		after = append(after, id)
	}
	target := b.add("target", nil, inventory)
	b.step(target).About = []string{targetNeeds(p, b.groups)}
	after = append(after, target)
	if !p.Target.Reachable || p.Region != p.To {
		after = append(after, b.add("connect", nil, target))
	}
	if b.leavesGateway() {
		after = append(after, b.add("access", nil, target))
	}
	if len(rotating) > 0 {
		after = append(after, b.add("rotation-off", rotating, after...))
	}
	b.ready = after
}

// leavesGateway reports whether applications get another address or another key.
func (b *builder) leavesGateway() bool {
	for path, g := range b.groups {
		if moves(path) && path != PathTool && len(g.keys)+len(g.secrets) > 0 {
			return true
		}
	}
	return false
}

func targetNeeds(p PlaceVerdict, groups map[Path]*group) string {
	versions, secrets := 0, 0
	for path, g := range groups {
		for _, k := range g.keys {
			switch {
			case path.copiesMaterial():
				versions += k.Versions
			case moves(path):
				versions++
			}
		}
		if moves(path) {
			secrets += len(g.secrets)
		}
	}
	text := fmt.Sprintf("%s instance, room for %d key versions and %d secrets", p.Target.Kind, versions, secrets)
	if p.Region == p.To {
		text += ", image 2.9.0 or later"
	}
	return text
}

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
				"plaintext exists in: every process of the application that opens or seals records; the sweep's process; nowhere else",
				"data keys exist in: the same processes, for as long as their cache keeps them; on the wire between them and the KMS of "+b.place.Region+" and "+b.place.To+", under TLS",
				"run the sweep beside the data")
		}
	}
	counted := b.add("census", all, swept...)
	return []string{phase("phase-new-only", "new-only", all, counted)}
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

// schedule gives each step its dates: after all that it waits for; a freeze in the first window that has room.
func (b *builder) schedule() {
	start := b.config.Start
	if start.IsZero() {
		return
	}
	b.out.Starts, b.out.Ends, b.out.Retires = start, start, start
	for i := range b.out.Steps {
		s := &b.out.Steps[i]
		s.Starts = start
		for _, id := range s.After {
			if e := b.step(id).Ends; e.After(s.Starts) {
				s.Starts = e
			}
		}
		takes := s.Of().Takes
		if b.config.Sweep > 0 {
			switch s.Kind {
			case "sweep":
				takes = b.config.Sweep
			case "sweep-fresh":
				takes = 2 * b.config.Sweep
			}
		}
		if s.Kind == "freeze-begin" {
			for _, w := range b.goal.Windows {
				if w.To.After(s.Starts.Add(takes)) {
					if w.From.After(s.Starts) {
						s.Starts = w.From
					}
					break
				}
			}
		}
		s.Ends = s.Starts.Add(takes)
		switch s.Kind {
		case "watch-old", "disable-old", "wait-disabled", "schedule-deletion", "use-statement":
		default:
			if s.Ends.After(b.out.Ends) {
				b.out.Ends = s.Ends
			}
		}
		if s.Ends.After(b.out.Retires) {
			b.out.Retires = s.Ends
		}
	}
}

func has(findings []Finding, rule string) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Rule == rule })
}

func ref(v *Verdict) string { return v.Kind + ":" + v.ID }

func refs(list []*Verdict) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = ref(v)
	}
	return out
}
