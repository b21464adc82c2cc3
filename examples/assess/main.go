// Command assess finds out what a migration of KMS keys and secrets would have to do, and writes the runbook.
//
// With no flags it makes an estate of 200 keys and 100 secrets in five regions on a fake Alibaba Cloud KMS on loopback, with every
// case of Alibaba's migration tables in it; collects it as it would collect yours; gives each key and secret its path; and writes
// runbook.md, runbook.html (also in Chinese), plan.json, inventory.json and goal.json.
//
//	go run ./examples/assess [-inventory FILE] [-goal FILE] [-findings FILE] [-records N] [-out DIR] [-json]
//
// -inventory assesses a saved inventory instead, and -goal says where it is to go; without it every region stays, and what is
// outside of instances goes into a software instance there, for KMS 1.0 is without support. -findings adds what the analyzer
// found in code: the output of kmscheck -json ./... of cmd/kmscheck. -records is how many records are to be encrypted anew, for
// the estimate of the sweep.
//
// -json ends with one object on one line: resources[] of kind, id, region, path, blockers[] and warnings[]. The names of paths
// and rules are stable; kmsmigrate/plan/RULES.md lists them.
//
// It exits with 0 when the assessment was made, whatever it says; 1 when it could not be, or when the inventory has words that no rule
// knows (everything else is assessed then); 2 for wrong flags.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "assess:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("assess", flag.ContinueOnError)
	flags.SetOutput(stderr)
	saved := flags.String("inventory", "", "assess this saved inventory instead of the made estate")
	goalFile := flags.String("goal", "", "where it is to go, and what only people know (JSON)")
	findings := flags.String("findings", "", "what the analyzer found in code (the output of kmscheck -json)")
	records := flags.Int64("records", 1_000_000, "records that the sweep has to move, 20 to a data key, for the estimate")
	out := flags.String("out", "", "directory to write the runbook, plan and inventory to (default: a new temporary one)")
	asJSON := flags.Bool("json", false, "end with one JSON object")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0, nil
		}
		return 2, nil // the flag package has said why
	}
	if flags.NArg() > 0 {
		return 2, fmt.Errorf("unexpected argument %q: there are flags only, see -h", flags.Arg(0))
	}
	inventory, goal, err := load(ctx, *saved, *goalFile, stdout)
	if err != nil {
		return 1, err
	}
	if *findings != "" {
		found, err := read(*findings, plan.ReadFindings)
		if err != nil {
			return 1, err
		}
		goal.Findings = append(goal.Findings, found...)
	}
	assessment, unknown := plan.Assess(inventory, goal)
	if unknown != nil && len(assessment.Resources) == 0 {
		return 1, unknown
	}
	estimates, err := estimate(*records)
	if err != nil {
		return 1, err
	}
	work, late := plan.Build(assessment, plan.BuildConfig{Sweep: estimates[0].Takes})
	if late != nil && !errors.Is(late, plan.ErrTooLate) {
		return 1, late
	}
	dir, err := write(*out, inventory, assessment, work, estimates)
	if err != nil {
		return 1, err
	}
	summary(stdout, assessment, work, dir)
	for _, e := range estimates {
		if e.Possible {
			_, _ = fmt.Fprintf(stdout, "sweep of %d records, %s: %d calls, %s; audit events a day: %d in %s, %d in %s\n",
				*records, e.Mode, e.Old+e.New, e.Takes.Round(time.Minute), e.OldEvents, e.OldLog, e.NewEvents, e.NewLog)
		}
	}
	if late != nil {
		_, _ = fmt.Fprintln(stdout, "\nWARNING:", late)
	}
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(answer(assessment)); err != nil {
			return 1, err
		}
	}
	if unknown != nil { // words of the service that this version does not know: the rest is assessed, and they have no path
		return 1, unknown
	}
	return 0, nil
}

// load reads what the flags name, or makes and collects the estate.
func load(ctx context.Context, saved, goalFile string, stdout io.Writer) (inventory plan.Inventory, goal plan.Goal, err error) {
	if saved == "" {
		if inventory, goal, err = madeEstate(ctx, stdout); err != nil {
			return inventory, goal, err
		}
	} else if inventory, err = read(saved, plan.ReadInventory); err != nil {
		return inventory, goal, err
	}
	if goalFile != "" {
		goal, err = read(goalFile, plan.ReadGoal)
	} else if saved != "" {
		goal = staying(inventory)
	}
	return inventory, goal, err
}

// staying is the goal for whoever gives none: KMS 1.0 has no support any more, so each region's keys and secrets outside of instances go into a
// software instance of the same region.
func staying(inventory plan.Inventory) plan.Goal {
	goal := plan.Goal{Now: time.Now()}
	for _, p := range inventory.Places {
		goal.Moves = append(goal.Moves, plan.Move{Account: p.Account, From: p.Region, To: p.Region, Target: plan.Target{Kind: plan.Software}})
	}
	return goal
}

// estimate is of a sweep from the shared gateway into an instance of 1,000 QPS, each at the share that a sweep takes unless told.
func estimate(records int64) ([]plan.SweepEstimate, error) {
	load := plan.Load{Records: records, DataKeys: (records + 19) / 20}
	return plan.EstimateSweep(load, plan.Endpoint{SharedGateway: "the old region"}, plan.Endpoint{QPS: 1000}, plan.DefaultPrices())
}

func read[T any](name string, parse func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(name)
	if err != nil {
		var none T
		return none, err
	}
	defer func() { _ = f.Close() }()
	value, err := parse(f)
	if err != nil {
		return value, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// write puts everything into dir and returns it.
func write(dir string, inventory plan.Inventory, assessment plan.Assessment, work plan.Plan, estimates []plan.SweepEstimate) (string, error) {
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keyhaul-assess-"); err != nil {
			return "", err
		}
	} else if err = os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	english := plan.RunbookConfig{Assessment: &assessment, Estimates: estimates}
	chinese := plan.RunbookConfig{Assessment: &assessment, Estimates: estimates, Language: plan.Chinese}
	for name, to := range map[string]func(io.Writer) error{
		"inventory.json":  inventory.Write,
		"goal.json":       assessment.Goal.Write,
		"plan.json":       work.Write,
		"runbook.md":      func(w io.Writer) error { return work.Markdown(w, english) },
		"runbook.html":    func(w io.Writer) error { return work.HTML(w, english) },
		"runbook.zh.md":   func(w io.Writer) error { return work.Markdown(w, chinese) },
		"runbook.zh.html": func(w io.Writer) error { return work.HTML(w, chinese) },
	} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return "", err
		}
		if err := errors.Join(to(f), f.Close()); err != nil {
			return "", err
		}
	}
	return dir, nil
}
