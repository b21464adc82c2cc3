package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// ruleCase is an estate and a goal in which a rule must hold, and one in which it must not.
type ruleCase struct {
	inv  plan.Inventory
	goal plan.Goal
	not  func(inv *plan.Inventory, goal *plan.Goal) // undoes what makes the rule hold; nil: nothing could but another path
}

func ruleCases() map[string]ruleCase {
	const hz, sh, sg = "cn-hangzhou", "cn-shanghai", "ap-southeast-1"
	key0 := aKey().ID
	one := func(region string, change ...func(*plan.Key)) plan.Inventory {
		return estate(place(region, keys(aKey(change...))))
	}
	secrets := func(k []plan.Key, s ...plan.Secret) plan.Inventory { return estate(place(hz, k, s...)) }
	toolSW, toolHW := moveTo(hz, hz, plan.Software), moveTo(hz, hz, plan.Hardware)
	away, border := moveTo(hz, sh, plan.Software), moveTo(hz, sg, plan.Software)
	first := func(change ...func(*plan.Key)) func(*plan.Inventory, *plan.Goal) {
		return func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[0].Keys = keys(aKey(change...)) }
	}
	goalOnly := func(change func(*plan.Goal)) func(*plan.Inventory, *plan.Goal) {
		return func(_ *plan.Inventory, g *plan.Goal) { change(g) }
	}
	firstSecret := func(change ...func(*plan.Secret)) func(*plan.Inventory, *plan.Goal) {
		return func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[0].Secrets = []plan.Secret{aSecret(change...)} }
	}
	expires := func(k *plan.Key) { k.MaterialExpire = today.AddDate(0, 6, 0) }
	flow := func(producer, consumer plan.Participant) func(*plan.Goal) {
		return func(g *plan.Goal) {
			g.Flows = []plan.Flow{{Name: "orders queue", Key: key0, Producers: []plan.Participant{producer}, Consumers: []plan.Participant{consumer}}}
		}
	}
	ready := plan.Participant{Name: "reader", Phase: kmsmigrate.ReadBoth}
	writer := plan.Participant{Name: "writer", Phase: kmsmigrate.WriteNew, RollbackPhase: kmsmigrate.ReadBoth}
	withInstance := func(region string, in plan.Instance, k ...plan.Key) plan.Place {
		p := place(region, k)
		in.Region = region
		p.Instances = []plan.Instance{in}
		return p
	}
	connected := plan.Instance{ID: "kst-target", Status: "Connected", Keys: 1000, Secrets: 1000}

	return map[string]ruleCase{
		"key.not-moved":          {one(hz), plan.Goal{}, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"key.in-instance":        {one(hz, inSource), toolSW, first()},
		"key.unused":             {one(hz), moveTo(hz, hz, plan.Software, note(key0, plan.KeyNote{Unused: true})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},
		"key.service-stays":      {one(hz, alias("alias/acs/rds")), toolSW, first(alias("alias/app"))},
		"key.service-guide":      {one(hz, func(k *plan.Key) { k.Creator = "Rds" }), away, first()},
		"tool.listed":            {one(hz), toolSW, first(spec("RSA_4096"))},
		"tool.spec-refused":      {one(hz, spec("RSA_2048")), toolHW, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"tool.spec-unlisted":     {one(hz, spec("RSA_2048"), multi), toolSW, first(spec("RSA_2048"))},
		"tool.byok-hsm":          {one(hz, hsm, byok), toolHW, first(byok)},
		"tool.hsm-abroad":        {one(sg, hsm), moveTo(sg, sg, plan.Hardware), first()},
		"path.software-instance": {one(hz, inSource), away, first(inSource, hsm)},
		"path.hardware-instance": {one(hz, inSource, hsm), away, goalOnly(func(g *plan.Goal) {
			g.Instances = map[string]plan.InstanceNote{"kst-source": {Kind: plan.Software}}
		})},
		"path.default-key": {one(hz), away, first(inSource)},
		"path.sign-verify": {one(hz, sign, spec("RSA_2048")), away, first(spec("RSA_2048"))},
		"restore.kind":     {one(hz, inSource), moveTo(hz, sh, plan.Hardware), goalOnly(func(g *plan.Goal) { *g = away })},
		"key.needs-hsm":    {one(hz, hsm), moveTo(hz, hz, plan.Hardware, note(key0, plan.KeyNote{NeedsHSM: true})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},
		"key.needs-hsm-kind": {one(hz), moveTo(hz, hz, plan.Software, note(key0, plan.KeyNote{NeedsHSM: true})), goalOnly(func(g *plan.Goal) {
			g.Moves[0].Target.Kind = plan.Hardware
		})},
		"key.compromised": {one(hz), moveTo(hz, hz, plan.Software, note(hz+"/"+key0, plan.KeyNote{Compromised: true})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},

		"key.disabled":         {one(hz, state("Disabled")), toolSW, first()},
		"key.pending-deletion": {one(hz, state("PendingDeletion"), func(k *plan.Key) { k.Deletes = today.AddDate(0, 0, 9) }), toolSW, first()},
		"key.pending-import":   {one(hz, state("PendingImport"), byok), toolSW, first(byok)},
		"key.unavailable":      {one(hz, state("Unavailable")), toolSW, first()},
		"key.rotation-on":      {one(hz, rotates), toolSW, first()},
		"code.version-ids": {one(hz), moveTo(hz, hz, plan.Software, func(g *plan.Goal) {
			g.Findings = []plan.CodeFinding{{Kind: "version-id", At: "pay/crypt.go:17"}}
		}), goalOnly(func(g *plan.Goal) { g.Findings[0].Kind = "endpoint" })},
		"tool.downgrade": {one(hz, hsm), toolSW, goalOnly(func(g *plan.Goal) { note(key0, plan.KeyNote{DowngradeApproved: "SEC-4"})(g) })},
		"restore.key-exists": {estate(place(hz, keys(aKey(inSource))), place(sh, keys(aKey()))), away, func(inv *plan.Inventory, _ *plan.Goal) {
			inv.Places[1].Keys[0].ID = "another"
		}},
		"restore.alias-exists": {estate(place(hz, keys(aKey(inSource, alias("alias/app")))), place(sh, keys(aKey(id("another"), alias("alias/app"))))), away,
			func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[1].Keys[0].Aliases = nil }},
		"border.approval":  {one(hz), border, goalOnly(approved)},
		"border.processes": {one(hz), border, goalOnly(func(g *plan.Goal) { g.Moves[0].To = sh })},

		"key.view-only":        {one(hz), away, first(inSource)},
		"key.material-expires": {one(hz, byok, expires), toolSW, first(byok)},
		"byok.no-copy":         {one(hz, byok), away, first()},
		"tool.byok-software":   {one(hz, byok), toolSW, first()},
		"tool.all-versions":    {one(hz, multi), toolSW, first()},
		"tool.version-ids":     {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"tool.database":        {one(hz), toolHW, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"tool.exports":         {one(hz), moveTo(hz, hz, plan.Software, note(key0, plan.KeyNote{Exports: true})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},
		"tool.metadata":        {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"policy.same-region":   {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"policy.rewrite":       {one(hz), away, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"rotation.not-in-target": {one(hz, inSource, hsm, rotates), moveTo(hz, sh, plan.Hardware), goalOnly(func(g *plan.Goal) {
			g.Moves[0].Target.Kind = plan.Software
		})},
		"rotation.again":       {one(hz, rotates), toolSW, first()},
		"rotation.interval":    {one(hz, rotates, func(k *plan.Key) { k.RotationInterval = 730 * 24 * time.Hour }), toolSW, first(rotates)},
		"key.versions-unknown": {one(hz, func(k *plan.Key) { k.Versions = nil }), toolSW, first()},

		"key.uses-unknown":        {one(hz), away, goalOnly(note(key0, plan.KeyNote{UsesStated: true}))},
		"key.used-by-product":     {one(hz), moveTo(hz, sh, plan.Software, note(key0, plan.KeyNote{Uses: []plan.Use{{By: "bucket x", Product: "OSS"}}})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},
		"key.deletion-protection": {one(hz, protected), away, first()},
		"key.holds-secret":        {secrets(keys(aKey()), aSecret(secretType("Rds"), under(key0))), away, firstSecret(under(key0))},
		"flow.order":              {one(hz), moveTo(hz, sh, plan.Software, flow(writer, plan.Participant{Name: "report job", PlainSDK: true})), goalOnly(flow(writer, ready))},
		"flow.rollback": {one(hz), moveTo(hz, sh, plan.Software, flow(plan.Participant{Name: "writer", Phase: kmsmigrate.WriteNew}, ready)),
			goalOnly(flow(writer, ready))},

		"secret.not-moved":   {secrets(nil, aSecret()), plan.Goal{}, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"secret.in-instance": {secrets(nil, aSecret(secretIn("kst-source"))), toolSW, firstSecret()},
		"secret.all-types":   {secrets(nil, aSecret(secretType("RAMCredentials"))), toolSW, firstSecret(secretIn("kst-source"))},
		"secret.restore":     {secrets(keys(aKey(inSource)), aSecret(secretIn("kst-source"), under(key0))), away, firstSecret()},
		"secret.copy":        {secrets(nil, aSecret()), away, firstSecret(secretType("ECS"))},
		"secret.no-writes":   {secrets(nil, aSecret()), away, goalOnly(func(g *plan.Goal) { *g = toolSW })},
		"secret.recreate":    {secrets(nil, aSecret(secretType("RAMCredentials"))), away, firstSecret()},
		"secret.no-path":     {secrets(nil, aSecret(secretType("Rds"))), away, firstSecret()},
		"secret.name-twice":  {secrets(nil, aSecret(), aSecret(secretIn("kst-source"))), away, firstSecret()},
		"secret.name-in-target": {secrets(nil, aSecret(), aSecret(secretIn("kst-target"))), toolSW, func(inv *plan.Inventory, _ *plan.Goal) {
			inv.Places[0].Secrets = inv.Places[0].Secrets[:1]
		}},
		"secret.rotation-on":   {secrets(nil, aSecret(func(s *plan.Secret) { s.Rotation = "Enabled" })), toolSW, firstSecret()},
		"secret.in-deletion":   {secrets(nil, aSecret(func(s *plan.Secret) { s.Deletes = today })), toolSW, firstSecret()},
		"secret.key-first":     {secrets(keys(aKey()), aSecret(under(key0))), toolSW, firstSecret()},
		"secret.key-blocked":   {secrets(keys(aKey(state("Disabled"))), aSecret(under(key0))), toolSW, first()},
		"secret.key-missing":   {secrets(nil, aSecret(under(key0))), toolSW, first()},
		"secret.key-elsewhere": {secrets(keys(aKey(spec("Aliyun_AES_128"))), aSecret(under(key0))), toolSW, first()},
		"secret.system-key": {secrets(nil, aSecret()), toolSW, func(inv *plan.Inventory, _ *plan.Goal) {
			inv.Places[0].Keys, inv.Places[0].Secrets = keys(aKey()), []plan.Secret{aSecret(under(key0))}
		}},
		"secret.dedicated-decrypt": {secrets(nil, aSecret()), moveTo(hz, hz, plan.Software, func(g *plan.Goal) { g.DedicatedReaders = true }), goalOnly(func(g *plan.Goal) { g.DedicatedReaders = false })},
		"secret.border":            {secrets(nil, aSecret()), border, goalOnly(approved)},

		"notice.overdue": {one(hz), toolSW, goalOnly(func(g *plan.Goal) { g.Now = time.Date(2025, 3, 29, 15, 59, 59, 0, time.UTC) })},
		"notice.soon": {one(hz), moveTo(hz, hz, plan.Software, func(g *plan.Goal) { g.Now = time.Date(2025, 3, 29, 15, 59, 59, 0, time.UTC) }),
			goalOnly(func(g *plan.Goal) { g.Now = time.Date(2025, 3, 29, 16, 0, 0, 0, time.UTC) })},
		"notice.no-move": {one(hz), plan.Goal{Notice: plan.Notice{Regions: []string{hz}}}, goalOnly(func(g *plan.Goal) { g.Moves = away.Moves })},
		"notice.past": {one(hz), moveTo(hz, sh, plan.Software, func(g *plan.Goal) {
			g.Notice = plan.Notice{Regions: []string{hz}, Deadline: today.AddDate(0, 0, -1)}
		}), goalOnly(func(g *plan.Goal) { g.Notice.Deadline = today.AddDate(0, 0, 1) })},
		"place.partial": {plan.Inventory{Places: []plan.Place{{Account: account, Region: hz, Gaps: []plan.Gap{{What: "keys", Reason: "denied"}}}}}, toolSW,
			func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[0].Gaps, inv.Places[0].Complete = nil, true }},
		"place.region-unknown": {one(hz), moveTo(hz, "xx-moon-1", plan.Software), goalOnly(func(g *plan.Goal) { g.Moves[0].To = sg })},
		"target.image":         {one(hz), moveTo(hz, hz, plan.Software, target(func(t *plan.Target) { t.Image = "2.8.9" })), goalOnly(target(func(t *plan.Target) { t.Image = "2.9.0" }))},
		"target.image-unknown": {one(hz), moveTo(hz, hz, plan.Software, target(func(t *plan.Target) { t.Image = "" })), goalOnly(target(func(t *plan.Target) { t.Image = "2.10.0" }))},
		"target.key-quota":     {one(hz, multi), moveTo(hz, hz, plan.Software, target(func(t *plan.Target) { t.KeyQuota = 1 })), goalOnly(target(func(t *plan.Target) { t.KeyQuota = 2 }))},
		"target.secret-quota":  {secrets(nil, aSecret(), aSecret(name("other"))), moveTo(hz, hz, plan.Software, target(func(t *plan.Target) { t.SecQuota = 1 })), goalOnly(target(func(t *plan.Target) { t.SecQuota = 2 }))},
		"target.status":        {estate(withInstance(hz, plan.Instance{ID: "kst-target", Status: "Uninitialized"}, aKey())), toolSW, func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[0].Instances[0].Status = "Connected" }},
		"target.missing":       {one(hz), toolSW, func(inv *plan.Inventory, _ *plan.Goal) { *inv = estate(withInstance(hz, connected, aKey())) }},
		"target.unseen":        {one(hz), away, func(inv *plan.Inventory, _ *plan.Goal) { inv.Places = append(inv.Places, place(sh, nil)) }},
		"target.connectivity":  {one(hz), moveTo(hz, sh, plan.Software, target(func(t *plan.Target) { t.Reachable = false })), goalOnly(target(func(t *plan.Target) { t.Reachable = true }))},
		"instance.ends":        {estate(withInstance(hz, plan.Instance{ID: "kst-source", Ends: today.AddDate(0, 0, 20)}, aKey(inSource))), away, func(inv *plan.Inventory, _ *plan.Goal) { inv.Places[0].Instances[0].Ends = today.AddDate(1, 0, 0) }},
		"tool.freeze":          {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"tool.batches":         {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"sdk.other-products":   {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"tool.window":          {one(hz), toolSW, goalOnly(func(g *plan.Goal) { g.Windows = []plan.Window{{From: today, To: today.Add(time.Hour)}} })},
		"tool.columns":         {one(hz), moveTo(hz, hz, plan.Software, func(g *plan.Goal) { g.Console = map[string]plan.ToolColumns{account + "/" + hz: {KeysNotMigrated: 2}} }), goalOnly(func(g *plan.Goal) { g.Console[account+"/"+hz] = plan.ToolColumns{KeysNotMigrated: 1} })},
		"tool.columns-unread":  {one(hz), toolSW, goalOnly(func(g *plan.Goal) { g.Console = map[string]plan.ToolColumns{account + "/" + hz: {KeysNotMigrated: 1}} })},
		"tool.remainder":       {one(hz, spec("RSA_4096")), toolSW, first()},
		"terraform.after":      {one(hz), moveTo(hz, hz, plan.Software, func(g *plan.Goal) { g.Terraform = true }), goalOnly(func(g *plan.Goal) { g.Terraform = false })},
		"restore.backups": {estate(place(hz, keys(aKey(inSource), aKey(id("b"), func(k *plan.Key) { k.InstanceID = "kst-other" })))), away,
			goalOnly(target(func(t *plan.Target) { t.Backups = 2 }))},
		"restore.file-key": {one(hz, inSource), border, goalOnly(func(g *plan.Goal) { g.Moves[0].To = sh })},
		"restore.minutes":  {one(hz, inSource), away, first()},
		"restore.tabs":     {one(hz, inSource), away, first()},
		"tool.network":     {one(hz), toolSW, goalOnly(func(g *plan.Goal) { *g = away })},
		"goal.unmatched":   {one(hz), moveTo(hz, hz, plan.Software, note("no-such-key", plan.KeyNote{Compromised: true})), goalOnly(func(g *plan.Goal) { g.Keys = nil })},
		"access.first":     {one(hz), away, first(alias("alias/acs/oss"))},
	}
}

// unknownCases hold where Assess also returns an error.
func unknownCases() map[string]ruleCase {
	goal := moveTo("cn-hangzhou", "cn-shanghai", plan.Software)
	return map[string]ruleCase{
		"key.unknown-word":    {inv: estate(place("cn-hangzhou", keys(aKey(spec("Quantum_1"))))), goal: goal},
		"secret.unknown-type": {inv: estate(place("cn-hangzhou", nil, aSecret(secretType("Cookie")))), goal: goal},
	}
}

func TestEachRuleHoldsWhereItShouldAndNowhereElse(t *testing.T) {
	t.Parallel()
	for rule, c := range ruleCases() {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			c.goal.Moves = slices.Clone(c.goal.Moves) // cases share them
			a, err := plan.Assess(c.inv, c.goal)
			require.NoError(t, err)
			require.Contains(t, found(a), rule)
			require.NotNil(t, c.not)
			c.not(&c.inv, &c.goal)
			a, err = plan.Assess(c.inv, c.goal)
			require.NoError(t, err)
			require.NotContains(t, found(a), rule, "the case without its cause")
		})
	}
}

func TestEveryRuleHasACaseAndACitation(t *testing.T) {
	t.Parallel()
	covered, unknown := ruleCases(), unknownCases()
	seen := map[string]bool{}
	for _, r := range plan.Rules() {
		_, a := covered[r.Name]
		_, b := unknown[r.Name]
		c := r.Name == "notice.too-late" || r.Name == "tool.window-short" // found by Build: TestAPlanThatEndsAfterTheDeadlineFails, TestTheFreezeIsPutIntoAWindowThatIsLongEnough
		_, d := adviceCases()[r.Name]
		require.True(t, a || b || c || d, "rule %s has no case", r.Name)
		require.False(t, seen[r.Name], "rule %s stands twice", r.Name)
		seen[r.Name] = true
		for what, text := range map[string]string{
			"document": r.Source.Document, "section": r.Source.Section, "says": r.Says.EN, "says in Chinese": r.Says.ZH, "do": r.Do.EN, "do in Chinese": r.Do.ZH,
		} {
			require.NotEmpty(t, text, "rule %s: %s", r.Name, what)
		}
		require.Contains(t, []plan.Level{plan.Blocker, plan.Warning, plan.Retirement, plan.Note}, r.Level)
	}
	for rule := range covered {
		require.True(t, seen[rule], "a case for %s, which is no rule", rule)
	}
}

func TestUnknownWordsAreErrorsThatNameResourceAndField(t *testing.T) {
	t.Parallel()
	for rule, c := range unknownCases() {
		a, err := plan.Assess(c.inv, c.goal)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.Contains(t, found(a), rule, "and the assessment is whole")
		require.Equal(t, plan.PathNone, a.Resources[0].Path)
	}
	for field, change := range map[string]func(*plan.Key){
		"state": state("Sleeping"), "spec": spec("Aliyun_AES_512"), "usage": func(k *plan.Key) { k.Usage = "MAC" },
		"origin": func(k *plan.Key) { k.Origin = "Moon" }, "protection_level": func(k *plan.Key) { k.ProtectionLevel = "" },
		"rotation": func(k *plan.Key) { k.Rotation = "Perhaps" },
	} {
		_, err := plan.Assess(estate(place("cn-hangzhou", keys(aKey(change)))), plan.Goal{})
		var wrong *plan.FieldError
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, field, wrong.Field)
		require.Contains(t, err.Error(), aKey().ID)
	}
}

// found lists every rule that an assessment names.
func found(a plan.Assessment) []string {
	out := names(a.Warnings)
	for _, v := range a.Resources {
		out = append(out, names(v.Findings())...)
	}
	for _, p := range a.Places {
		out = append(out, names(slices.Concat(p.Blockers, p.Warnings, p.Notes))...)
	}
	return out
}
