package terraform_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/keyhaul/keyhaul/cmd/kmscheck/terraform"
)

var update = flag.Bool("update", false, "write the golden files")

const instance = "kst-hzz62f1cb66fa42qo1234"

// moved is where everything of the golden files went.
var moved = terraform.Options{Instance: instance, Keys: map[string]string{"0f3c7a52-9a11-4f6c-8f5e-0123456789ab": "key-hzz62f1cb66fa42qo0001"}}

func TestEachKindOfResourceHasItsGoldenFile(t *testing.T) {
	t.Parallel()
	for _, kind := range terraform.Kinds() {
		name := strings.TrimPrefix(kind, "alicloud_kms_") + ".tf"
		before := read(t, name)
		r, err := terraform.Rewrite(name, before, moved)
		if err != nil || len(r.Changed) == 0 || !strings.HasPrefix(r.Changed[0], kind+".") {
			t.Fatalf("%s: %v %v %v", name, r.Changed, r.Left, err)
		}
		for _, line := range r.Left { // the three kinds that nobody can settle with an edit say so
			if !strings.Contains(line, "version ids") && !strings.Contains(line, "ciphertext of the old key") && !strings.Contains(line, "a client key expires") {
				t.Errorf("%s: left %s", name, line)
			}
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, r.Text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, name+".golden"); !bytes.Equal(want, r.Text) {
			t.Errorf("%s:\n%s", name, r.Text)
		}
		if !bytes.Equal(hclwrite.Format(r.Text), r.Text) {
			t.Errorf("%s is not in canonical form", name)
		}
		for _, line := range bytes.Split(before, []byte("\n")) {
			at := slices.Max([]int{bytes.Index(line, []byte("# ")), bytes.Index(line, []byte("// ")), bytes.Index(line, []byte("/* "))})
			if at >= 0 && !bytes.Contains(r.Text, line[at:]) {
				t.Errorf("%s lost the comment %q", name, line[at:])
			}
		}
		again, err := terraform.Rewrite(name, r.Text, moved)
		if err != nil || !bytes.Equal(again.Text, r.Text) || len(again.Changed) > 0 {
			t.Errorf("%s: a second run changes %v, %v", name, again.Changed, err)
		}
		diff, err := terraform.Diff(name, before, r.Text)
		if err != nil || !strings.Contains(diff, "+    prevent_destroy = true") {
			t.Errorf("the diff of %s is\n%s%v", name, diff, err)
		}
	}
}

func TestWhatIsNotUnderstoodIsLeftAndReported(t *testing.T) {
	t.Parallel()
	before := read(t, "left.tf")
	r, err := terraform.Rewrite("left.tf", before, terraform.Options{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, r.Text) || len(r.Changed) > 0 {
		t.Errorf("it was changed:\n%s", r.Text)
	}
	for i, want := range []string{"left.tf:1: alicloud_kms_key.computed", "left.tf:8: ", "left.tf:16: data.alicloud_kms_ciphertext.blob", "left.tf:21: alicloud_kms_value_added_service.backups"} {
		if len(r.Left) != 4 || !strings.HasPrefix(r.Left[i], want) {
			t.Errorf("left: %q", r.Left)
		}
	}
	r, err = terraform.Rewrite("main.tf.json", []byte(`{"resource": {"alicloud_kms_key": {}}}`), terraform.Options{})
	if err != nil || len(r.Left) != 1 {
		t.Errorf("JSON: %v %v", r.Left, err)
	}
}

func TestFilesWithoutAMatchComeBackByteForByte(t *testing.T) {
	t.Parallel()
	odd := []byte("resource \"alicloud_oss_bucket\"   \"b\" {\r\n bucket=\"x\"   # odd\r\n}\r\n")
	r, err := terraform.Rewrite("odd.tf", odd, terraform.Options{Instance: instance})
	if err != nil || !bytes.Equal(r.Text, odd) {
		t.Errorf("%q %v", r.Text, err)
	}
	key := read(t, "key.tf")
	r, err = terraform.Rewrite("key.tf", key, terraform.Options{Instance: instance, Only: []string{"alicloud_kms_key.elsewhere"}})
	if err != nil || !bytes.Equal(r.Text, key) {
		t.Errorf("%q %v", r.Text, err)
	}
}

func TestAnOwnersFormattingStays(t *testing.T) {
	t.Parallel()
	r, err := terraform.Rewrite("odd.tf", []byte("resource \"alicloud_oss_bucket\" \"b\" {\n bucket=\"x\"\n}\nresource \"alicloud_kms_key\" \"k\" {\n description=\"d\"\n}\n"), terraform.Options{Instance: instance})
	if err != nil || !bytes.Contains(r.Text, []byte("\n bucket=\"x\"\n")) || !bytes.Contains(r.Text, []byte("\n  dkms_instance_id = ")) {
		t.Errorf("%s %v", r.Text, err)
	}
}

func TestOldProvidersOnlyIgnore(t *testing.T) {
	t.Parallel()
	r, err := terraform.Rewrite("key.tf", read(t, "key.tf"), terraform.Options{})
	if err != nil || bytes.Contains(r.Text, []byte("dkms_instance_id  ")) || !bytes.Contains(r.Text, []byte("ignore_changes  = [dkms_instance_id, automatic_rotation, rotation_interval, protection_level]")) {
		t.Errorf("%s %v", r.Text, err)
	}
}

func TestABlockOfOneLineIsLeft(t *testing.T) {
	t.Parallel()
	text := []byte("resource \"alicloud_kms_key\" \"k\" {\n  lifecycle { prevent_destroy = true }\n}\n")
	r, err := terraform.Rewrite("k.tf", text, terraform.Options{Instance: instance})
	if err != nil || !bytes.Equal(r.Text, text) || len(r.Left) != 1 {
		t.Errorf("%s %q %v", r.Text, r.Left, err)
	}
}

func TestADifferentChoiceIsKeptAndReported(t *testing.T) {
	t.Parallel()
	text := []byte("resource \"alicloud_kms_key\" \"k\" {\n  dkms_instance_id = var.instance\n  lifecycle {\n    prevent_destroy = false\n    ignore_changes  = all\n  }\n}\n")
	r, err := terraform.Rewrite("k.tf", text, terraform.Options{Instance: instance})
	if err != nil || !bytes.Equal(r.Text, text) || len(r.Left) != 2 {
		t.Errorf("%s %q %v", r.Text, r.Left, err)
	}
}

func TestOnlyIdsThatStandThereAreRenamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after string }{
		"another id":       {`key_id = "another"`, `key_id     = "another"`},
		"a template":       {`key_id = "${var.prefix}-key"`, `key_id     = "${var.prefix}-key"`},
		"the id":           {`key_id = "old"`, `key_id     = "new"`},
		"a text around it": {`key_id = "old-one"`, `key_id     = "old-one"`},
	} {
		text := "resource \"alicloud_kms_alias\" \"a\" {\n  alias_name = \"alias/a\"\n  " + c.before + "\n}\n"
		r, err := terraform.Rewrite("a.tf", []byte(text), terraform.Options{Keys: map[string]string{"old": "new"}})
		if err != nil || !strings.Contains(string(r.Text), c.after+"\n") {
			t.Errorf("%s: %s %v", name, r.Text, err)
		}
	}
	for _, list := range []string{`var.resources`, `concat(["key/old"], var.more)`, "[\n    \"key/old\", # why\n  ]"} {
		text := "resource \"alicloud_kms_policy\" \"p\" {\n  resources = " + list + "\n}\n"
		r, err := terraform.Rewrite("p.tf", []byte(text), terraform.Options{Keys: map[string]string{"old": "new"}})
		if err != nil || len(r.Left) != 1 || !strings.Contains(string(r.Text), list) || strings.Contains(string(r.Text), "key/new") {
			t.Errorf("%s: %s %q %v", list, r.Text, r.Left, err)
		}
	}
}

func TestWhatIsNoConfigurationIsAnError(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"cut off": `resource "alicloud_kms_key" "x" {`, "foreign": "<html>"} {
		if _, err := terraform.Rewrite("x.tf", []byte(text), terraform.Options{}); err == nil || !strings.Contains(err.Error(), "x.tf:1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := terraform.Rewrite("x.tf", nil, terraform.Options{Instance: "hzz"}); err == nil {
		t.Error("an instance id that is none")
	}
}

func FuzzRewrite(f *testing.F) {
	for _, name := range []string{"key.tf", "secret.tf", "left.tf", "policy.tf", "alias.tf"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := terraform.Rewrite("f.tf", text, moved)
		if err != nil {
			return
		}
		if len(r.Changed) == 0 && !bytes.Equal(r.Text, text) {
			t.Error("changed, and does not say so")
		}
		if _, err := terraform.Rewrite("f.tf", r.Text, terraform.Options{Instance: instance}); err != nil {
			t.Errorf("what came out is no configuration: %v", err)
		}
	})
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
