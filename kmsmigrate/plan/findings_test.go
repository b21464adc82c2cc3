package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

const analyzed = `# example.com/pay
{
	"example.com/pay": {
		"kmsbreaks": [
			{"category": "version-id", "posn": "/src/pay/crypt.go:17:5", "end": "/src/pay/crypt.go:17:9", "message": "version-id: remove this logic"},
			{"category": "region", "posn": "/src/pay/main.go:9:15", "message": "region: …"}
		],
		"printf": [{"category": "", "posn": "/src/pay/main.go:1:1", "message": "another analyzer's"}]
	}
}
# example.com/pay [example.com/pay.test]
{"example.com/pay [example.com/pay.test]": {"kmsbreaks": [{"category": "version-id", "posn": "/src/pay/crypt.go:17:5", "message": "again"}]}}
{}
`

func TestWhatTheAnalyzerFindsBlocksTheTool(t *testing.T) {
	t.Parallel()
	found, err := plan.ReadFindings(strings.NewReader(analyzed))
	require.NoError(t, err)
	require.Equal(t, []plan.CodeFinding{{Kind: "version-id", At: "/src/pay/crypt.go:17"}, {Kind: "region", At: "/src/pay/main.go:9"}}, found)
	goal := moveTo("cn-hangzhou", "cn-hangzhou", plan.Software, func(g *plan.Goal) { g.Findings = found })
	a, p := planned(t, estate(place("cn-hangzhou", keys(aKey()))), goal)
	require.Contains(t, a.Resources[0].Blockers, plan.Finding{Rule: "code.version-ids", About: "/src/pay/crypt.go:17"})
	require.Contains(t, one(t, p, "code-findings").About, "region at /src/pay/main.go:9")

	none, err := plan.ReadFindings(strings.NewReader(""))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestFindingsThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"unexpected EOF":          `{"example.com/pay": {"kmsbreaks": [`,
		"invalid character":       `<html>`,
		"cannot unmarshal":        `[1, 2]`,
		"field category":          `{"p": {"kmsbreaks": [{"category": "weather", "posn": "a.go:1:1"}]}}`,
		"it was not analyzed":     `{"p": {"kmsbreaks": {"error": "no types"}}}`,
		"findings of p [0]: fiel": `{"p": {"kmsbreaks": [{}]}}`,
	} {
		_, err := plan.ReadFindings(strings.NewReader(text))
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, text)
		require.ErrorContains(t, err, want)
	}
}

func FuzzReadFindings(f *testing.F) {
	f.Add(analyzed)
	f.Add(`{"p": {"kmsbreaks": [{"category": "region", "posn": "::"}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		found, err := plan.ReadFindings(strings.NewReader(text))
		if err == nil {
			for _, c := range found {
				require.NotEmpty(t, c.Kind)
			}
		}
	})
}
