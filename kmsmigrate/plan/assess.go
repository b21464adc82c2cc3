package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// AssessmentSchema is the value of Assessment.Schema that this version writes.
const AssessmentSchema = "keyhaul.assessment/1"

// Assessment is the verdict on everything in an inventory.
type Assessment struct {
	Schema    string         `json:"schema"`
	Goal      Goal           `json:"goal"`
	Resources []Verdict      `json:"resources"` // keys, then secrets, of each place in order
	Places    []PlaceVerdict `json:"places"`
	// Warnings are about the goal as a whole: rule goal.unmatched.
	Warnings []Finding `json:"warnings,omitempty"`
}

// Verdict is what is to be done with one key or secret.
type Verdict struct {
	Kind    string `json:"kind"` // key or secret
	Account string `json:"account"`
	Region  string `json:"region"`
	ID      string `json:"id"` // a secret's name
	To      string `json:"to,omitempty"`
	Path    Path   `json:"path"`
	// Instance is where it is now; empty outside of any instance.
	Instance string `json:"instance,omitempty"`
	Key      string `json:"key,omitempty"`     // the key that encrypts a secret, as far as known
	Product  string `json:"product,omitempty"` // that a service key belongs to
	Versions int    `json:"versions,omitempty"`

	names []string // a key's aliases

	Why        []Finding `json:"why,omitempty"` // notes: the reason of the path, and what the documents promise
	Blockers   []Finding `json:"blockers,omitempty"`
	Warnings   []Finding `json:"warnings,omitempty"`
	Retirement []Finding `json:"retirement,omitempty"` // what keeps the old key from being retired
}

// PlaceVerdict is what holds for a region as a whole.
type PlaceVerdict struct {
	Account  string    `json:"account"`
	Region   string    `json:"region"`
	To       string    `json:"to,omitempty"`
	Target   Target    `json:"target,omitzero"`
	Border   bool      `json:"border,omitempty"` // the move leaves the country
	Notes    []Finding `json:"notes,omitempty"`
	Blockers []Finding `json:"blockers,omitempty"`
	Warnings []Finding `json:"warnings,omitempty"`
}

// Moves reports whether anything leaves.
func (p PlaceVerdict) Moves() bool { return p.To != "" }

// Assess gives every key and secret of inv its path, and says what blocks or endangers it. It makes no call.
//
// An inventory or goal that cannot be used is an error and gives an empty Assessment. Words of the service that this version does not know
// are an error too, which names each resource and field, and the Assessment is whole: those resources have [PathNone] and a blocker, so that
// one new specification does not hide everything else.
func Assess(inv Inventory, goal Goal) (Assessment, error) {
	if err := errors.Join(inv.Validate(), goal.Validate()); err != nil {
		return Assessment{}, err
	}
	inv.Places = append([]Place(nil), inv.Places...)
	for i := range inv.Places {
		p := &inv.Places[i]
		p.Keys = append([]Key(nil), p.Keys...)
		p.Secrets = append([]Secret(nil), p.Secrets...)
		p.Instances = append([]Instance(nil), p.Instances...)
	}
	inv.sortPlaces()
	keys, secrets := inv.Counts()
	a := &assessor{goal: &goal, places: map[[2]string]*placeIndex{}, coming: map[string]int{}}
	a.out = Assessment{Schema: AssessmentSchema, Goal: goal, Resources: make([]Verdict, 0, keys+secrets)}
	for i := range inv.Places {
		p := &inv.Places[i]
		a.places[[2]string{p.Account, p.Region}] = newPlaceIndex(p, &goal)
	}
	for i := range inv.Places {
		p := a.places[[2]string{inv.Places[i].Account, inv.Places[i].Region}]
		p.move = goal.move(p.place.Account, p.place.Region)
		if p.move != nil {
			p.target = a.places[[2]string{p.place.Account, p.move.To}]
			for n := range p.place.Secrets {
				if s := &p.place.Secrets[n]; !p.move.SameRegion() || s.InstanceID == "" {
					a.coming[p.nameInTarget(s.Name)]++
				}
			}
		}
	}
	for i := range inv.Places {
		p := a.places[[2]string{inv.Places[i].Account, inv.Places[i].Region}]
		first := len(a.out.Resources)
		for n := range p.place.Keys {
			a.key(p, &p.place.Keys[n])
		}
		p.verdicts = make(map[string]*Verdict, len(p.place.Keys)*2)
		for n := range a.out.Resources[first:] {
			v := &a.out.Resources[first+n]
			p.verdicts[v.ID] = v
		}
		for _, k := range p.place.Keys { // a secret may name its key by alias
			for _, alias := range k.Aliases {
				p.verdicts[alias] = p.verdicts[k.ID]
			}
		}
		for n := range p.place.Secrets {
			a.secret(p, &p.place.Secrets[n])
		}
		a.place(p, a.out.Resources[first:])
		p.verdicts = nil
	}
	a.uncovered(inv)
	a.unmatched(inv)
	return a.out, errors.Join(a.unknown...)
}

// assessor carries one assessment.
type assessor struct {
	goal    *Goal
	places  map[[2]string]*placeIndex
	coming  map[string]int // secrets by the name they will have in the target
	unknown []error
	out     Assessment
}

// placeIndex is a place with what is asked of it often.
type placeIndex struct {
	place    *Place
	move     *Move
	target   *placeIndex // nil where the inventory does not have it
	kinds    map[string]Kind
	keyIDs   map[string]*Key
	aliases  map[string]string
	names    map[string][]string // secrets: name to instances
	verdicts map[string]*Verdict
}

func newPlaceIndex(p *Place, goal *Goal) *placeIndex {
	x := &placeIndex{place: p, kinds: map[string]Kind{}, keyIDs: make(map[string]*Key, len(p.Keys)), aliases: map[string]string{}, names: map[string][]string{}}
	for i := range p.Keys {
		k := &p.Keys[i]
		x.keyIDs[k.ID] = k
		for _, alias := range k.Aliases {
			x.aliases[alias] = k.ID
		}
		// Nothing tells an instance's kind but the protection level of its keys; one HSM key makes it a hardware instance.
		if k.InstanceID != "" {
			switch {
			case k.ProtectionLevel == levelHSM:
				x.kinds[k.InstanceID] = Hardware
			case k.ProtectionLevel == levelSoftware && x.kinds[k.InstanceID] == "":
				x.kinds[k.InstanceID] = Software
			}
		}
	}
	for id, note := range goal.Instances {
		if note.Kind != "" {
			x.kinds[id] = note.Kind
		}
	}
	for _, s := range p.Secrets {
		x.names[s.Name] = append(x.names[s.Name], s.InstanceID)
	}
	return x
}

func (p *placeIndex) nameInTarget(name string) string {
	return strings.Join([]string{p.place.Account, p.move.To, p.move.Target.Instance, name}, "\x00")
}

// note finds what people said of a resource, by region/id, id or another name of it.
func note[T any](notes map[string]T, region string, names ...string) (T, bool) {
	for _, n := range names {
		if v, ok := notes[region+"/"+n]; ok {
			return v, true
		}
		if v, ok := notes[n]; ok {
			return v, true
		}
	}
	var none T
	return none, false
}

// add files a finding under the level of its rule.
func (v *Verdict) add(rule, about string) {
	r, ok := FindRule(rule)
	if !ok {
		panic("plan: no rule " + rule) // a mistake in this package: the coverage test meets every one
	}
	f := Finding{Rule: rule, About: about}
	switch r.Level {
	case Blocker:
		v.Blockers = append(v.Blockers, f)
	case Warning:
		v.Warnings = append(v.Warnings, f)
	case Retirement:
		v.Retirement = append(v.Retirement, f)
	default:
		v.Why = append(v.Why, f)
	}
}

// Findings returns all findings of v, blockers first.
func (v Verdict) Findings() []Finding {
	out := make([]Finding, 0, len(v.Blockers)+len(v.Warnings)+len(v.Retirement)+len(v.Why))
	return append(append(append(append(out, v.Blockers...), v.Warnings...), v.Retirement...), v.Why...)
}

func (p *PlaceVerdict) add(rule, about string) {
	r, ok := FindRule(rule)
	if !ok {
		panic("plan: no rule " + rule)
	}
	f := Finding{Rule: rule, About: about}
	switch r.Level {
	case Blocker:
		p.Blockers = append(p.Blockers, f)
	case Warning:
		p.Warnings = append(p.Warnings, f)
	default:
		p.Notes = append(p.Notes, f)
	}
}

// ByPath counts resources of a kind ("key", "secret" or, empty, both) by path.
func (a Assessment) ByPath(kind string) map[Path]int {
	out := map[Path]int{}
	for _, v := range a.Resources {
		if kind == "" || v.Kind == kind {
			out[v.Path]++
		}
	}
	return out
}

// Blocked counts resources that have blockers.
func (a Assessment) Blocked() int {
	n := 0
	for _, v := range a.Resources {
		if len(v.Blockers) > 0 {
			n++
		}
	}
	return n
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func (a *assessor) badWord(where, field, value string) {
	a.unknown = append(a.unknown, invalidField(where, field, fmt.Sprintf("has the unknown value %q", value)))
}
