package plan_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

func runbooks(t *testing.T, p plan.Plan, config plan.RunbookConfig) (markdown, html string) {
	t.Helper()
	var m, h bytes.Buffer
	require.NoError(t, p.Markdown(&m, config))
	require.NoError(t, p.HTML(&h, config))
	return m.String(), h.String()
}

func TestTheRunbookHasEveryStepInBothLanguages(t *testing.T) {
	t.Parallel()
	a, err := plan.Assess(made(200), everywhere())
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	state := plan.State{Done: map[string]time.Time{p.Steps[0].ID: today}}
	for _, language := range []plan.Language{plan.English, plan.Chinese} {
		markdown, html := runbooks(t, p, plan.RunbookConfig{Language: language, Assessment: &a, State: &state})
		for _, s := range p.Steps {
			for _, text := range []plan.Text{s.Of().Title, s.Of().Check, s.Of().Back, s.Of().Sees} {
				require.Contains(t, markdown, text.In(language))
			}
			require.Contains(t, markdown, s.ID)
			require.Contains(t, html, `id="`+s.ID+`"`)
		}
		for _, in := range plan.Incidents() {
			require.Contains(t, markdown, "### "+in.Name)
			require.Contains(t, html, `id="incident-`+in.Name+`"`)
			require.Contains(t, markdown, in.Recover.In(language))
		}
		require.NotContains(t, markdown, "%!")
		require.NotContains(t, html, "%!")
		require.NotRegexp(t, `(src|href)="?https?:|<script|<link|@import|url\(`, html, "one file, and nothing from elsewhere")
	}
	_, english := runbooks(t, p, plan.RunbookConfig{})
	_, chinese := runbooks(t, p, plan.RunbookConfig{Language: plan.Chinese})
	require.Contains(t, english, `lang="en"`)
	require.Contains(t, chinese, `lang="zh-CN"`)
	require.Contains(t, chinese, "普查")
}

func TestEveryTextIsThereInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, k := range plan.StepKinds() {
		require.NotZero(t, k.Takes, k.Name)
		require.Contains(t, []plan.Mode{plan.Manual, plan.Automatic}, k.Mode)
		for what, text := range map[string]plan.Text{"title": k.Title, "do": k.Do, "check": k.Check, "back": k.Back, "sees": k.Sees} {
			require.NotEmpty(t, text.EN, "%s %s", k.Name, what)
			require.NotEmpty(t, text.ZH, "%s %s", k.Name, what)
		}
	}
	for _, in := range plan.Incidents() {
		require.NotEmpty(t, in.Command, in.Name)
		for _, text := range []plan.Text{in.Seen, in.Does, in.Recover} {
			require.NotEmpty(t, text.EN, in.Name)
			require.NotEmpty(t, text.ZH, in.Name)
		}
	}
	for _, p := range plan.Paths() {
		require.NotEqual(t, string(p), p.Describe(plan.English))
		require.NotEqual(t, p.Describe(plan.English), p.Describe(plan.Chinese))
	}
}

// Whoever adds a sentinel writes its page.
func TestEverySentinelHasAPageForThePersonOnCall(t *testing.T) {
	t.Parallel()
	pages := map[string]bool{}
	for _, in := range plan.Incidents() {
		pages[in.Name] = true
	}
	found := 0
	for _, dir := range []string{"..", "../../envelope", "../../rekey"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			for _, d := range tree.Decls {
				decl, ok := d.(*ast.GenDecl)
				if !ok || decl.Tok != token.VAR {
					continue
				}
				for _, s := range decl.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						if strings.HasPrefix(n.Name, "Err") {
							found++
							require.True(t, pages[n.Name], "%s of %s has no page", n.Name, file)
						}
					}
				}
			}
		}
	}
	require.Greater(t, found, 10)
	for _, alarm := range []string{"old-side-down", "new-side-down", "key-disabled", "restored-database"} {
		require.True(t, pages[alarm])
	}
}

func TestWhatPeopleWroteIsNotReadAsMarkup(t *testing.T) {
	t.Parallel()
	const nasty = "<script>alert(1)</script>`*_|\n# x"
	goal := moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, func(g *plan.Goal) { g.Findings = []plan.CodeFinding{{Kind: "version-id", At: nasty}} })
	a, err := plan.Assess(estate(place("cn-hangzhou", keys(aKey()))), goal)
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	markdown, html := runbooks(t, p, plan.RunbookConfig{Assessment: &a})
	require.NotContains(t, markdown, "<script>")
	require.NotContains(t, markdown, "\n# x")
	require.NotContains(t, html, "<script>")
	require.Contains(t, html, "&lt;script&gt;")
}

func TestTheAssessmentInJSONNamesRules(t *testing.T) {
	t.Parallel()
	a, err := plan.Assess(made(50), everywhere())
	require.NoError(t, err)
	text, err := json.Marshal(a)
	require.NoError(t, err)
	var back plan.Assessment
	require.NoError(t, json.Unmarshal(text, &back))
	require.Len(t, back.Resources, len(a.Resources))
	for _, v := range back.Resources {
		for _, f := range v.Findings() {
			_, ok := plan.FindRule(f.Rule)
			require.True(t, ok, f.Rule)
		}
	}
}
