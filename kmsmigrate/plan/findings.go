package plan

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// findingKinds are the kinds that the analyzer reports.
var findingKinds = words("version-id", "key-id", "endpoint", "region", "terraform")

// column is the end of a position file:line:column that a finding does without.
var column = regexp.MustCompile(`(:[0-9]+):[0-9]+$`)

// ReadFindings reads what the analyzer reports as JSON, for [Goal.Findings]: the output of kmscheck -json ./... or of
// go vet -json -vettool=kmscheck ./..., with the lines that name packages and with many values in one file. What is reported of a package and
// again of its tests is one finding. Findings of other analyzers are left out. What is no such output is an error that wraps
// [kmsmigrate.ErrInvalid], and so is a package that could not be analyzed: its findings are missing.
func ReadFindings(r io.Reader) ([]CodeFinding, error) {
	var text bytes.Buffer
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if !strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("plan: read findings: %w", err)
		}
	}
	var out []CodeFinding
	for d := json.NewDecoder(&text); ; {
		var packages map[string]map[string]json.RawMessage
		if err := d.Decode(&packages); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("plan: findings: %w: %w", err, kmsmigrate.ErrInvalid)
		}
		for name, analyzers := range packages {
			found, err := findingsOf(name, analyzers["kmsbreaks"])
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	slices.SortFunc(out, func(a, b CodeFinding) int { return compareStrings(a.At, b.At, a.Kind, b.Kind) })
	return slices.Compact(out), nil
}

// findingsOf reads what one analyzer says of one package: a list, or an object with an error.
func findingsOf(name string, text json.RawMessage) ([]CodeFinding, error) {
	if text == nil {
		return nil, nil
	}
	var list []struct{ Category, Posn string }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, invalidField("findings of "+name, "kmsbreaks", "is no list: it was not analyzed: "+string(bytes.TrimSpace(text)))
	}
	out := make([]CodeFinding, 0, len(list))
	for i, f := range list {
		if !findingKinds[f.Category] {
			return nil, invalidField(fmt.Sprintf("findings of %s [%d]", name, i), "category", fmt.Sprintf("has the unknown value %q", f.Category))
		}
		out = append(out, CodeFinding{Kind: f.Category, At: column.ReplaceAllString(f.Posn, "$1")})
	}
	return out, nil
}
