package plan

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// InventorySchema is the value of Inventory.Schema that this version reads and writes.
const InventorySchema = "keyhaul.inventory/1"

// InventoryJSONSchema is the JSON Schema of a saved inventory.
//
//go:embed inventory.schema.json
var InventoryJSONSchema []byte

// Inventory is what accounts and regions hold: all that their control planes tell, and no secret's value.
type Inventory struct {
	Schema string    `json:"schema"` // InventorySchema
	Taken  time.Time `json:"taken,omitzero"`
	Places []Place   `json:"places"` // one for each account and region, in their order
}

// Place is one region of one account.
type Place struct {
	Account   string     `json:"account"` // uid
	Region    string     `json:"region"`  // region id: cn-hangzhou
	Complete  bool       `json:"complete"`
	Keys      []Key      `json:"keys,omitempty"`
	Secrets   []Secret   `json:"secrets,omitempty"`
	Instances []Instance `json:"instances,omitempty"`
	// Gaps say what could not be read, and why. A place with gaps is not complete.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Gap is something that Collect could not read.
type Gap struct {
	What   string `json:"what"`         // keys, key, key-versions, key-tags, aliases, secrets, secret-versions, instances
	ID     string `json:"id,omitempty"` // of the key or secret; empty for the list itself
	Reason string `json:"reason"`       // denied, throttled, unavailable, stopped or error
	Err    string `json:"error"`
}

// ReadInventory reads what [Inventory.Write] wrote. JSON that is cut off, of another schema or with fields that this version does not know is
// an error that wraps [kmsmigrate.ErrInvalid], and so is what [Inventory.Validate] finds.
func ReadInventory(r io.Reader) (Inventory, error) {
	var inv Inventory
	if err := readJSON(r, "inventory", InventorySchema, &inv); err != nil {
		return Inventory{}, err
	}
	return inv, inv.Validate()
}

// Write saves inv as indented JSON.
func (inv Inventory) Write(w io.Writer) error {
	inv.Schema = InventorySchema
	return writeJSON(w, "inventory", inv)
}

// Counts returns how many keys and secrets inv has.
func (inv Inventory) Counts() (keys, secrets int) {
	for _, p := range inv.Places {
		keys, secrets = keys+len(p.Keys), secrets+len(p.Secrets)
	}
	return keys, secrets
}

// Validate reports what makes inv unusable, naming the resource and the field: no account or region, an id that is empty or stands twice, a key of
// another region, an instance quota below zero. Words that this package does not know are no error here; see [Assess].
func (inv Inventory) Validate() error {
	var errs []error
	bad := func(where, field, what string) { errs = append(errs, invalidField(where, field, what)) }
	seen := map[[2]string]bool{}
	for i, p := range inv.Places {
		where := fmt.Sprintf("places[%d]", i)
		switch place := [2]string{p.Account, p.Region}; {
		case p.Account == "":
			bad(where, "account", "is empty")
		case p.Region == "":
			bad(where, "region", "is empty")
		case seen[place]:
			bad(where, "region", fmt.Sprintf("%s of account %s stands twice", p.Region, p.Account))
		default:
			seen[place] = true
		}
		ids := make(map[string]bool, len(p.Keys))
		for n, k := range p.Keys {
			at := fmt.Sprintf("%s.keys[%d] %s", where, n, k.ID)
			checkName(bad, ids, at, "id", k.ID)
			if k.Region != "" && k.Region != p.Region {
				bad(at, "region", fmt.Sprintf("is %q in a place of %q", k.Region, p.Region))
			}
			for v, version := range k.Versions {
				if version.ID == "" {
					bad(at, fmt.Sprintf("versions[%d].id", v), "is empty")
				}
			}
		}
		// KMS 1.0 may hold one name twice (once outside, once in an instance), so the instance is part of a secret's identity.
		names := make(map[string]bool, len(p.Secrets))
		for n, s := range p.Secrets {
			at := fmt.Sprintf("%s.secrets[%d] %s", where, n, s.Name)
			if s.Name == "" {
				bad(at, "name", "is empty")
			} else {
				checkName(bad, names, at, "name", s.InstanceID+"\x00"+s.Name)
			}
			if s.Region != "" && s.Region != p.Region {
				bad(at, "region", fmt.Sprintf("is %q in a place of %q", s.Region, p.Region))
			}
		}
		instances := make(map[string]bool, len(p.Instances))
		for n, in := range p.Instances {
			at := fmt.Sprintf("%s.instances[%d] %s", where, n, in.ID)
			checkName(bad, instances, at, "id", in.ID)
			if in.Keys < 0 || in.Secrets < 0 || in.QPS < 0 {
				bad(at, "quota", "is below zero")
			}
		}
	}
	return errors.Join(errs...)
}

func checkName(bad func(where, field, what string), seen map[string]bool, at, field, id string) {
	switch {
	case id == "":
		bad(at, field, "is empty")
	case seen[id]:
		bad(at, field, "stands twice")
	}
	seen[id] = true
}

// FieldError names the resource and field that is wrong. It wraps [kmsmigrate.ErrInvalid].
type FieldError struct {
	Resource string // "places[0].keys[3] key-…"
	Field    string // "spec"
	Problem  string
}

// Error returns one line: resource, field, problem.
func (e *FieldError) Error() string {
	return fmt.Sprintf("plan: %s: field %s %s", e.Resource, e.Field, e.Problem)
}

// Unwrap returns kmsmigrate.ErrInvalid.
func (e *FieldError) Unwrap() error { return kmsmigrate.ErrInvalid }

func invalidField(resource, field, problem string) error {
	return &FieldError{Resource: resource, Field: field, Problem: problem}
}

// sortPlaces puts everything into one order, so that the same estate always gives the same bytes.
func (inv *Inventory) sortPlaces() {
	slices.SortFunc(inv.Places, func(a, b Place) int {
		return compareStrings(a.Account, b.Account, a.Region, b.Region)
	})
	for i := range inv.Places {
		p := &inv.Places[i]
		slices.SortFunc(p.Keys, func(a, b Key) int { return compareStrings(a.ID, b.ID) })
		slices.SortFunc(p.Secrets, func(a, b Secret) int { return compareStrings(a.Name, b.Name, a.InstanceID, b.InstanceID) })
		slices.SortFunc(p.Instances, func(a, b Instance) int { return compareStrings(a.ID, b.ID) })
		slices.SortFunc(p.Gaps, func(a, b Gap) int { return compareStrings(a.What, b.What, a.ID, b.ID, a.Reason, b.Reason) })
	}
}

func compareStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			if pairs[i] < pairs[i+1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// readJSON decodes one JSON value with a schema field. An unknown field is refused: a file of another tool must not pass for an empty one of ours.
func readJSON(r io.Reader, what, schema string, into any) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("plan: read %s: %w", what, err)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("plan: %s: %w: %w", what, err, kmsmigrate.ErrInvalid)
	}
	if head.Schema != schema {
		return fmt.Errorf("plan: %s: its schema is %q, this version reads %q: %w", what, head.Schema, schema, kmsmigrate.ErrInvalid)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("plan: %s: %w: %w", what, err, kmsmigrate.ErrInvalid)
	}
	return nil
}

func writeJSON(w io.Writer, what string, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("plan: write %s: %w", what, err)
	}
	return nil
}
