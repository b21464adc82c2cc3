package plan

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// PlanSchema is the value of Plan.Schema that this version reads and writes.
const PlanSchema = "keyhaul.plan/1"

// ErrTooLate says that the work ends, by its schedule, after the notification's deadline.
var ErrTooLate = errors.New("the work ends after the deadline")

// Plan is the order of work. The same assessment and configuration always give the same plan, byte for byte.
type Plan struct {
	Schema   string    `json:"schema"`
	Starts   time.Time `json:"starts,omitzero"`
	Ends     time.Time `json:"ends,omitzero"`    // when the last key and secret has moved
	Retires  time.Time `json:"retires,omitzero"` // when the last old key may be scheduled for deletion
	Deadline time.Time `json:"deadline,omitzero"`
	Blockers []Finding `json:"blockers,omitempty"` // of the plan as a whole
	Steps    []Step    `json:"steps"`              // each after all that it waits for
}

// Step is one thing to do. What steps of one kind have in common stands in its [StepKind].
type Step struct {
	ID        string    `json:"id"` // account/from/to/kind, and a number where there are several
	Kind      string    `json:"kind"`
	Mode      Mode      `json:"mode"`
	Account   string    `json:"account"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Instance  string    `json:"instance,omitempty"`  // the target; for a backup the source
	Phase     string    `json:"phase,omitempty"`     // that clients are in from this step on
	Resources []string  `json:"resources,omitempty"` // key:<id>, secret:<name>
	About     []string  `json:"about,omitempty"`     // particulars
	After     []string  `json:"after,omitempty"`     // ids of steps that must be done before
	Blockers  []Finding `json:"blockers,omitempty"`  // what must be settled before
	Starts    time.Time `json:"starts,omitzero"`
	Ends      time.Time `json:"ends,omitzero"`
}

// Of returns what the step has in common with others of its kind.
func (s Step) Of() StepKind { return kindsByName()[s.Kind] }

// ReadPlan reads a plan from JSON and validates it.
func ReadPlan(r io.Reader) (Plan, error) {
	var p Plan
	if err := readJSON(r, "plan", PlanSchema, &p); err != nil {
		return Plan{}, err
	}
	return p, p.Validate()
}

// Write saves p as indented JSON.
func (p Plan) Write(w io.Writer) error {
	p.Schema = PlanSchema
	return writeJSON(w, "plan", p)
}

// Step returns the step of that id.
func (p Plan) Step(id string) (Step, bool) {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return Step{}, false
	}
	return p.Steps[i], true
}

// Validate reports what makes p unusable or dangerous, naming the step and the field: an id that is empty or stands twice, an unknown kind, a
// step before what it waits for (circles are that too), and a step that could lose a key: disabling or scheduling deletion without evidence before
// it, or of a key that the migration tool moved, which is the only copy there is.
func (p Plan) Validate() error {
	var errs []error
	bad := func(s Step, field, what string) { errs = append(errs, invalidField("step "+s.ID, field, what)) }
	index := make(map[string]int, len(p.Steps))
	for i, s := range p.Steps {
		switch _, twice := index[s.ID]; {
		case s.ID == "":
			bad(s, "id", fmt.Sprintf("is empty (steps[%d])", i))
		case twice:
			bad(s, "id", "stands twice")
		}
		if _, known := kindsByName()[s.Kind]; !known {
			bad(s, "kind", fmt.Sprintf("has the unknown value %q", s.Kind))
		}
		for _, before := range s.After {
			if _, done := index[before]; !done {
				what := "names a step that is not in the plan: "
				if slices.ContainsFunc(p.Steps, func(o Step) bool { return o.ID == before }) {
					what = "waits for a step that comes later, or for itself: "
				}
				bad(s, "after", what+before)
			}
		}
		index[s.ID] = i
	}
	if len(errs) > 0 {
		return errors.Join(errs...) // what follows walks the steps
	}
	return p.safe(index)
}

// proofs are the kinds that prove of their keys that nothing needs the old one any more, or that everything opens elsewhere.
var proofs = words("phase-new-only", "cut-over", "switch-signing")

// safe finds steps that could lose a key.
func (p Plan) safe(index map[string]int) error {
	var errs []error
	moved := map[string]bool{} // by the tool: account, region and key
	for _, s := range p.Steps {
		if s.Kind == "tool-keys" {
			for _, r := range s.Resources {
				moved[s.Account+"/"+s.From+"/"+r] = true
			}
		}
	}
	for _, s := range p.Steps {
		if s.Kind != "disable-old" && s.Kind != "schedule-deletion" {
			continue
		}
		kinds, proven := map[string]bool{}, map[string]bool{}
		p.before(index, s, func(b Step) {
			kinds[b.Kind] = true
			if proofs[b.Kind] && b.Account == s.Account && b.From == s.From {
				for _, r := range b.Resources {
					proven[r] = true
				}
			}
		})
		want := []string{"watch-old", "use-statement"}
		if s.Kind == "schedule-deletion" {
			want = append(want, "disable-old", "wait-disabled")
		}
		for _, k := range want {
			if !kinds[k] {
				errs = append(errs, invalidField("step "+s.ID, "after", "could lose a key: no "+k+" before it"))
			}
		}
		for _, r := range s.Resources {
			switch {
			case moved[s.Account+"/"+s.From+"/"+r]:
				errs = append(errs, invalidField("step "+s.ID, "resources", "could lose "+r+": the tool moved it, there is no other"))
			case !proven[r]:
				errs = append(errs, invalidField("step "+s.ID, "resources", "could lose "+r+": no step before it proves that nothing needs it"))
			}
		}
	}
	return errors.Join(errs...)
}

// before calls visit for each step that s waits for, near or far.
func (p Plan) before(index map[string]int, s Step, visit func(Step)) {
	seen := map[int]bool{}
	todo := slices.Clone(s.After)
	for len(todo) > 0 {
		i := index[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		if seen[i] {
			continue
		}
		seen[i] = true
		visit(p.Steps[i])
		todo = append(todo, p.Steps[i].After...)
	}
}

// Change is a difference between two plans.
type Change struct {
	What string   `json:"what"` // added, removed, changed
	Step string   `json:"step"`
	How  []string `json:"how,omitempty"` // of a changed step: "+key:…", "-key:…", "after", "blockers", "schedule"
}

// String returns one line.
func (c Change) String() string {
	if len(c.How) == 0 {
		return c.What + " " + c.Step
	}
	return c.What + " " + c.Step + ": " + strings.Join(c.How, ", ")
}

// Diff returns what has to change in plan a to become plan b: steps removed and changed in the order of a, then those added in the order of b.
func Diff(a, b Plan) []Change {
	var out []Change
	other := make(map[string]*Step, len(b.Steps))
	for i := range b.Steps {
		other[b.Steps[i].ID] = &b.Steps[i]
	}
	was := make(map[string]bool, len(a.Steps))
	for _, s := range a.Steps {
		was[s.ID] = true
		now, stays := other[s.ID]
		if !stays {
			out = append(out, Change{What: "removed", Step: s.ID})
			continue
		}
		if how := s.differs(*now); len(how) > 0 {
			out = append(out, Change{What: "changed", Step: s.ID, How: how})
		}
	}
	for _, s := range b.Steps {
		if !was[s.ID] {
			out = append(out, Change{What: "added", Step: s.ID})
		}
	}
	return out
}

func (s Step) differs(now Step) []string {
	var how []string
	had := words(s.Resources...)
	for _, r := range now.Resources {
		if !had[r] {
			how = append(how, "+"+r)
		}
		delete(had, r)
	}
	for _, r := range s.Resources {
		if had[r] {
			how = append(how, "-"+r)
		}
	}
	for _, part := range []struct {
		name string
		same bool
	}{
		{"kind", s.Kind == now.Kind && s.Mode == now.Mode && s.Phase == now.Phase},
		{"target", s.Instance == now.Instance && s.To == now.To},
		{"after", slices.Equal(s.After, now.After)},
		{"about", slices.Equal(s.About, now.About)},
		{"blockers", slices.Equal(s.Blockers, now.Blockers)},
		{"schedule", s.Starts.Equal(now.Starts) && s.Ends.Equal(now.Ends)},
	} {
		if !part.same {
			how = append(how, part.name)
		}
	}
	return how
}
