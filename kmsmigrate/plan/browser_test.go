package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

// measured is what a page says of itself in a browser.
type measured struct {
	Width     float64 // of the window
	Content   float64 // of what is in it: wider would have to be scrolled sideways
	Steps     int
	Hidden    []string // sections without height
	Progress  float64
	Max       float64
	Pictures  int
	Nodes     int
	Overflows []string // texts wider than their boxes
	Incidents int
	Broken    []string // links to what is not there
}

const measure = `<script>
const text = %s, frame = document.createElement("iframe");
frame.style = "border:0;height:900px;width:%dpx";
frame.onload = () => {
  const d = frame.contentDocument, q = s => [...d.querySelectorAll(s)];
  document.title = JSON.stringify({
    Width: d.documentElement.clientWidth, Content: d.documentElement.scrollWidth,
    Steps: q("article.step").length, Hidden: q("section").filter(s => s.getBoundingClientRect().height < 20).map(s => s.id),
    Progress: q("progress")[0].value, Max: q("progress")[0].max, Pictures: q("svg").length, Nodes: q("svg g").length,
    Overflows: q("svg g").filter(g => g.querySelector("text").getBBox().width + 14 > g.querySelector("rect").getBBox().width).map(g => g.textContent),
    Incidents: q("[id^=incident-]").length, Broken: q("a[href^='#']").map(a => decodeURIComponent(a.getAttribute("href").slice(1))).filter(id => !d.getElementById(id)).slice(0, 3),
  });
};
frame.srcdoc = text;
document.body.append(frame);
</script>`

// The page is opened in headless Chromium where there is one, at the width of a desk and of a phone, in both languages.
func TestTheRunbookInABrowser(t *testing.T) {
	t.Parallel()
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Skip("no Chromium here")
	}
	a, err := plan.Assess(made(60), everywhere())
	require.NoError(t, err)
	p, err := plan.Build(a, plan.BuildConfig{})
	require.NoError(t, err)
	state := plan.State{Done: map[string]time.Time{p.Steps[0].ID: today}}
	for _, width := range []int{1280, 390} {
		for language, name := range map[plan.Language]string{plan.English: "English", plan.Chinese: "Chinese"} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				t.Parallel()
				var page bytes.Buffer
				require.NoError(t, p.HTML(&page, plan.RunbookConfig{Language: language, Assessment: &a, State: &state}))
				text, err := json.Marshal(page.String()) // escapes < and >, so no tag of the page ends the script
				require.NoError(t, err)
				dir := t.TempDir()
				file := filepath.Join(dir, "outer.html")
				require.NoError(t, os.WriteFile(file, []byte("<!doctype html><title></title><body>"+fmt.Sprintf(measure, text, width)), 0o600))
				out, err := exec.CommandContext(t.Context(), chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
					"--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", "file://"+file).Output()
				require.NoError(t, err)
				title := regexp.MustCompile(`<title>(.*?)</title>`).FindSubmatch(out)
				require.NotNil(t, title)
				var got measured
				require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(string(title[1]))), &got))
				require.InDelta(t, width, got.Width, 20)
				require.LessOrEqual(t, got.Content, got.Width, "nothing sticks out sideways")
				require.Len(t, p.Steps, got.Steps)
				require.Empty(t, got.Hidden)
				require.Empty(t, got.Overflows)
				require.Empty(t, got.Broken)
				require.InDelta(t, 1, got.Progress, 0)
				require.InDelta(t, len(p.Steps), got.Max, 0)
				require.Equal(t, 5, got.Pictures)
				require.Greater(t, got.Nodes, 30)
				require.Len(t, plan.Incidents(), got.Incidents)
			})
		}
	}
}
