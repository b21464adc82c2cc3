package plan_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// RULES.md is written from the rules. With KEYHAUL_UPDATE=1 the test writes it; otherwise it must be what it would write.
func TestTheListOfRulesIsCurrent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Paths and rules\n\nTheir names are stable: they stand in the JSON of assessments and plans. Written from the code by a test; do not edit.\n\n## Paths\n\n| name | |\n|---|---|\n")
	for _, p := range plan.Paths() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p, p.Describe(plan.English))
	}
	b.WriteString("\n## Rules\n\nA blocker must be settled before the move, a warning must be known, a retirement keeps the old key alive, a note gives the reason.\n\n| name | level | says | do | source |\n|---|---|---|---|---|\n")
	for _, r := range plan.Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.Name, r.Level, r.Says.EN, r.Do.EN, r.Source)
	}
	b.WriteString("\n## Steps\n\n| name | | title | done when | way back |\n|---|---|---|---|---|\n")
	for _, k := range plan.StepKinds() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Mode, k.Title.EN, k.Check.EN, k.Back.EN)
	}
	if os.Getenv("KEYHAUL_UPDATE") != "" {
		require.NoError(t, os.WriteFile("RULES.md", []byte(b.String()), 0o600))
	}
	text, err := os.ReadFile("RULES.md")
	require.NoError(t, err)
	if string(text) != b.String() { // both are too long to print
		t.Fatal("RULES.md is not what the rules say: run the test with KEYHAUL_UPDATE=1")
	}
}
