package plan_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// measured is what a page says of itself in a browser.
type measured struct {
	Width      float64 // of the window
	Content    float64 // of what is in it: wider would have to be scrolled sideways
	Height     float64
	Sections   []section
	Steps      int
	Progress   float64
	Max        float64
	Pictures   int
	Nodes      int
	Overflows  []string // texts wider than their boxes
	Clipped    []string // parts that stick out of the window where nothing scrolls
	Small      []string // texts of less than 12 pixels
	Torn       []string // numbers that are broken over lines
	Incidents  int
	Broken     []string // links to what is not there
	Overlapped []string // steps that lie on one another
}

// section is a part of the page and where it stands.
type section struct {
	ID          string
	Top, Height float64
}

const measure = `(() => {
  const q = s => [...document.querySelectorAll(s)], box = e => e.getBoundingClientRect(), name = e => (e.id || e.className || e.tagName) + ": " + e.textContent.trim().slice(0, 40);
  const scrolls = e => e.closest(".wide, details:not([open])");
  const steps = q("article.step");
  return {
    Width: document.documentElement.clientWidth, Content: document.documentElement.scrollWidth, Height: document.documentElement.scrollHeight,
    Sections: q("section").map(s => ({ID: s.id, Top: box(s).top + scrollY, Height: box(s).height})), Steps: steps.length,
    Progress: q("progress")[0].value, Max: q("progress")[0].max, Pictures: q("svg").length, Nodes: q("svg g").length,
    Overflows: q("svg g").filter(g => g.querySelector("text").getBBox().width + 14 > g.querySelector("rect").getBBox().width).map(g => g.textContent),
    Clipped: q("main *").filter(e => !scrolls(e) && (box(e).right > document.documentElement.clientWidth + 1 || box(e).left < -1)).slice(0, 5).map(name),
    Small: q("main *").filter(e => !e.closest("svg") && e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 12).slice(0, 5).map(name),
    Torn: q("td.n").filter(e => { const r = document.createRange(); r.selectNodeContents(e); return new Set([...r.getClientRects()].map(x => x.top)).size > 1 }).map(name),
    Incidents: q("[id^=incident-]").length,
    Broken: q("a[href^='#']").map(a => decodeURIComponent(a.getAttribute("href").slice(1))).filter(id => !document.getElementById(id)).slice(0, 3),
    Overlapped: steps.filter((e, i) => i > 0 && box(e).top < box(steps[i - 1]).bottom).slice(0, 3).map(name),
  };
})()`

// colours counts the different colours of a picture, up to a limit: a blank page has one.
func colours(t *testing.T, text []byte, limit int) (image.Rectangle, int) {
	t.Helper()
	pic, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	seen := map[[4]uint32]bool{}
	for y := pic.Bounds().Min.Y; y < pic.Bounds().Max.Y && len(seen) < limit; y++ {
		for x := pic.Bounds().Min.X; x < pic.Bounds().Max.X; x++ {
			r, g, b, a := pic.At(x, y).RGBA()
			seen[[4]uint32{r, g, b, a}] = true
		}
	}
	return pic.Bounds(), len(seen)
}

// The page is opened in headless Chromium where there is one, at the width of a desk and of a phone, in both languages. Its parts are found, measured
// and drawn. KEYHAUL_SCREENSHOTS names a directory to keep the pictures in.
func TestTheRunbookInABrowser(t *testing.T) {
	t.Parallel()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here")
	}
	goal := everywhere()
	goal.Keys = map[string]plan.KeyNote{"no-such-key": {Compromised: true}}
	a, err := plan.Assess(made(60), goal)
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	estimates, err := plan.EstimateSweep(plan.Load{Records: 40_000_000, DataKeys: 90_000}, plan.Endpoint{SharedGateway: "cn-hangzhou"}, plan.Endpoint{QPS: 4000}, plan.DefaultPrices())
	require.NoError(t, err)
	state := plan.State{Done: map[string]time.Time{p.Steps[0].ID: today}}
	browser := openChromium(t, path)
	for _, width := range []int{1280, 390} {
		for _, language := range []plan.Language{plan.English, plan.Chinese} {
			var page bytes.Buffer
			require.NoError(t, p.HTML(&page, plan.RunbookConfig{Language: language, Assessment: &a, State: &state, Estimates: estimates}))
			browser.show(page.String(), width, 844, width < 500)
			var got measured
			browser.eval(measure, &got)
			require.InDelta(t, width, got.Width, 0)
			require.LessOrEqual(t, got.Content, got.Width, "nothing sticks out sideways")
			require.Empty(t, got.Clipped)
			require.Empty(t, got.Small)
			require.Empty(t, got.Torn)
			require.Len(t, p.Steps, got.Steps)
			require.Empty(t, got.Overflows)
			require.Empty(t, got.Overlapped)
			require.Empty(t, got.Broken)
			require.InDelta(t, 1, got.Progress, 0)
			require.InDelta(t, len(p.Steps), got.Max, 0)
			require.Equal(t, 5, got.Pictures)
			require.Greater(t, got.Nodes, 30)
			require.Len(t, plan.Incidents(), got.Incidents)
			var order []string
			for _, s := range got.Sections {
				order = append(order, s.ID)
				require.Greater(t, s.Height, 20.0, s.ID)
				shown := browser.picture(s.Top)
				bounds, n := colours(t, shown, 16)
				require.Greater(t, bounds.Dx(), width-1)
				require.GreaterOrEqual(t, n, 16, "%s is drawn", s.ID)
				if dir := os.Getenv("KEYHAUL_SCREENSHOTS"); dir != "" {
					require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%d-%s.png", width, language, s.ID)), shown, 0o600))
				}
			}
			require.Equal(t, []string{"progress", "summary", "places", "picture", "steps", "roles", "audit", "oncall"}, order)
		}
	}
}
