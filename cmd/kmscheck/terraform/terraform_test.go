package terraform_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/keyhaul/keyhaul/cmd/kmscheck/terraform"
)

var update = flag.Bool("update", false, "write the golden files")

const instance = "kst-hzz62f1cb66fa42qo1234"

func TestEachKindOfResourceHasItsGoldenFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"key.tf", "secret.tf"} {
		before := read(t, name)
		r, err := terraform.Rewrite(name, before, terraform.Options{Instance: instance})
		if err != nil || len(r.Left) > 0 || len(r.Changed) == 0 {
			t.Fatalf("%s: %v %v", name, r.Left, err)
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
			if at := bytes.IndexAny(line, "#/"); at >= 0 && !bytes.Contains(r.Text, line[at:]) {
				t.Errorf("%s lost the comment %q", name, line[at:])
			}
		}
		again, err := terraform.Rewrite(name, r.Text, terraform.Options{Instance: instance})
		if err != nil || !bytes.Equal(again.Text, r.Text) || len(again.Changed) > 0 {
			t.Errorf("%s: a second run changes %v, %v", name, again.Changed, err)
		}
		diff, err := terraform.Diff(name, before, r.Text)
		if err != nil || !strings.Contains(diff, `+  dkms_instance_id`) || !strings.Contains(diff, "+    prevent_destroy = true") {
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
	if len(r.Left) != 3 || !strings.HasPrefix(r.Left[0], "left.tf:1: alicloud_kms_key.computed") || !strings.HasPrefix(r.Left[1], "left.tf:8: ") {
		t.Errorf("left: %q", r.Left)
	}
	r, err = terraform.Rewrite("main.tf.json", []byte(`{"resource": {}}`), terraform.Options{})
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
	for _, name := range []string{"key.tf", "secret.tf", "left.tf"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := terraform.Rewrite("f.tf", text, terraform.Options{Instance: instance})
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
