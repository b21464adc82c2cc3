package breaks_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	_ "github.com/aliyun/alibaba-cloud-sdk-go/services/kms" // a dependency of the code that the test reads
	_ "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	_ "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	_ "github.com/aliyun/aliyun-secretsmanager-client-go/sdk"
	_ "github.com/hashicorp/go-kms-wrapping/wrappers/alicloudkms/v2"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/keyhaul/keyhaul/cmd/kmscheck/breaks"
)

func TestEachKindIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	analysistest.Run(t, analysistest.TestData(), breaks.Analyzer, "app")
}

// Real code: the official SDKs' own examples, each file of which is a program, and two public modules that use the SDKs. What is found is listed in
// the log; the counts by kind are those of reading the code.
func TestRealCode(t *testing.T) {
	t.Parallel()
	for pattern, want := range realCode {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			found := map[string]int{}
			for _, line := range check(t, pattern) {
				t.Log(line)
				kind, _, _ := strings.Cut(line, ":")
				found[kind]++
			}
			if fmt.Sprint(found) != fmt.Sprint(want) {
				t.Errorf("found %v, want %v", found, want)
			}
		})
	}
}

// check analyzes packages, or, where the pattern is a module and a folder with a colon between, each file of the folder by itself.
func check(t *testing.T, pattern string) []string {
	t.Helper()
	module, folder, programs := strings.Cut(pattern, ":")
	if !programs {
		return analyze(t, pattern)
	}
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), folder, "*.go"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files in %s: %v", len(files), pattern, err)
	}
	var lines []string
	for _, file := range files {
		lines = append(lines, analyze(t, file)...)
	}
	return lines
}

func analyze(t *testing.T, pattern string) []string {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax | packages.NeedModule, Context: t.Context()}, pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) == 0 || packages.PrintErrors(pkgs) > 0 {
		t.Fatalf("%d packages of %s load with errors", len(pkgs), pattern)
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{breaks.Analyzer}, pkgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, root := range graph.Roots {
		if root.Err != nil {
			t.Fatal(root.Err)
		}
		for _, d := range root.Diagnostics {
			at := root.Package.Fset.Position(d.Pos)
			lines = append(lines, fmt.Sprintf("%s: %s:%d", d.Category, filepath.Base(at.Filename), at.Line))
		}
	}
	sort.Strings(lines)
	return lines
}
