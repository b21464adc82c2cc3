package plan_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// planned assesses and plans, writes every form, and reads the plan back.
func planned(t *testing.T, inv plan.Inventory, goal plan.Goal) (plan.Assessment, plan.Plan) {
	t.Helper()
	a, err := plan.Assess(inv, goal)
	require.NoError(t, err)
	keys, secrets := inv.Counts()
	require.Len(t, a.Resources, keys+secrets)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	var saved bytes.Buffer
	require.NoError(t, p.Write(&saved))
	back, err := plan.ReadPlan(&saved)
	require.NoError(t, err)
	require.Empty(t, plan.Diff(p, back))
	runbooks(t, p, plan.RunbookConfig{Assessment: &a, State: &plan.State{}})
	return a, p
}

func TestNothingGivesAnEmptyPlan(t *testing.T) {
	t.Parallel()
	for _, inv := range []plan.Inventory{{}, estate(), estate(place("cn-hangzhou", nil))} {
		_, p := planned(t, inv, plan.Goal{})
		require.Empty(t, p.Steps)
	}
	_, p := planned(t, estate(place("cn-hangzhou", nil)), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
	require.Len(t, p.Steps, 1, "the inventory is taken again, and nothing else is to do")
}

// A restore keeps ids, so one id in two regions is no mistake. Each place keeps its own verdict, and a note can name one of them.
func TestOneIdInTwoRegionsAndAccountsIsTwoKeys(t *testing.T) {
	t.Parallel()
	inv := estate(place("cn-hangzhou", keys(aKey(inSource))), place("cn-shanghai", keys(aKey())), place("cn-beijing", keys(aKey(state("Disabled")))))
	inv.Places[2].Account = "2222222222222222"
	goal := moveTo("cn-hangzhou", "cn-shanghai", plan.Software, note("cn-beijing/"+aKey().ID, plan.KeyNote{Compromised: true}))
	goal.Moves = append(goal.Moves, plan.Move{From: "cn-beijing", To: "cn-chengdu", Target: goal.Moves[0].Target})
	a, p := planned(t, inv, goal)
	by := map[string]plan.Verdict{}
	for _, v := range a.Resources {
		by[v.Region] = v
	}
	require.Equal(t, plan.PathRestore, by["cn-hangzhou"].Path)
	require.Contains(t, names(by["cn-hangzhou"].Blockers), "restore.key-exists")
	require.NotContains(t, names(by["cn-hangzhou"].Blockers), "key.disabled")
	require.Equal(t, plan.PathNothing, by["cn-shanghai"].Path)
	require.Contains(t, names(by["cn-beijing"].Warnings), "key.compromised")
	restore, ok := p.Step(account + "/cn-hangzhou/cn-shanghai/restore-kst-source")
	require.True(t, ok)
	require.Equal(t, []string{"restore.key-exists"}, names(restore.Blockers))
}

// Two secrets of one name, one of them in an instance already: what blocks the one that moves must not be lost with the other.
func TestABlockerOfASecretSurvivesItsNamesake(t *testing.T) {
	t.Parallel()
	inv := estate(place("cn-hangzhou", nil, aSecret(func(s *plan.Secret) { s.Deletes = today.AddDate(0, 0, 3) }), aSecret(secretIn("kst-elsewhere"))))
	_, p := planned(t, inv, moveTo("cn-hangzhou", "cn-hangzhou", plan.Software))
	step, ok := p.Step(account + "/cn-hangzhou/cn-hangzhou/tool-secrets-0001")
	require.True(t, ok)
	require.Contains(t, names(step.Blockers), "secret.in-deletion")
}

func TestASecretUnderAKeyThatIsNowhereIsBlockedAndStillPlanned(t *testing.T) {
	t.Parallel()
	for to, path := range map[string]plan.Path{"cn-hangzhou": plan.PathTool, "cn-shanghai": plan.PathSecretCopy} {
		a, p := planned(t, estate(place("cn-hangzhou", nil, aSecret(under("no-such-key")))), moveTo("cn-hangzhou", to, plan.Software))
		require.Equal(t, path, a.Resources[0].Path)
		require.Contains(t, names(a.Resources[0].Blockers), "secret.key-missing")
		found := false
		for _, s := range p.Steps {
			found = found || has(s.Blockers, "secret.key-missing")
		}
		require.True(t, found)
	}
}

func TestASecretsKeyIsFoundByEachOfItsNames(t *testing.T) {
	t.Parallel()
	k := aKey(alias("alias/app"))
	for name, rule := range map[string]string{
		k.ID: "secret.key-first", "alias/app": "secret.key-first", "acs:kms:cn-hangzhou:" + account + ":key/" + k.ID: "secret.key-first", "acs:kms:cn-hangzhou:" + account + ":alias/app": "secret.key-first",
		"acs:kms:cn-hangzhou:2222222222222222:key/" + k.ID: "secret.key-missing", "acs:kms:cn-shanghai:" + account + ":key/" + k.ID: "secret.key-missing",
	} {
		a, _ := planned(t, estate(place("cn-hangzhou", keys(k), aSecret(under(name)))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software))
		require.Contains(t, names(a.Resources[1].Findings()), rule, name)
	}
}

func has(findings []plan.Finding, rule string) bool {
	for _, f := range findings {
		if f.Rule == rule {
			return true
		}
	}
	return false
}

// What the goal says of something that is not there is said back, by name.
func TestAWrongLetterInTheGoalIsFound(t *testing.T) {
	t.Parallel()
	goal := moveTo("cn-hangzhou", "cn-shanghai", plan.Software, note(aKey().ID, plan.KeyNote{UsesStated: true}), note("alias/aap", plan.KeyNote{Compromised: true}))
	goal.Moves = append(goal.Moves, plan.Move{From: "cn-hangzou", To: "cn-shanghai", Target: goal.Moves[0].Target})
	goal.Instances = map[string]plan.InstanceNote{"kst-source": {Kind: plan.Software}, "kst-sauce": {Kind: plan.Software}}
	goal.Console = map[string]plan.ToolColumns{account + "/cn-nowhere": {}}
	goal.Flows = []plan.Flow{{Name: "queue", Key: "cn-hangzhou/alias/app", Producers: []plan.Participant{{Name: "a"}}, Consumers: []plan.Participant{{Name: "b"}}},
		{Name: "other", Key: "gone", Producers: []plan.Participant{{Name: "a"}}, Consumers: []plan.Participant{{Name: "b"}}}}
	a, _ := planned(t, estate(place("cn-hangzhou", keys(aKey(inSource, alias("alias/app"))))), goal)
	var about []string
	for _, f := range a.Warnings {
		require.Equal(t, "goal.unmatched", f.Rule)
		about = append(about, f.About)
	}
	require.Equal(t, []string{"move  cn-hangzou", "key alias/aap", "key gone", "instance kst-sauce", "place " + account + "/cn-nowhere"}, about)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	markdown, html := runbooks(t, p, plan.RunbookConfig{Assessment: &a})
	require.Contains(t, markdown, "instance kst-sauce")
	require.Contains(t, html, `id="unmatched"`)
}

func TestCirclesAreNamed(t *testing.T) {
	t.Parallel()
	goal := moveTo("cn-hangzhou", "cn-shanghai", plan.Software)
	for _, leg := range [][2]string{{"cn-shanghai", "cn-beijing"}, {"cn-beijing", "cn-hangzhou"}} {
		goal.Moves = append(goal.Moves, plan.Move{From: leg[0], To: leg[1], Target: goal.Moves[0].Target})
	}
	_, err := plan.Assess(estate(), goal)
	var wrong *plan.FieldError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "to", wrong.Field)
	require.Contains(t, err.Error(), "moves[0]: field to leads in a circle back to cn-hangzhou")

	a, err := plan.Assess(estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	p.Steps[0].After = []string{p.Steps[len(p.Steps)-1].ID}
	err = p.Validate()
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.Contains(t, err.Error(), p.Steps[0].ID+": field after waits for a step that comes later")
}

// Each product has its guide: an address, or what to search for; and what is not known is said to be looked for.
func TestEachProductNamesItsGuide(t *testing.T) {
	t.Parallel()
	for product, want := range map[string]string{
		"OSS": "help/en/oss/", "ecs": "help/en/ecs/", "ebs": "help/en/ecs/", "Rds": "help/en/rds/", "polardb": "help/en/dts/", "redis": "help/en/redis/", "mongodb": "help/en/apsaradb-for-mongodb/",
		"nas": "nas-migration-practices", "odps": "help/en/maxcompute/", "sls": "help/en/sls/", "acr": "help/en/acr/", "cs": "help/en/ack/", "ots": "help/en/tablestore/", "elasticsearch": "help/en/elasticsearch/",
		"rocketmq": "apsaramq-for-rocketmq", "actiontrail": "help/en/actiontrail/", "alikafka": "search the help centre for: Kafka", "fc": "search the help centre for: Function Compute", "unheard-of": "search the help centre for: unheard-of",
	} {
		v := verdict(t, estate(place("cn-hangzhou", keys(aKey(func(k *plan.Key) { k.Creator = product })))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
		require.Equal(t, plan.PathService, v.Path)
		require.Contains(t, v.Why[0].About, want)
		if !strings.HasPrefix(want, "search") {
			require.Contains(t, v.Why[0].About, "https://www.alibabacloud.com/help/")
		}
	}
}

// What the sweep adds to the audit logs: an event for each call, spread over the days that it takes, and in whose log.
func TestAnEstimateCountsAuditEvents(t *testing.T) {
	t.Parallel()
	list, err := plan.EstimateSweep(plan.Load{Records: 30_000_000}, plan.Endpoint{QPS: 1000, Share: 0.1, SharedGateway: "cn-hangzhou"}, plan.Endpoint{QPS: 2000, Share: 0.1}, plan.DefaultPrices())
	require.NoError(t, err)
	rewrap := list[0]
	// 30,000,000 calls at 100 a second take 300,000 s; a day has 86,400 of them.
	require.EqualValues(t, 8_640_000, rewrap.OldEvents)
	require.EqualValues(t, 17_280_000, rewrap.NewEvents)
	require.Equal(t, "ActionTrail", rewrap.OldLog)
	require.Equal(t, "SLS", rewrap.NewLog)

	list, err = plan.EstimateSweep(plan.Load{Records: 1000, DataKeys: 10}, plan.Endpoint{SharedGateway: "cn-hangzhou"}, plan.Endpoint{SharedGateway: "cn-hangzhou"}, plan.DefaultPrices())
	require.NoError(t, err)
	for i, want := range []struct{ old, next int64 }{{10, 20}, {10, 10}, {10, 20}} {
		require.Equal(t, want.old, list[i].OldEvents, "a sweep of less than a day adds its calls, %s", list[i].Mode)
		require.Equal(t, want.next, list[i].NewEvents, list[i].Mode)
	}
	a, err := plan.Assess(estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-shanghai", plan.Software))
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{Start: today, Sweep: time.Hour})
	require.NoError(t, err)
	for language, head := range map[plan.Language]string{plan.English: "Events a day, old side", plan.Chinese: "旧侧每日事件"} {
		markdown, html := runbooks(t, p, plan.RunbookConfig{Language: language, Estimates: list})
		require.Contains(t, markdown, head)
		require.Contains(t, markdown, "| `re-wrap` | 10 + 20 |")
		require.Contains(t, html, head)
		require.Contains(t, html, "10 (ActionTrail)")
	}
}
