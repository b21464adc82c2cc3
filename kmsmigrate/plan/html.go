package plan

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
)

//go:embed runbook.html.tmpl
var page string

// HTML writes the runbook as one page that needs nothing else: no script, no font, no picture from elsewhere. It reads well on a phone and on paper.
func (p Plan) HTML(w io.Writer, config RunbookConfig) error {
	r, err := p.runbook(config)
	if err != nil {
		return err
	}
	t, err := template.New("runbook").Funcs(template.FuncMap{
		"w":     r.w,
		"t":     r.t,
		"inc":   func(i int) int { return i + 1 },
		"rule":  func(name string) Rule { rule, _ := FindRule(name); return rule },
		"stand": func(id string) string { return string(r.standing[id]) },
		"date":  date,
		"head": func(list []string) []string {
			return list[:min(len(list), shownResources)]
		},
		"some": func(list []Finding) []Finding {
			return list[:min(len(list), shownResources)]
		},
		"more": func(n int) string {
			if n <= shownResources {
				return ""
			}
			return fmt.Sprintf(r.w("more"), n-shownResources)
		},
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("plan: the page: %w", err)
	}
	done, all := r.progress()
	lang := "en"
	if config.Language == Chinese {
		lang = "zh-CN"
	}
	err = t.Execute(w, map[string]any{
		"Lang": lang, "Plan": p, "Dates": r.dates(), "Paths": r.paths(), "Assessment": config.Assessment, "Pictures": r.pictures(),
		"HasState": config.State != nil, "Audit": r.auditRows(), "Done": done, "All": all, "Incidents": incidents,
	})
	if err != nil {
		return fmt.Errorf("plan: write runbook: %w", err)
	}
	return nil
}
