// Command mutants breaks the code that guards each invariant of DESIGN.md, one guard at a time, and runs the test that must
// notice. It fails when a test passes without its guard, or when a guard is no longer where the list says.
//
//	go run ./internal/mutants [-run REGEXP]
//
// The sources stay as they are: the go command is given the broken file as an overlay.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is one guard taken out.
type mutant struct {
	invariant string // number and what is lost
	file      string // below the module's root
	guard     string // stands in the file exactly once
	broken    string // what takes its place
	tests     string // a -run expression: at least one of these must fail
	in        string // their package; empty: the file's own
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	only := flag.String("run", "", "only mutants whose invariant or file matches")
	flag.Parse()
	survivors, err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		fmt.Fprintf(os.Stderr, "mutants: %d were not noticed\n", survivors)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) (survivors int, err error) {
	filter, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return 0, fmt.Errorf("finding the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "keyhaul-mutants-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, m := range mutants {
		if !filter.MatchString(m.invariant + " " + m.file) {
			continue
		}
		noticed, err := m.run(ctx, strings.TrimSpace(string(root)), dir)
		switch {
		case err != nil:
			return survivors, fmt.Errorf("%s (%s): %w", m.invariant, m.file, err)
		case noticed:
			say("noticed   %-60s %s", m.invariant, m.tests)
		default:
			survivors++
			say("SURVIVED  %-60s %s %q", m.invariant, m.tests, m.guard)
		}
	}
	return survivors, ctx.Err()
}

func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }

// run reports whether the tests failed for want of the guard.
func (m mutant) run(ctx context.Context, root, dir string) (noticed bool, err error) {
	path := filepath.Join(root, filepath.FromSlash(m.file))
	source, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if n := strings.Count(string(source), m.guard); n != 1 {
		return false, fmt.Errorf("the guard stands there %d times, not once: %q", n, m.guard)
	}
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.guard, m.broken, 1)), 0o600); err != nil {
		return false, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		return false, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return false, err
	}
	in := m.in
	if in == "" {
		in = filepath.ToSlash(filepath.Dir(m.file))
	}
	test := exec.CommandContext(ctx, "go", "test", "-overlay", list, "-count=1", "-timeout", "2m", "-run", m.tests, "-v", "./"+in)
	test.Dir = root
	out, err := test.CombinedOutput()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "no tests to run") {
		return false, fmt.Errorf("the tests did not run:\n%s", out)
	}
	return err != nil, nil
}
