package keyhaul_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeCompiles finds every line of the README's Go code, in its order, in the Examples beside it, which are compiled and run.
func TestReadmeCompiles(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.GreaterOrEqual(t, len(blocks), 3)
	for _, block := range blocks {
		rest := lines(string(example))
		for _, line := range lines(block[1]) {
			at := -1
			for i, l := range rest {
				if l == line {
					at = i
					break
				}
			}
			require.GreaterOrEqual(t, at, 0, "this line of the README is not in example_test.go, or not in this order:\n%s", line)
			rest = rest[at+1:]
		}
	}
}

// lines returns the lines that say something, without indentation, and with the blanks before comments folded, which gofmt
// decides about.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = regexp.MustCompile(`\s+//`).ReplaceAllString(strings.TrimSpace(line), " //"); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// TestDesignNamesTestsThatExist keeps the table of invariants honest.
func TestDesignNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	design, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		}
		return err
	}))
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(design), -1)
	require.Greater(t, len(names), 15)
	for _, name := range names {
		require.Contains(t, code.String(), "func "+name+"(", "DESIGN.md names a test that is not there")
	}
}
