package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// What the documents say and is easily missed, point by point, and the rules that hold it. Each rule has its case in ruleCases, adviceCases or a
// test of Build; TestEveryRuleHasACaseAndACitation sees to that.
func TestWhatIsEasilyMissedHasItsRules(t *testing.T) {
	t.Parallel()
	for point, rules := range map[string][]string{
		"the notification's regions and date":                     {"notice.no-move", "notice.past", "notice.too-late"},
		"KMS 1.0's dates are past":                                {"notice.overdue", "notice.soon"},
		"one free backup instance for each region and instance":   {"restore.backups"},
		"a backup takes about five minutes":                       {"restore.minutes"},
		"three tabs":                                              {"restore.tabs"},
		"a downloaded backup's key is kept apart, then destroyed": {"restore.file-key"},
		"access point, policy, network rule, ClientKey first":     {"access.first"},
		"material lands in the hardware instance's database":      {"tool.database", "key.needs-hsm", "key.needs-hsm-kind"},
		"an HSM key in a software instance is a downgrade":        {"tool.downgrade"},
		"what no table lists is refused":                          {"tool.spec-unlisted", "tool.spec-refused", "key.unknown-word", "secret.unknown-type"},
		"rotation again only where the target supports it":        {"rotation.again", "rotation.not-in-target", "rotation.interval"},
		"metadata that is promised unchanged is compared":         {"tool.metadata", "secret.all-types"},
		"policies: unchanged in the region, rewritten elsewhere":  {"policy.same-region", "policy.rewrite"},
		"a secret on the dedicated face needs kms:Decrypt":        {"secret.dedicated-decrypt"},
		"the window freezes instances too, off-peak":              {"tool.freeze", "tool.window", "tool.window-short"},
		"Terraform after, with no apply in between":               {"terraform.after"},
		"batches of 50": {"tool.batches"},
		"version-id logic goes before the tool runs":                {"code.version-ids"},
		"old version ids still succeed for the OpenAPI only":        {"tool.version-ids"},
		"pay-as-you-go for cloud products alone":                    {"advise.pay-as-you-go", "advise.subscription"},
		"2,000 and 4,000 QPS":                                       {"advise.qps-high", "advise.qps-tier", "advise.qps-too-high"},
		"the network path with its caps":                            {"advise.network-public", "advise.network-vpc", "advise.network-instance", "advise.network-cap", "tool.network"},
		"every key version counts":                                  {"advise.key-quota", "target.key-quota", "tool.all-versions"},
		"SDKs of other products need no change":                     {"sdk.other-products"},
		"cloud services follow their own guides":                    {"key.service-guide", "key.service-stays", "key.used-by-product"},
		"the console's four columns are reconciled":                 {"tool.columns", "tool.columns-unread", "tool.remainder"},
		"default keys are view-only in the new console":             {"key.view-only"},
		"RAM secrets are made again; RDS and ECS have no path":      {"secret.recreate", "secret.no-path"},
		"crossing a border wants an approval":                       {"border.approval", "secret.border"},
		"instances are reached from their VPC only":                 {"target.connectivity"},
		"the sweep runs beside the data, and plaintext has a place": {"border.processes"},
		"each key needs a statement of use":                         {"key.uses-unknown"},
		"producers and consumers":                                   {"flow.order", "flow.rollback"},
		"a compromised key wants fresh data keys":                   {"key.compromised"},
	} {
		for _, name := range rules {
			rule, ok := plan.FindRule(name)
			require.True(t, ok, "%s: no rule %s", point, name)
			require.NotEmpty(t, rule.Source.Section)
		}
	}
	for name, level := range map[string]plan.Level{ // what must stop the work, not only be known
		"code.version-ids": plan.Blocker, "border.approval": plan.Blocker, "notice.too-late": plan.Blocker, "tool.downgrade": plan.Blocker, "flow.order": plan.Blocker, "flow.rollback": plan.Blocker,
		"target.connectivity": plan.Blocker, "key.uses-unknown": plan.Retirement,
	} {
		rule, _ := plan.FindRule(name)
		require.Equal(t, level, rule.Level, name)
	}
}
