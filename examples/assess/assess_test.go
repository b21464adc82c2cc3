package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

func assessed(t *testing.T, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	code, err := run(t.Context(), append(args, "-json"), &out, io.Discard)
	require.NoError(t, err)
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var got result
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &got), "the last line is the object")
	return got
}

func TestTheMadeEstateHasEveryCaseAndIsAssessedFromItsFileAlike(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got := assessed(t, "-out", dir)
	kinds, regions, paths, rules := map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range got.Resources {
		kinds[r.Kind]++
		regions[r.Region] = true
		paths[r.Path] = true
		require.NotNil(t, r.Blockers)
		require.NotNil(t, r.Warnings)
		for _, name := range append(r.Blockers, r.Warnings...) {
			rules[name] = true
			_, known := plan.FindRule(name)
			require.True(t, known, name)
		}
	}
	require.Equal(t, map[string]int{"key": 200, "secret": 100}, kinds)
	require.Len(t, regions, 5)
	for _, p := range plan.Paths() {
		require.True(t, paths[string(p)], "nothing takes the path %s", p)
	}
	for _, name := range []string{
		"key.disabled", "key.pending-deletion", "key.pending-import", "key.rotation-on", "tool.downgrade", "tool.database", "tool.version-ids", "byok.no-copy", "key.compromised",
		"border.approval", "key.used-by-product", "secret.name-in-target", "secret.no-path", "secret.recreate", "secret.system-key", "secret.border",
	} {
		require.True(t, rules[name], "no case of %s", name)
	}

	// Every row of the documents' tables is there, in a region that moves into a software instance and in one that moves into a hardware instance.
	file, err := os.Open(filepath.Join(dir, "inventory.json"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	inventory, err := plan.ReadInventory(file)
	require.NoError(t, err)
	for _, p := range inventory.Places {
		cells := map[string]bool{}
		for _, k := range p.Keys {
			if k.Tags["case"] == "table" {
				cells[k.ProtectionLevel+k.Spec+map[bool]string{true: "+"}[len(k.Versions) > 1]] = true
			}
		}
		require.Len(t, cells, 14, p.Region)
	}
	for _, name := range []string{"runbook.md", "runbook.html", "runbook.zh.md", "runbook.zh.html", "plan.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NotEmpty(t, text)
		require.NotContains(t, string(text), "made up", "no secret's value")
	}

	again := assessed(t, "-inventory", filepath.Join(dir, "inventory.json"), "-goal", filepath.Join(dir, "goal.json"), "-out", t.TempDir())
	require.Equal(t, got, again)
	findings := filepath.Join(dir, "findings.json")
	require.NoError(t, os.WriteFile(findings, []byte(`{"app":{"kmsbreaks":[{"category":"version-id","posn":"app.go:3:1"}]}}`), 0o600))
	stopped := assessed(t, "-inventory", filepath.Join(dir, "inventory.json"), "-goal", filepath.Join(dir, "goal.json"), "-findings", findings, "-out", t.TempDir())
	for _, r := range stopped.Resources {
		if r.Kind == "key" && r.Path == string(plan.PathTool) {
			require.Contains(t, r.Blockers, "code.version-ids")
		}
	}
	still := assessed(t, "-inventory", filepath.Join(dir, "inventory.json"), "-out", t.TempDir())
	tool := 0
	for _, r := range still.Resources {
		require.NotContains(t, []string{string(plan.PathRestore), string(plan.PathSecretRecreate)}, r.Path, "without a goal every region stays")
		if r.Path == string(plan.PathTool) {
			tool++
		}
	}
	require.Greater(t, tool, 50)
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte(`{"schema":"keyhaul.inventory/1","places":[{"account":"1","region":"cn-hangzhou","complete":true,"keys":[{"region":"cn-hangzhou","id":"k-1","state":"Enabled","usage":"ENCRYPT/DECRYPT","spec":"Quantum","origin":"Aliyun_KMS","protection_level":"SOFTWARE","versions":null}]}]}`), 0o600))
	for want, args := range map[string][]string{
		"unexpected argument": {"more"},
		"no such file":        {"-inventory", filepath.Join(dir, "none")},
		"k-1":                 {"-inventory", broken},
		"keyhaul.goal/1":      {"-inventory", broken, "-goal", broken},
	} {
		code, err := run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
		require.NotZero(t, code)
	}
	var out bytes.Buffer
	code, err := run(t.Context(), []string{"-inventory", broken, "-out", dir, "-json"}, &out, io.Discard)
	require.ErrorContains(t, err, "field spec")
	require.Equal(t, 1, code)
	require.Contains(t, out.String(), `{"resources":[{"kind":"key","id":"k-1","region":"cn-hangzhou","path":"no-path","blockers":["key.unknown-word"],"warnings":[]}]}`)
	code, err = run(t.Context(), []string{"-unknown"}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 2, code)
	code, err = run(t.Context(), []string{"-h"}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.Zero(t, code)
}
