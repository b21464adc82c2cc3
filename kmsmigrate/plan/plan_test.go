package plan_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// build assesses and plans, and needs both to succeed.
func build(t *testing.T, inv plan.Inventory, goal plan.Goal) plan.Plan {
	t.Helper()
	a, err := plan.Assess(inv, goal)
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	return p
}

func kinds(p plan.Plan) []string {
	out := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		out[i] = s.Kind
	}
	return out
}

// waits reports whether step a comes, by dependencies, after step b.
func waits(t *testing.T, p plan.Plan, a, b string) bool {
	t.Helper()
	s, ok := p.Step(a)
	require.True(t, ok, a)
	for _, before := range s.After {
		if before == b || waits(t, p, before, b) {
			return true
		}
	}
	return false
}

// find returns the ids of the steps of a kind.
func find(p plan.Plan, kind string) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Kind == kind {
			out = append(out, s.ID)
		}
	}
	return out
}

func one(t *testing.T, p plan.Plan, kind string) plan.Step {
	t.Helper()
	ids := find(p, kind)
	require.Len(t, ids, 1, kind)
	s, _ := p.Step(ids[0])
	return s
}

func TestTheToolTakesFiftyAtATimeAndKeysBeforeTheirSecrets(t *testing.T) {
	t.Parallel()
	p := place("cn-hangzhou", nil)
	for i := range 120 {
		k := aKey(id(fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)))
		p.Keys = append(p.Keys, k)
		p.Secrets = append(p.Secrets, aSecret(name(fmt.Sprintf("s%03d", 119-i)), under(k.ID)))
	}
	got := build(t, estate(p), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, func(g *plan.Goal) { g.Terraform = true }))
	keySteps, secretSteps := find(got, "tool-keys"), find(got, "tool-secrets")
	require.Len(t, keySteps, 3)
	require.Len(t, secretSteps, 3)
	for _, ids := range [][]string{keySteps, secretSteps} {
		total := 0
		for _, id := range ids {
			s, _ := got.Step(id)
			require.LessOrEqual(t, len(s.Resources), 50)
			total += len(s.Resources)
			require.True(t, waits(t, got, id, find(got, "freeze-begin")[0]))
		}
		require.Equal(t, 120, total)
	}
	for _, s := range secretSteps {
		for _, k := range keySteps {
			require.True(t, waits(t, got, s, k))
		}
	}
	// Terraform is changed after the comparison and before anybody may apply again.
	tf, end := one(t, got, "terraform"), one(t, got, "freeze-end")
	require.True(t, waits(t, got, tf.ID, one(t, got, "compare").ID))
	require.True(t, waits(t, got, end.ID, tf.ID))
	require.NotContains(t, kinds(got), "disable-old", "a key that the tool moved is the same key")
	require.NotContains(t, kinds(got), "schedule-deletion")
}

func TestAReencryptedKeyGoesThroughThePhasesAndIsRetiredOnEvidence(t *testing.T) {
	t.Parallel()
	k := aKey(inSource, hsm)
	got := build(t, estate(place("cn-hangzhou", keys(k), aSecret(secretIn("kst-source"), under(k.ID)))), moveTo("cn-hangzhou", "ap-southeast-1", plan.Hardware))
	chain := []string{"create-keys", "phase-read-both", "phase-write-new", "sweep", "census", "phase-new-only", "watch-old", "disable-old", "wait-disabled", "schedule-deletion"}
	for i := 1; i < len(chain); i++ {
		require.True(t, waits(t, got, one(t, got, chain[i]).ID, one(t, got, chain[i-1]).ID), "%s after %s", chain[i], chain[i-1])
	}
	require.True(t, waits(t, got, one(t, got, "phase-read-both").ID, one(t, got, "approve-border").ID))
	require.True(t, waits(t, got, one(t, got, "copy-secrets").ID, one(t, got, "create-keys").ID))
	require.True(t, waits(t, got, one(t, got, "disable-old").ID, one(t, got, "switch-readers").ID), "the secret's key outlives the secret")
	require.True(t, waits(t, got, one(t, got, "disable-old").ID, one(t, got, "use-statement").ID))
	require.Equal(t, "rewrite", one(t, got, "sweep").Phase)
	require.Contains(t, strings.Join(one(t, got, "sweep").About, "\n"), "plaintext exists in")
	require.Contains(t, names(one(t, got, "disable-old").Blockers), "key.uses-unknown")
}

func TestACompromisedKeyIsSweptWithFreshDataKeys(t *testing.T) {
	t.Parallel()
	a, b := aKey(spec("Aliyun_AES_128")), aKey(id("11111111-0000-4000-8000-000000000000"))
	got := build(t, estate(place("cn-hangzhou", keys(a, b))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, note(b.ID, plan.KeyNote{Compromised: true})))
	require.Equal(t, []string{"key:" + a.ID}, one(t, got, "sweep").Resources)
	require.Equal(t, []string{"key:" + b.ID}, one(t, got, "sweep-fresh").Resources)
	require.Contains(t, one(t, got, "sweep-fresh").Of().Do.EN, "new data key")
}

func TestABackupCrossesTheBorderAsAFileAndItsKeyIsDestroyed(t *testing.T) {
	t.Parallel()
	k := aKey(inSource)
	inv := estate(place("cn-hangzhou", keys(k), aSecret(secretIn("kst-source"), under(k.ID))))
	home, abroad := build(t, inv, moveTo("cn-hangzhou", "cn-shanghai", plan.Software)), build(t, inv, moveTo("cn-hangzhou", "ap-southeast-1", plan.Software))
	require.NotContains(t, kinds(home), "backup-download")
	chain := []string{"backup", "backup-download", "backup-upload", "restore", "compare", "backup-destroy"}
	for i := 1; i < len(chain); i++ {
		require.True(t, waits(t, abroad, one(t, abroad, chain[i]).ID, one(t, abroad, chain[i-1]).ID), "%s after %s", chain[i], chain[i-1])
	}
	require.Equal(t, 5*time.Minute, one(t, home, "backup").Of().Takes)
	for _, tab := range []string{"fully", "incrementally", "rotated"} {
		require.Contains(t, one(t, home, "restore").Of().Do.EN, tab)
	}
	require.Contains(t, one(t, abroad, "backup-download").Of().Do.EN, "apart from it")
	cut := one(t, home, "cut-over").ID
	require.True(t, waits(t, home, cut, one(t, home, "access").ID), "credentials exist before the cut-over")
	require.Equal(t, []string{"key:" + k.ID, "secret:db-password"}, one(t, home, "restore").Resources)
}

func TestSigningKeysKeepTheirPublicKeys(t *testing.T) {
	t.Parallel()
	got := build(t, estate(place("cn-hangzhou", keys(aKey(sign, spec("EC_P256"))))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
	for _, later := range []string{"create-signing-keys", "switch-signing", "disable-old"} {
		require.True(t, waits(t, got, one(t, got, later).ID, one(t, got, "save-public-keys").ID))
	}
}

func TestAPlanThatEndsAfterTheDeadlineFails(t *testing.T) {
	t.Parallel()
	goal := moveTo("cn-hangzhou", "cn-shanghai", plan.Software, func(g *plan.Goal) {
		g.Notice = plan.Notice{Regions: []string{"cn-hangzhou"}, Deadline: today.AddDate(0, 0, 20)}
	})
	a, err := plan.Assess(estate(place("cn-hangzhou", keys(aKey()))), goal)
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	require.True(t, p.Ends.Before(p.Deadline))
	require.True(t, p.Retires.After(p.Deadline), "old keys may be retired later: what must be done by then is the move")

	p, err = plan.Build(a, plan.BuildConfig{Sweep: 30 * 24 * time.Hour})
	require.ErrorIs(t, err, plan.ErrTooLate)
	require.Contains(t, names(p.Blockers), "notice.too-late")
	require.NotEmpty(t, p.Steps)
}

func TestTheFreezeBeginsInAWindow(t *testing.T) {
	t.Parallel()
	from := today.AddDate(0, 0, 9).Add(2 * time.Hour)
	got := build(t, estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, func(g *plan.Goal) {
		g.Windows = []plan.Window{{From: today.AddDate(0, 0, -3), To: today.AddDate(0, 0, -2)}, {From: from, To: from.Add(4 * time.Hour)}}
	}))
	require.Equal(t, from, one(t, got, "freeze-begin").Starts)
}

func TestTheFreezeIsPutIntoAWindowThatIsLongEnough(t *testing.T) {
	t.Parallel()
	var many []plan.Key
	for i := range 400 { // eight batches
		many = append(many, aKey(id(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i))))
	}
	short := plan.Window{From: today.AddDate(0, 0, 2), To: today.AddDate(0, 0, 2).Add(4 * time.Hour)}
	long := plan.Window{From: today.AddDate(0, 0, 9), To: today.AddDate(0, 0, 10)}
	goal := func(windows ...plan.Window) plan.Goal {
		return moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, func(g *plan.Goal) { g.Windows = windows })
	}
	got := build(t, estate(place("cn-hangzhou", many)), goal(long, short)) // in any order
	begins, ends := one(t, got, "freeze-begin"), one(t, got, "freeze-end")
	require.Equal(t, long.From, begins.Starts)
	require.False(t, ends.Ends.After(long.To))
	require.NotContains(t, names(begins.Blockers), "tool.window-short")

	got = build(t, estate(place("cn-hangzhou", many)), goal(short))
	require.Contains(t, names(one(t, got, "freeze-begin").Blockers), "tool.window-short")
	got = build(t, estate(place("cn-hangzhou", many)), goal(plan.Window{From: today.AddDate(-1, 0, 0), To: today.AddDate(0, 0, -1)}))
	require.Contains(t, names(one(t, got, "freeze-begin").Blockers), "tool.window-short", "a window that is past is none")
}

func TestThePlanNamesTheProcessesWithPlaintext(t *testing.T) {
	t.Parallel()
	k := aKey(alias("alias/app"))
	goal := moveTo("cn-hangzhou", "ap-southeast-1", plan.Software, note("alias/app", plan.KeyNote{Uses: []plan.Use{{By: "billing"}, {By: "archive"}}}), func(g *plan.Goal) {
		g.Flows = []plan.Flow{{Name: "orders queue", Key: k.ID, Producers: []plan.Participant{{Name: "shop"}}, Consumers: []plan.Participant{{Name: "billing"}}},
			{Name: "elsewhere", Key: "another", Producers: []plan.Participant{{Name: "x"}}, Consumers: []plan.Participant{{Name: "y"}}}}
	})
	got := build(t, estate(place("cn-hangzhou", keys(k))), goal)
	require.Contains(t, strings.Join(one(t, got, "sweep").About, "\n"),
		"plaintext exists in: archive; billing; billing (orders queue); shop (orders queue); every other process of the application that opens or seals records; the sweep's process; nowhere else")
}

func TestPlansAreDeterministicAndSurviveTheirFile(t *testing.T) {
	t.Parallel()
	var first string
	for range 3 {
		inv := made(300)
		for i := range inv.Places { // the order of what came in does not matter
			slices.Reverse(inv.Places[i].Keys)
		}
		slices.Reverse(inv.Places)
		var file bytes.Buffer
		require.NoError(t, build(t, inv, everywhere()).Write(&file))
		if first == "" {
			first = file.String()
		}
		require.Equal(t, first, file.String())
	}
	require.Equal(t, first, func() string {
		var file bytes.Buffer
		require.NoError(t, build(t, made(300), everywhere()).Write(&file))
		return file.String()
	}())
	p, err := plan.ReadPlan(strings.NewReader(first))
	require.NoError(t, err)
	require.Empty(t, plan.Diff(p, build(t, made(300), everywhere())))
}

func TestDiffNamesWhatChanged(t *testing.T) {
	t.Parallel()
	goal := moveTo("cn-hangzhou", "cn-hangzhou", plan.Software)
	a := build(t, estate(place("cn-hangzhou", keys(aKey(id("a")), aKey(id("b"))))), goal)
	b := build(t, estate(place("cn-hangzhou", keys(aKey(id("a")), aKey(id("c"))), aSecret(under("c")))), goal)
	var lines []string
	for _, c := range plan.Diff(a, b) {
		lines = append(lines, c.String())
	}
	text := strings.Join(lines, "\n")
	require.Contains(t, text, "changed "+account+"/cn-hangzhou/cn-hangzhou/tool-keys-0001: +key:c, -key:b")
	require.Contains(t, text, "added "+account+"/cn-hangzhou/cn-hangzhou/tool-secrets-0001")
	back := plan.Diff(b, a)
	require.True(t, slices.ContainsFunc(back, func(c plan.Change) bool { return c.What == "removed" && strings.HasSuffix(c.Step, "tool-secrets-0001") }))
}

func TestDangerousAndBrokenPlansAreRefused(t *testing.T) {
	t.Parallel()
	tool := build(t, estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software))
	anew := build(t, estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
	without := func(p plan.Plan, kind string) plan.Plan {
		gone := find(p, kind)
		p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s plan.Step) bool { return s.Kind == kind })
		for i, s := range p.Steps {
			p.Steps[i].After = slices.DeleteFunc(slices.Clone(s.After), func(id string) bool { return slices.Contains(gone, id) })
		}
		return p
	}
	for want, p := range map[string]plan.Plan{
		"the tool moved it": func() plan.Plan {
			last := tool.Steps[len(tool.Steps)-1]
			tool.Steps = append(slices.Clone(tool.Steps), plan.Step{ID: "x", Kind: "disable-old", Account: last.Account, From: last.From, Resources: []string{"key:" + aKey().ID}, After: []string{last.ID}})
			return tool
		}(),
		"no watch-old before it":     without(anew, "watch-old"),
		"no use-statement before it": without(anew, "use-statement"),
		"no wait-disabled before it": without(anew, "wait-disabled"),
		"no step before it proves":   without(anew, "phase-new-only"),
		"waits for a step that comes later, or for itself": func() plan.Plan {
			p := anew
			p.Steps = slices.Clone(p.Steps)
			p.Steps[0].After = []string{p.Steps[len(p.Steps)-1].ID} // a circle
			return p
		}(),
		"stands twice":                     {Steps: []plan.Step{{ID: "a", Kind: "inventory"}, {ID: "a", Kind: "inventory"}}},
		"is empty (steps[0])":              {Steps: []plan.Step{{Kind: "inventory"}}},
		`kind has the unknown value "mow"`: {Steps: []plan.Step{{ID: "a", Kind: "mow"}}},
		"not in the plan: b":               {Steps: []plan.Step{{ID: "a", Kind: "inventory", After: []string{"b"}}}},
	} {
		err := p.Validate()
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		var file bytes.Buffer
		require.NoError(t, p.Write(&file))
		_, err = plan.ReadPlan(&file)
		require.ErrorContains(t, err, want, "and is not read either")
		require.Error(t, p.Markdown(&file, plan.RunbookConfig{}))
	}
}

func TestGoalsThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	target := plan.Target{Kind: plan.Software}
	for want, g := range map[string]plan.Goal{
		"moves[0]: field from is empty":          {Moves: []plan.Move{{To: "b", Target: target}}},
		"moves[0]: field to is empty":            {Moves: []plan.Move{{From: "a", Target: target}}},
		"moves[0]: field target.kind":            {Moves: []plan.Move{{From: "a", To: "b"}}},
		"moves[0]: field target.image":           {Moves: []plan.Move{{From: "a", To: "b", Target: plan.Target{Kind: plan.Software, Image: "new"}}}},
		"is moved twice":                         {Moves: []plan.Move{{From: "a", To: "b", Target: target}, {From: "a", To: "c", Target: target}}},
		"leads in a circle back to a":            {Moves: []plan.Move{{From: "a", To: "b", Target: target}, {From: "b", To: "c", Target: target}, {From: "c", To: "a", Target: target}}},
		"has a number below zero":                {Moves: []plan.Move{{From: "a", To: "b", Target: plan.Target{Kind: plan.Software, Backups: -1}}}},
		"instances kst: field kind":              {Instances: map[string]plan.InstanceNote{"kst": {Kind: "soft"}}},
		"windows[0]: field to":                   {Windows: []plan.Window{{From: today, To: today}}},
		"flows[0] q: field producers":            {Flows: []plan.Flow{{Name: "q"}}},
		"console x: field columns have a number": {Console: map[string]plan.ToolColumns{"x": {KeysMigrated: -1}}},
	} {
		err := g.Validate()
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.ErrorContains(t, err, want)
		_, err = plan.Assess(plan.Inventory{}, g)
		require.ErrorContains(t, err, want)
		var file bytes.Buffer
		require.NoError(t, g.Write(&file))
		_, err = plan.ReadGoal(&file)
		require.ErrorContains(t, err, want)
	}
	_, err := plan.ReadGoal(strings.NewReader(`{"schema":"keyhaul.goal/1","moves":[{"from":"a","to":"b","target":{"kind":"software"}}],"flows":[{"name":"q","key":"k","producers":[{"name":"p","phase":"sideways"}],"consumers":[]}]}`))
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, "sideways")
}

func TestProgressKnowsWhatIsReady(t *testing.T) {
	t.Parallel()
	p := build(t, estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software, note(aKey().ID, plan.KeyNote{UsesStated: true})))
	standings, err := p.Standings(plan.State{})
	require.NoError(t, err)
	require.Equal(t, plan.Ready, standings[one(t, p, "inventory").ID])
	require.Equal(t, plan.Waiting, standings[one(t, p, "census").ID])

	state := plan.State{Done: map[string]time.Time{one(t, p, "inventory").ID: today}}
	var file bytes.Buffer
	require.NoError(t, state.Write(&file))
	state, err = plan.ReadState(&file)
	require.NoError(t, err)
	standings, err = p.Standings(state)
	require.NoError(t, err)
	require.Equal(t, plan.Done, standings[one(t, p, "inventory").ID])
	require.Equal(t, plan.Ready, standings[one(t, p, "target").ID])

	_, err = p.Standings(plan.State{Done: map[string]time.Time{"elsewhere": today}})
	require.ErrorContains(t, err, "elsewhere")
	_, err = p.Standings(plan.State{Done: map[string]time.Time{one(t, p, "census").ID: today}})
	require.ErrorContains(t, err, one(t, p, "census").ID)
}
