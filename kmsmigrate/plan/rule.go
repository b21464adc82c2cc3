package plan

import (
	"slices"
	"strings"
	"sync"
)

// Language is the language of a runbook.
type Language uint8

// The languages. The zero value is English.
const (
	English Language = iota
	Chinese
)

// Text is one text in each language.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// In returns the text in a language.
func (t Text) In(l Language) string {
	if l == Chinese && t.ZH != "" {
		return t.ZH
	}
	return t.EN
}

// Level says what a rule does to the work.
type Level string

// The levels.
const (
	Blocker    Level = "blocker"    // nothing of the resource may be moved before this is settled
	Warning    Level = "warning"    // it can be moved; somebody has to know this
	Retirement Level = "retirement" // it can be moved, and the old key must stay until this is settled
	Note       Level = "note"       // what the documents promise, or the reason of the path
)

// Citation is where a rule comes from.
type Citation struct {
	Document string `json:"document"`
	Section  string `json:"section"`
}

// String returns both in one line.
func (s Citation) String() string { return s.Document + ", " + s.Section }

// Rule is one sentence of a document, or of this project's design, as data.
type Rule struct {
	Name   string   `json:"name"` // short and stable: "key.rotation-on"
	Level  Level    `json:"level"`
	Source Citation `json:"source"`
	Says   Text     `json:"says"` // what holds
	Do     Text     `json:"do"`   // what to do about it
}

// Finding is a rule that applies to something.
type Finding struct {
	Rule  string `json:"rule"`
	About string `json:"about,omitempty"` // the particulars: ids, numbers, dates
}

// Rules returns every rule, sorted by name.
func Rules() []Rule {
	out := slices.Concat(keyRules, secretRules, placeRules)
	slices.SortFunc(out, func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// FindRule returns the rule of that name.
func FindRule(name string) (Rule, bool) {
	r, ok := rulesByName()[name]
	return r, ok
}

var rulesByName = sync.OnceValue(func() map[string]Rule {
	index := map[string]Rule{}
	for _, r := range Rules() {
		index[r.Name] = r
	}
	return index
})

// The documents, by the names that Alibaba's help centre gives them.
const (
	docRegions   = "Migrate keys across regions"
	docTool      = "Migrate resources from KMS 1.0 to a KMS 3.0 instance"
	docSecrets   = "Migrate secrets across regions"
	docAPI       = "KMS API reference (2016-01-20)"
	docLimits    = "KMS performance data"
	docKeyTypes  = "Key types and specifications"
	docBilling   = "KMS billing"
	docGateways  = "Shared and dedicated gateways"
	docTerraform = "Modify the configuration in a Terraform scenario after migration"
	docStates    = "Impact of CMK status on API operations"
	docOlder     = "Migrate CMKs in the default key store (2023)"
	docInternet  = "Access keys of a KMS instance over the Internet"
	docKeyhaul   = "Keyhaul DESIGN.md"
)
