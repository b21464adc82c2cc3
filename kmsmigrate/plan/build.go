package plan

import (
	"fmt"
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
		// Two secrets can have one name, outside of instances and in one: what blocks either blocks the step.
		b.blocks[ref(v)] = append(b.blocks[ref(v)], v.Blockers...)
	}
	b.prepare(mine)
	created, moved := b.newKeys(), b.tool()
	restored, cut := b.restore()
	finished := append(make([]string, 0, 8), moved, cut)
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

// schedule gives each step its dates: after all that it waits for; a freeze in the first window that has room.
func (b *builder) schedule() {
	start := b.config.Start
	if start.IsZero() {
		return
	}
	b.out.Starts, b.out.Ends, b.out.Retires = start, start, start
	windows := slices.Clone(b.goal.Windows)
	slices.SortFunc(windows, func(a, b Window) int { return a.From.Compare(b.From) })
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
		if s.Kind == "freeze-begin" && len(windows) > 0 {
			w, found := b.window(i, windows)
			if found && w.From.After(s.Starts) {
				s.Starts = w.From
			}
			if needs := b.freeze(i); !found {
				s.Blockers = append(s.Blockers, Finding{Rule: "tool.window-short", About: fmt.Sprintf("the freeze takes %s from %s on, and no window is that long then", needs, s.Starts.UTC().Format(time.RFC3339))})
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

// freeze is how long control operations are frozen by the freeze that begins with step at: all steps up to its end, which wait for one another.
func (b *builder) freeze(at int) time.Duration {
	var needs time.Duration
	first := b.out.Steps[at]
	for _, s := range b.out.Steps[at:] {
		if s.Account != first.Account || s.From != first.From || !frozen[s.Kind] {
			break
		}
		needs += s.Of().Takes
	}
	return needs
}

// frozen are the kinds of steps within a freeze.
var frozen = words("freeze-begin", "tool-keys", "tool-secrets", "tool-reconcile", "compare", "terraform", "freeze-end")

// window returns the first window in which the whole freeze that begins with step at has room.
func (b *builder) window(at int, windows []Window) (Window, bool) {
	needs, from := b.freeze(at), b.out.Steps[at].Starts
	for _, w := range windows {
		begins := w.From
		if from.After(begins) {
			begins = from
		}
		if !begins.Add(needs).After(w.To) {
			return w, true
		}
	}
	return Window{}, false
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
