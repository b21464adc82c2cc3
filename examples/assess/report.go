package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// result is the object that -json ends with.
type result struct {
	Resources []row `json:"resources"`
}

type row struct {
	Kind     string   `json:"kind"`
	ID       string   `json:"id"`
	Region   string   `json:"region"`
	Path     string   `json:"path"`
	Blockers []string `json:"blockers"`
	Warnings []string `json:"warnings"`
}

func answer(a plan.Assessment) result {
	out := result{Resources: make([]row, len(a.Resources))}
	for i, v := range a.Resources {
		out.Resources[i] = row{
			Kind: v.Kind, ID: v.ID, Region: v.Region, Path: string(v.Path),
			Blockers: rules(v.Blockers), Warnings: append(rules(v.Warnings), rules(v.Retirement)...),
		}
	}
	return out
}

// rules are the names of the rules, and never null in JSON.
func rules(findings []plan.Finding) []string {
	names := make([]string, len(findings))
	for i, f := range findings {
		names[i] = f.Rule
	}
	return names
}

func summary(w io.Writer, a plan.Assessment, work plan.Plan, dir string) {
	keys, secrets := a.ByPath("key"), a.ByPath("secret")
	blocked := map[plan.Path]int{}
	for _, v := range a.Resources {
		if len(v.Blockers) > 0 {
			blocked[v.Path]++
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "path\tkeys\tsecrets\tblocked\t")
	for _, p := range plan.Paths() {
		if keys[p]+secrets[p] > 0 {
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\n", p, keys[p], secrets[p], blocked[p])
		}
	}
	_ = table.Flush()
	for _, p := range a.Places {
		if len(p.Blockers) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(w, "\n%s -> %s\n", p.Region, p.To)
		for _, f := range p.Blockers {
			rule, _ := plan.FindRule(f.Rule)
			_, _ = fmt.Fprintf(w, "  %s %s: %s\n", f.Rule, f.About, rule.Do.EN)
		}
	}
	manual := 0
	for _, s := range work.Steps {
		if s.Mode == plan.Manual {
			manual++
		}
	}
	_, _ = fmt.Fprintf(w, "\n%d steps, %d of them manual; %d of %d resources are blocked\n", len(work.Steps), manual, a.Blocked(), len(a.Resources))
	_, _ = fmt.Fprintf(w, "the runbook is in %s\n", dir)
}
