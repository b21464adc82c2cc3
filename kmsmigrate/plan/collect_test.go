package plan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fast is rates that no test waits for.
var fast = plan.Rates{Keys: 1e6, Tags: 1e6, Secrets: 1e6, Instances: 1e6}

func aRegion(region string, n int) *control {
	c := &control{region: region, versions: map[string][]resource.Version{}, fail: map[string]error{}}
	for i := range n {
		k := resource.Key{ID: fmt.Sprintf("key-%s-%04d", region, n-i), State: "Enabled"}
		c.keys = append(c.keys, k)
		c.versions[k.ID] = []resource.Version{{ID: k.ID + "-version"}}
	}
	if n > 0 {
		c.aliases = []resource.Alias{{Name: "alias/z", KeyID: c.keys[0].ID}, {Name: "alias/a", KeyID: c.keys[0].ID}}
	}
	c.secrets = []resource.Secret{{Name: "db", Type: "Generic"}}
	c.instances = []resource.Instance{{ID: "kst-1", Status: "Connected"}}
	return c
}

func at(c *control) plan.Source { return plan.Source{Account: "1", Region: c.region, Control: c} }

func TestCollectReadsEverythingOfManyAccountsAndRegions(t *testing.T) {
	t.Parallel()
	var sources []plan.Source
	for _, account := range []string{"1111", "2222", "3333"} {
		for _, region := range []string{"cn-shanghai", "cn-hangzhou", "eu-central-1"} {
			sources = append(sources, plan.Source{Account: account, Control: aRegion(region, 20), Region: region})
		}
	}
	inv, err := plan.Collect(t.Context(), sources, plan.CollectConfig{Rates: fast, Now: func() time.Time { return today }})
	require.NoError(t, err)
	require.NoError(t, inv.Validate())
	require.Len(t, inv.Places, 9)
	require.Equal(t, "1111 cn-hangzhou", inv.Places[0].Account+" "+inv.Places[0].Region, "sorted")
	for _, p := range inv.Places {
		require.True(t, p.Complete)
		require.Empty(t, p.Gaps)
		require.Len(t, p.Keys, 20)
		for i, k := range p.Keys {
			require.Equal(t, p.Region, k.Region)
			require.Equal(t, p.Account, k.Account)
			require.Len(t, k.Versions, 1)
			require.Equal(t, "payments", k.Tags["team"])
			if i > 0 {
				require.Less(t, p.Keys[i-1].ID, k.ID)
			}
		}
		require.Equal(t, []string{"alias/a", "alias/z"}, p.Keys[19].Aliases)
		require.Equal(t, "v1", p.Secrets[0].Versions[0].ID, "by age")
		require.Equal(t, "ACSCurrent", p.Secrets[0].Versions[1].Stages[0])
		require.Equal(t, "kst-1", p.Instances[0].ID)
	}
	again, err := plan.Collect(t.Context(), sources, plan.CollectConfig{Rates: fast, Now: func() time.Time { return today }})
	require.NoError(t, err)
	require.Equal(t, inv, again)
}

func TestWhatIsDeniedIsAGapAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	c := aRegion("cn-hangzhou", 4)
	c.fail["secrets"] = &kmsmigrate.Error{Op: "list secrets", Err: kmsmigrate.ErrDenied}
	c.fail["aliases"] = fmt.Errorf("slow down: %w", kmsmigrate.ErrThrottled)
	c.fail["instances"] = fmt.Errorf("no answer: %w", kmsmigrate.ErrUnavailable)
	c.fail["versions "+c.keys[1].ID] = errors.New("odd")
	c.fail["tags "+c.keys[2].ID] = kmsmigrate.ErrDenied
	other := aRegion("cn-shanghai", 1)
	inv, err := plan.Collect(t.Context(), []plan.Source{at(c), at(other)}, plan.CollectConfig{Rates: fast})
	require.NoError(t, err)
	require.False(t, inv.Places[0].Complete)
	require.True(t, inv.Places[1].Complete)
	reasons := map[string]string{}
	for _, g := range inv.Places[0].Gaps {
		reasons[g.What+" "+g.ID] = g.Reason
	}
	require.Equal(t, map[string]string{
		"secrets ": "denied", "aliases ": "throttled", "instances ": "unavailable",
		"key-versions " + c.keys[1].ID: "error", "key-tags " + c.keys[2].ID: "denied",
	}, reasons)
	require.Len(t, inv.Places[0].Keys, 4)
}

func TestCollectGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	whole, partial := aRegion("cn-hangzhou", 3), aRegion("cn-shanghai", 3)
	partial.fail["instances"] = kmsmigrate.ErrDenied
	sources := []plan.Source{at(whole), at(partial)}
	saved := 0
	first, err := plan.Collect(t.Context(), sources, plan.CollectConfig{Rates: fast, Progress: func(plan.Inventory) error { saved++; return nil }})
	require.NoError(t, err)
	require.Equal(t, 2, saved)

	delete(partial.fail, "instances")
	second, err := plan.Collect(t.Context(), sources, plan.CollectConfig{Rates: fast, Resume: first})
	require.NoError(t, err)
	require.Len(t, second.Places, 2)
	require.True(t, second.Places[1].Complete)
	require.Equal(t, 1, whole.count("keys"), "a complete place is not asked again")
	require.Equal(t, 2, partial.count("keys"))
	require.Equal(t, 1, partial.count("versions "+partial.keys[0].ID), "nor what is known of an incomplete one")
	require.Equal(t, 1, partial.count("tags "+partial.keys[0].ID))
}

func TestCollectStopsWithWhatItHas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	sources := []plan.Source{at(aRegion("cn-hangzhou", 2)), at(aRegion("cn-shanghai", 2))}
	inv, err := plan.Collect(ctx, sources, plan.CollectConfig{Rates: fast, Parallel: 1, Progress: func(plan.Inventory) error { cancel(why); return nil }})
	require.ErrorIs(t, err, why)
	require.True(t, inv.Places[0].Complete)
	for _, p := range inv.Places[1:] {
		require.False(t, p.Complete)
		require.NotEmpty(t, p.Gaps)
		require.Equal(t, "stopped", p.Gaps[0].Reason)
	}

	full := errors.New("disk full")
	_, err = plan.Collect(t.Context(), sources, plan.CollectConfig{Rates: fast, Progress: func(plan.Inventory) error { return full }})
	require.ErrorIs(t, err, full)
}

func TestCollectStaysBelowTheQuotas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := aRegion("cn-hangzhou", 100)
		start := time.Now()
		_, err := plan.Collect(t.Context(), []plan.Source{at(c)}, plan.CollectConfig{})
		require.NoError(t, err)
		took := time.Since(start)
		// 100 descriptions and 100 version lists at 25 a second
		require.Greater(t, took, 7*time.Second)
		require.Less(t, took, 12*time.Second)
	})
}

func TestCollectRefusesUnusableSources(t *testing.T) {
	t.Parallel()
	c := aRegion("cn-hangzhou", 0)
	for _, sources := range [][]plan.Source{{{Region: "cn-hangzhou", Control: c}}, {{Account: "1", Control: c}}, {{Account: "1", Region: "cn-hangzhou"}}, {at(c), at(c)}} {
		_, err := plan.Collect(t.Context(), sources, plan.CollectConfig{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	_, err := plan.Collect(t.Context(), nil, plan.CollectConfig{Parallel: -1})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	inv, err := plan.Collect(t.Context(), nil, plan.CollectConfig{})
	require.NoError(t, err)
	require.Empty(t, inv.Places)
}

func TestAnInventorySurvivesItsFile(t *testing.T) {
	t.Parallel()
	inv := made(200)
	var file bytes.Buffer
	require.NoError(t, inv.Write(&file))
	text := file.String()
	back, err := plan.ReadInventory(&file)
	require.NoError(t, err)
	var again bytes.Buffer
	require.NoError(t, back.Write(&again))
	require.Equal(t, text, again.String())
}

func TestInventoriesThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	good := func() plan.Inventory { return made(10) }
	var file bytes.Buffer
	require.NoError(t, good().Write(&file))
	for name, text := range map[string]string{
		"empty": "", "cut off": file.String()[:file.Len()/2], "foreign": `{"hello": 1}`, "other schema": `{"schema":"keyhaul.inventory/9","places":[]}`,
		"an array": `[]`, "unknown field": `{"schema":"keyhaul.inventory/1","places":[],"colour":"red"}`, "twice": file.String() + file.String(),
		"a secret's value": `{"schema":"keyhaul.inventory/1","places":[{"account":"1","region":"r","complete":true,"secrets":[{"region":"r","name":"n","type":"Generic","data":"x"}]}]}`,
	} {
		_, err := plan.ReadInventory(strings.NewReader(text))
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
	for want, change := range map[string]func(*plan.Inventory){
		"field account":        func(i *plan.Inventory) { i.Places[0].Account = "" },
		"field region":         func(i *plan.Inventory) { i.Places[0].Region = "" },
		"stands twice":         func(i *plan.Inventory) { i.Places[0].Keys = append(i.Places[0].Keys, i.Places[0].Keys[0]) },
		"field id":             func(i *plan.Inventory) { i.Places[0].Keys[0].ID = "" },
		"in a place of":        func(i *plan.Inventory) { i.Places[0].Keys[0].Region = "elsewhere" },
		"field name":           func(i *plan.Inventory) { i.Places[0].Secrets = []plan.Secret{{}} },
		"field versions[0].id": func(i *plan.Inventory) { i.Places[0].Keys[0].Versions[0].ID = "" },
		"field quota":          func(i *plan.Inventory) { i.Places[0].Instances = []plan.Instance{{ID: "k", QPS: -1}} },
	} {
		inv := good()
		change(&inv)
		err := inv.Validate()
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "places[0]")
		_, err = plan.Assess(inv, plan.Goal{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

// Every field that a saved inventory can have is in the schema, with the type that it has.
func TestTheSchemaHasEveryField(t *testing.T) {
	t.Parallel()
	var schema map[string]any
	require.NoError(t, json.Unmarshal(plan.InventoryJSONSchema, &schema))
	inv := made(40)
	inv.Places[0].Gaps = []plan.Gap{{What: "keys", ID: "x", Reason: "denied", Err: "no"}}
	k := &inv.Places[0].Keys[0]
	k.ARN, k.Description, k.PrimaryVersion, k.DeletionProtected = "a", "b", "c", true
	k.LastRotation, k.NextRotation, k.Created, k.Deletes, k.MaterialExpire, k.RotationInterval = today, today, today, today, today, time.Hour
	k.Aliases, k.Tags, k.Versions[0].Created = []string{"alias/x"}, map[string]string{"a": "b"}, today
	inv.Places[0].Secrets = append(inv.Places[0].Secrets, plan.Secret{
		Region: inv.Places[0].Region, Name: "full", ARN: "a", Type: "Generic", InstanceID: "kst", EncryptionKeyID: "k", Description: "d", Rotation: "Enabled", RotationInterval: time.Hour,
		LastRotation: today, NextRotation: today, Created: today, Updated: today, Deletes: today, Tags: map[string]string{"a": "b"},
		Versions: []plan.SecretVersion{{ID: "v", Stages: []string{"s"}, Created: today}},
	})
	inv.Places[0].Instances = []plan.Instance{{Region: "r", ID: "k", Name: "n", Status: "Connected", QPS: 1, Keys: 1, Secrets: 1, VPC: "v", Zones: []string{"z"}, Created: today, Starts: today, Ends: today}}
	var file bytes.Buffer
	require.NoError(t, inv.Write(&file))
	var value any
	require.NoError(t, json.Unmarshal(file.Bytes(), &value))
	fits(t, schema, value, "inventory")
}

// fits holds a value against the part of JSON Schema that the schema uses.
func fits(t *testing.T, schema map[string]any, value any, at string) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		require.Equal(t, "object", schema["type"], at)
		properties, _ := schema["properties"].(map[string]any)
		for name, inner := range v {
			sub, ok := properties[name].(map[string]any)
			if !ok {
				sub, ok = schema["additionalProperties"].(map[string]any)
			}
			require.True(t, ok, "%s.%s is not in the schema", at, name)
			fits(t, sub, inner, at+"."+name)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			require.Contains(t, v, name, at)
		}
	case []any:
		require.Contains(t, []any{schema["type"], first(schema["type"])}, "array", at)
		for _, inner := range v {
			fits(t, schema["items"].(map[string]any), inner, at+"[]")
		}
	case string:
		if schema["const"] == nil && schema["enum"] == nil {
			require.Equal(t, "string", schema["type"], at)
		}
	case float64:
		require.Equal(t, "integer", schema["type"], at)
	case bool:
		require.Equal(t, "boolean", schema["type"], at)
	}
}

// first is the first of the types that the schema allows.
func first(types any) any {
	if list, ok := types.([]any); ok {
		return list[0]
	}
	return types
}

func FuzzReadInventory(f *testing.F) {
	var file bytes.Buffer
	if err := made(5).Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.String())
	f.Add(`{"schema":"keyhaul.inventory/1","places":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := plan.ReadInventory(strings.NewReader(text))
		if err != nil {
			return
		}
		a, err := plan.Assess(inv, everywhere())
		if len(a.Resources) == 0 && err == nil {
			keys, secrets := inv.Counts()
			require.Zero(t, keys+secrets)
		}
	})
}
