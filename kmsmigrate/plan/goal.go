package plan

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// GoalSchema is the value of Goal.Schema that this version reads and writes.
const GoalSchema = "keyhaul.goal/1"

// Goal says where everything is to go, and what only people know. Its zero value moves nothing.
type Goal struct {
	Schema string    `json:"schema"`
	Now    time.Time `json:"now,omitzero"` // the day of the assessment; zero: no deadline is judged
	// Notice is the region upgrade or migration notification.
	Notice Notice `json:"notice,omitzero"`
	Moves  []Move `json:"moves"`
	// Instances says what no API tells of an instance, by its id.
	Instances map[string]InstanceNote `json:"instances,omitempty"`
	// Keys says what only people know of a key, by id, alias or region/id. Secrets likewise, by name or region/name.
	Keys map[string]KeyNote `json:"keys,omitempty"`
	// Findings are places in code and configuration that the migration breaks, as the analyzer lists them.
	Findings []CodeFinding `json:"findings,omitempty"`
	// Console has the four columns of the console's migration tool, by "account/region", as a person read them.
	Console map[string]ToolColumns `json:"console,omitempty"`
	// LegalApproval is the reference of the approval to move plaintext, data keys and backups across a border. Empty: none yet.
	LegalApproval string `json:"legal_approval,omitempty"`
	// Windows are the times in which control operations may be frozen.
	Windows []Window `json:"windows,omitempty"`
	// Flows say who writes and who reads a key's ciphertext.
	Flows []Flow `json:"flows,omitempty"`
	// DedicatedReaders says that applications read secrets through an instance's own address.
	DedicatedReaders bool `json:"dedicated_readers,omitempty"`
	// Terraform says that keys or secrets are managed with Terraform.
	Terraform bool `json:"terraform,omitempty"`
}

// Notice is a notification that regions will be upgraded or closed.
type Notice struct {
	Regions  []string  `json:"regions,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// Move is one region of one account and where it goes. From and To are equal for the move of KMS 1.0 into an instance.
type Move struct {
	Account string `json:"account,omitempty"` // empty: every account of the inventory
	From    string `json:"from"`
	To      string `json:"to"`
	Target  Target `json:"target"`
}

// SameRegion reports whether the move stays in its region.
func (m Move) SameRegion() bool { return m.From == m.To }

// Target is the instance that receives.
type Target struct {
	Kind      Kind   `json:"kind"`
	Instance  string `json:"instance,omitempty"`  // kst-…; empty where it is still to be bought
	Image     string `json:"image,omitempty"`     // image version: 3.1.0; empty: not known
	KeyQuota  int    `json:"key_quota,omitempty"` // key versions that it can still take; 0: take it from the inventory
	SecQuota  int    `json:"sec_quota,omitempty"` // secrets that it can still take; 0 likewise
	Reachable bool   `json:"reachable,omitempty"` // the processes that need it are in its VPC or connected to it
	Backups   int    `json:"backups,omitempty"`   // backup instances that the source region has; 0: the free one
}

// Kind is the type of a KMS instance.
type Kind string

// The kinds of instances. The zero value is not known.
const (
	Software Kind = "software"
	Hardware Kind = "hardware"
)

// InstanceNote is what no API tells of an instance.
type InstanceNote struct {
	Kind Kind `json:"kind,omitempty"`
}

// KeyNote is what only people know of a key.
type KeyNote struct {
	Uses []Use `json:"uses,omitempty"`
	// UsesStated says that Uses is the whole list: ActionTrail was read for the shared gateway, SLS for the dedicated one, and declared copies are in it.
	UsesStated bool `json:"uses_stated,omitempty"`
	// Unused says that nothing that anybody still needs is under the key.
	Unused bool `json:"unused,omitempty"`
	// NeedsHSM says that the material must be in an HSM, not in the instance's database.
	NeedsHSM bool `json:"needs_hsm,omitempty"`
	// DowngradeApproved is the reference of the approval to let an HSM key become a software one.
	DowngradeApproved string `json:"downgrade_approved,omitempty"`
	// Compromised says that somebody else may know the key or data keys under it.
	Compromised bool `json:"compromised,omitempty"`
	// Exports says that an application calls ExportDataKey or GenerateAndExportDataKey.
	Exports bool `json:"exports,omitempty"`
}

// Use is one user of a key.
type Use struct {
	By      string `json:"by"`                // a caller, a job, a product
	Product string `json:"product,omitempty"` // of Alibaba Cloud: OSS, RDS, ECS; empty for an application
	Seen    string `json:"seen,omitempty"`    // actiontrail, sls, declared
}

// CodeFinding is a place in code or configuration that a move breaks.
type CodeFinding struct {
	Kind string `json:"kind"` // version-id, key-id, endpoint, region, terraform
	At   string `json:"at"`   // file:line
}

// ToolColumns are the columns of the migration tool for one region.
type ToolColumns struct {
	KeysNotMigrated    int `json:"keys_not_migrated"`
	KeysMigrated       int `json:"keys_migrated"`
	SecretsNotMigrated int `json:"secrets_not_migrated"`
	SecretsMigrated    int `json:"secrets_migrated"`
}

// Window is a time in which control operations may be frozen.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Flow is a way that ciphertext of a key takes between processes: a queue, a cache, a shared table, analytics, change capture.
type Flow struct {
	Name      string        `json:"name"`
	Key       string        `json:"key"`
	Producers []Participant `json:"producers"`
	Consumers []Participant `json:"consumers"`
}

// Participant is a process at one end of a Flow.
type Participant struct {
	Name  string           `json:"name"`
	Phase kmsmigrate.Phase `json:"phase"`
	// PlainSDK says that it uses the SDK without Keyhaul, so it reads what its own endpoint opens and nothing else.
	PlainSDK bool `json:"plain_sdk,omitempty"`
	// RollbackPhase is the phase of the release that one would roll back to.
	RollbackPhase kmsmigrate.Phase `json:"rollback_phase,omitempty"`
}

// ReadGoal reads a goal from JSON, as strictly as [ReadInventory] does.
func ReadGoal(r io.Reader) (Goal, error) {
	var g Goal
	if err := readJSON(r, "goal", GoalSchema, &g); err != nil {
		return Goal{}, err
	}
	return g, g.Validate()
}

// Write saves g as indented JSON.
func (g Goal) Write(w io.Writer) error {
	g.Schema = GoalSchema
	return writeJSON(w, "goal", g)
}

// Validate reports what makes g unusable: a region left without a name or twice, a target whose kind is neither software nor hardware, moves
// that lead in a circle, a window that ends before it begins.
func (g Goal) Validate() error {
	var errs []error
	bad := func(where, field, what string) { errs = append(errs, invalidField(where, field, what)) }
	next := map[[2]string]string{}
	for i, m := range g.Moves {
		at := fmt.Sprintf("moves[%d]", i)
		if m.From == "" {
			bad(at, "from", "is empty")
		}
		if m.To == "" {
			bad(at, "to", "is empty")
		}
		if m.Target.Kind != Software && m.Target.Kind != Hardware {
			bad(at, "target.kind", fmt.Sprintf("is %q: use software or hardware", m.Target.Kind))
		}
		if m.Target.KeyQuota < 0 || m.Target.SecQuota < 0 || m.Target.Backups < 0 {
			bad(at, "target", "has a number below zero")
		}
		if m.Target.Image != "" {
			if _, err := parseImage(m.Target.Image); err != nil {
				bad(at, "target.image", err.Error())
			}
		}
		if _, twice := next[[2]string{m.Account, m.From}]; twice {
			bad(at, "from", fmt.Sprintf("region %s of the same account is moved twice", m.From))
		}
		next[[2]string{m.Account, m.From}] = m.To
	}
	for i, m := range g.Moves {
		if m.From == m.To {
			continue
		}
		for at, steps := m.To, 0; steps <= len(g.Moves); steps++ {
			to, moved := next[[2]string{m.Account, at}]
			if !moved || to == at {
				break
			}
			if to == m.From {
				bad(fmt.Sprintf("moves[%d]", i), "to", fmt.Sprintf("leads in a circle back to %s", m.From))
				break
			}
			at = to
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.Instances)) {
		if k := g.Instances[id].Kind; k != Software && k != Hardware && k != "" {
			bad("instances "+id, "kind", fmt.Sprintf("is %q: use software or hardware", k))
		}
	}
	for i, w := range g.Windows {
		if !w.To.After(w.From) {
			bad(fmt.Sprintf("windows[%d]", i), "to", "is not after from")
		}
	}
	for i, f := range g.Flows {
		if f.Name == "" || len(f.Producers) == 0 || len(f.Consumers) == 0 {
			bad(fmt.Sprintf("flows[%d] %s", i, f.Name), "producers", "or name or consumers are missing")
		}
	}
	for _, at := range slices.Sorted(maps.Keys(g.Console)) {
		if c := g.Console[at]; min(c.KeysMigrated, c.KeysNotMigrated, c.SecretsMigrated, c.SecretsNotMigrated) < 0 {
			bad("console "+at, "columns", "have a number below zero")
		}
	}
	return errors.Join(errs...)
}

// move finds the move of a place: the account's own first, then that of every account.
func (g *Goal) move(account, region string) *Move {
	var general *Move
	for i := range g.Moves {
		m := &g.Moves[i]
		if m.From != region {
			continue
		}
		if m.Account == account {
			return m
		}
		if m.Account == "" {
			general = m
		}
	}
	return general
}

// parseImage reads an image version such as 3.0.0 into three numbers.
func parseImage(text string) ([3]int, error) {
	var v [3]int
	var rest string
	n, _ := fmt.Sscanf(text+" ", "%d.%d.%d%s", &v[0], &v[1], &v[2], &rest)
	if n != 3 || min(v[0], v[1], v[2]) < 0 {
		return v, fmt.Errorf("%q is not an image version such as 3.0.0", text)
	}
	return v, nil
}

func imageBefore(text string, want [3]int) bool {
	v, err := parseImage(text)
	if err != nil {
		return false
	}
	return slices.Compare(v[:], want[:]) < 0
}
