package shim

import (
	"bytes"
	"encoding/json"
	"strings"
)

// doubledName returns a name that an object of a migration file has twice, or "". encoding/json takes the last one, and "Phase" for "phase"; only
// in maps from ids to something are two cases two names.
func doubledName(text []byte) string {
	type object struct {
		seen  map[string]bool // nil for an array
		ids   bool
		value bool   // what comes next is a value
		name  string // of that value
	}
	var open []object
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return "" // what is no JSON was refused before
		}
		var in *object
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				open = open[:len(open)-1]
				continue
			}
			next := object{}
			if t == '{' {
				next.seen = map[string]bool{}
				next.ids = in != nil && (in.name == "keys" || in.name == "keyversions" || in.name == "versions")
			}
			if in != nil {
				in.value = false
			}
			open = append(open, next)
			continue
		case string:
			if in != nil && in.seen != nil && !in.value {
				in.name = strings.ToLower(t)
				key := in.name
				if in.ids {
					key = t
				}
				if in.seen[key] {
					return t
				}
				in.seen[key], in.value = true, true
				continue
			}
		}
		if in != nil {
			in.value = false
		}
	}
}
