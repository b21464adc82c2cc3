package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestItWorksThroughGoVet(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "kmscheck")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "vet", "-vettool="+tool, "github.com/hashicorp/go-kms-wrapping/wrappers/alicloudkms/v2").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "region: a region stands in the code") {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}

func TestTheDiffIsShownAndTheFileWrittenOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "main.tf")
	before := []byte("resource \"alicloud_kms_key\" \"k\" {\n  description = \"d\"\n}\n")
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	if err := rewrite([]string{"-instance", "kst-hzz1", file}, &out, &stderr); err != nil || !strings.Contains(out.String(), `+  dkms_instance_id = "kst-hzz1"`) {
		t.Errorf("%v\n%s", err, out.String())
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, before) {
		t.Errorf("it was written: %s %v", now, err)
	}
	if err := rewrite([]string{"-instance", "kst-hzz1", "-write", file}, &out, &stderr); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Contains(now, []byte("kst-hzz1")) {
		t.Errorf("it was not written: %s %v", now, err)
	}
	alias, keyMap := filepath.Join(t.TempDir(), "alias.tf"), filepath.Join(t.TempDir(), "keys.json")
	for name, text := range map[string]string{
		alias: "resource \"alicloud_kms_alias\" \"a\" {\n  alias_name = \"alias/a\"\n  key_id     = \"old\"\n}\n", keyMap: `{"keys": {"old": "new"}}`,
		keyMap + ".empty": `{}`, keyMap + ".foreign": `{"other": 1}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	if err := rewrite([]string{"-keys", keyMap, alias}, &out, &stderr); err != nil || !strings.Contains(out.String(), `+  key_id     = "new"`) {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, args := range [][]string{nil, {"-keys", keyMap + ".empty", alias}, {"-keys", keyMap + ".foreign", alias}, {"-keys", keyMap + ".none", alias}, {filepath.Join(t.TempDir(), "none.tf")}, {"-nonsense"}} {
		if err := rewrite(args, &out, &stderr); err == nil {
			t.Errorf("%v is no error", args)
		}
	}
}
