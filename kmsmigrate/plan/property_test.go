package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// anyEstate draws an inventory of every combination of words, some of them in instances, with secrets under any of the keys or none.
func anyEstate(t *rapid.T) plan.Inventory {
	regions := []string{"cn-hangzhou", "cn-shanghai", "cn-hongkong", "ap-southeast-1", "xx-moon-1"}
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	var places []plan.Place
	for _, region := range regions[:rapid.IntRange(1, len(regions)).Draw(t, "regions")] {
		p := place(region, nil)
		ids := []string{"", "missing"}
		for i := range rapid.IntRange(0, 70).Draw(t, "keys") {
			k := aKey(id(fmt.Sprintf("key-%s-%d", region, i)), state(pick("state", "Enabled", "Enabled", "Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable")),
				spec(pick("spec", "Aliyun_AES_256", "Aliyun_AES_128", "Aliyun_SM4", "RSA_2048", "RSA_3072", "RSA_4096", "EC_P256", "EC_P256K", "EC_SM2")))
			k.Usage = pick("usage", "ENCRYPT/DECRYPT", "SIGN/VERIFY")
			k.Origin = pick("origin", "Aliyun_KMS", "EXTERNAL")
			k.ProtectionLevel = pick("level", "SOFTWARE", "HSM")
			k.InstanceID = pick("instance", "", "", "kst-a", "kst-b", "kst-target")
			k.Rotation = pick("rotation", "", "Disabled", "Enabled", "Suspended")
			k.Versions = make([]plan.Version, rapid.IntRange(0, 3).Draw(t, "versions"))
			for v := range k.Versions {
				k.Versions[v].ID = fmt.Sprint(v)
			}
			if rapid.IntRange(0, 9).Draw(t, "service") == 0 {
				k.Aliases = []string{"alias/acs/" + pick("product", "oss", "rds", "unheard-of")}
			}
			ids = append(ids, k.ID)
			p.Keys = append(p.Keys, k)
		}
		for i := range rapid.IntRange(0, 60).Draw(t, "secrets") {
			p.Secrets = append(p.Secrets, aSecret(name(fmt.Sprint("secret-", i)), secretType(pick("type", "Generic", "Generic", "Rds", "RAMCredentials", "ECS")),
				under(pick("key", ids...)), secretIn(pick("instance", "", "kst-a", "kst-target"))))
		}
		places = append(places, p)
	}
	return estate(places...)
}

func anyGoal(t *rapid.T, inv plan.Inventory) plan.Goal {
	g := plan.Goal{Now: today, Terraform: rapid.Bool().Draw(t, "terraform"), Keys: map[string]plan.KeyNote{}}
	ends := []string{"cn-chengdu", "eu-central-1", "ap-southeast-7"}
	for _, p := range inv.Places {
		to := rapid.SampledFrom(append([]string{p.Region, ""}, ends...)).Draw(t, "to")
		if to != "" {
			g.Moves = append(g.Moves, plan.Move{From: p.Region, To: to, Target: plan.Target{Kind: rapid.SampledFrom([]plan.Kind{plan.Software, plan.Hardware}).Draw(t, "kind"), Instance: "kst-target"}})
		}
		for _, k := range p.Keys {
			switch rapid.IntRange(0, 12).Draw(t, "note") {
			case 0:
				g.Keys[k.ID] = plan.KeyNote{Compromised: true}
			case 1:
				g.Keys[k.ID] = plan.KeyNote{NeedsHSM: true}
			case 2:
				g.Keys[k.ID] = plan.KeyNote{Unused: true}
			case 3:
				g.Keys[k.ID] = plan.KeyNote{UsesStated: true, Uses: []plan.Use{{By: "bucket", Product: "OSS"}}}
			}
		}
	}
	return g
}

// moved are the steps that carry something away from where it is, by path.
var moved = map[plan.Path]string{
	plan.PathTool: "tool-", plan.PathRestore: "restore", plan.PathRestoreBorder: "restore", plan.PathReencrypt: "phase-new-only", plan.PathResign: "switch-signing",
	plan.PathSecretCopy: "copy-secrets", plan.PathSecretRecreate: "recreate-secrets", plan.PathService: "product",
}

func TestAnyInventoryGivesOnePathEachAndAPlanThatLosesNothing(t *testing.T) {
	t.Parallel()
	known := map[plan.Path]bool{}
	for _, p := range plan.Paths() {
		known[p] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		inv := anyEstate(t)
		goal := anyGoal(t, inv)
		a, err := plan.Assess(inv, goal)
		require.NoError(t, err)
		keys, secrets := inv.Counts()
		require.Len(t, a.Resources, keys+secrets)
		p, err := plan.Build(a, plan.BuildConfig{})
		require.NoError(t, err, "Build validates: no step before what it depends on, none that could lose a key")

		done := map[string]int{} // position of the step that moves a resource
		ended := map[string]int{}
		for i, s := range p.Steps {
			for _, r := range s.Resources {
				at := s.From + "/" + r
				for _, kind := range moved {
					if s.Kind == kind || kind == "tool-" && (s.Kind == "tool-keys" || s.Kind == "tool-secrets") {
						done[at] = i
					}
				}
				if s.Kind == "disable-old" {
					ended[at] = i
				}
			}
			require.False(t, s.Starts.IsZero())
			for _, id := range s.After {
				before, ok := p.Step(id)
				require.True(t, ok)
				require.False(t, before.Ends.After(s.Starts), "the schedule keeps the order")
			}
		}
		for _, v := range a.Resources {
			require.True(t, known[v.Path], v.Path)
			at := v.Region + "/" + v.Kind + ":" + v.ID
			step, is := done[at]
			_, ends := ended[at]
			switch v.Path {
			case plan.PathNothing, plan.PathNone:
				require.False(t, ends, "%s is left alone", at)
			default:
				require.True(t, is, "%s has path %s and no step that moves it", at, v.Path)
				require.False(t, ends && (v.Path == plan.PathTool || v.Path == plan.PathService), "%s has no successor", at)
			}
			if v.Kind == "secret" && v.Key != "" && moved[v.Path] != "" {
				if end, retired := ended[v.Region+"/key:"+v.Key]; retired {
					require.Less(t, step, end, "the key of %s outlives it", at)
				}
			}
			// A key that still encrypts a secret without a path must not be retired unnoticed.
			if v.Kind == "secret" && v.Path == plan.PathNone && v.Key != "" {
				if end, retired := ended[v.Region+"/key:"+v.Key]; retired {
					require.True(t, slices.ContainsFunc(p.Steps[end].Blockers, func(f plan.Finding) bool { return f.Rule == "key.holds-secret" }))
				}
			}
		}
	})
}

func TestTimeDoesNotChangeThePlansShape(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inv := anyEstate(t)
		goal := anyGoal(t, inv)
		a, err := plan.Assess(inv, goal)
		require.NoError(t, err)
		one, err := plan.Build(a, plan.BuildConfig{Start: today})
		require.NoError(t, err)
		two, err := plan.Build(a, plan.BuildConfig{Start: today.Add(time.Hour)})
		require.NoError(t, err)
		for _, c := range plan.Diff(one, two) {
			require.Equal(t, []string{"schedule"}, c.How)
		}
	})
}
