package kmsmigrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// KeyMap says which new key takes the place of each old one, so that one Client serves an application with many keys. Old
// keys are named as the application names them: by key id, by alias ("alias/app") or by ARN. Its JSON form:
//
//	{"default": "key-hzz…", "keys": {"alias/app": "key-hzz…", "0f3c…": "alias/app-new"}}
type KeyMap struct {
	// Default is the new key for old ones that Keys does not name; empty means that those are refused.
	Default string `json:"default,omitempty"`
	// Keys maps old key ids, aliases and ARNs to new ones.
	Keys map[string]string `json:"keys,omitempty"`
}

// ParseKeyMap reads the JSON form and checks it: unknown fields, empty ids, one name given twice, and an ARN and its bare
// id that lead to different keys are errors that wrap [ErrInvalid].
func ParseKeyMap(text []byte) (KeyMap, error) {
	var m KeyMap
	if err := doubled(text); err != nil {
		return KeyMap{}, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return KeyMap{}, fmt.Errorf("kmsmigrate: key map: %w: %w", err, ErrInvalid)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return KeyMap{}, fmt.Errorf("kmsmigrate: key map: more than one JSON value: %w", ErrInvalid)
	}
	return m, m.Validate()
}

// Validate reports what is wrong with m, or nil: it names at least one key, no id is empty, and no two names of one old key
// (its ARN and its bare id) lead to different new keys. A key may map to the same id: migration tools keep ids.
func (m KeyMap) Validate() error {
	if m.Default == "" && len(m.Keys) == 0 {
		return fmt.Errorf("kmsmigrate: the key map is empty: %w", ErrInvalid)
	}
	for _, old := range slices.Sorted(maps.Keys(m.Keys)) {
		to := m.Keys[old]
		switch {
		case strings.TrimSpace(old) == "":
			return fmt.Errorf("kmsmigrate: the key map has an empty old key: %w", ErrInvalid)
		case strings.TrimSpace(to) == "":
			return fmt.Errorf("kmsmigrate: the key map has no new key for %q: %w", old, ErrInvalid)
		}
		if was, ok := m.Keys[bareName(old)]; ok && was != to {
			return fmt.Errorf("kmsmigrate: the key map leads %q two ways, to %q and to %q: %w", bareName(old), was, to, ErrInvalid)
		}
	}
	return nil
}

// New returns the new key for an old key's id, alias or ARN. An ARN is also found under its bare id or alias, and the
// other way round, but never under the ARN of another account or region. It fails with [ErrNoKey] where Keys does not name it
// and there is no Default, and with [ErrInvalid] for a bare name that several ARNs share and lead to different keys.
func (m KeyMap) New(old string) (string, error) {
	if strings.TrimSpace(old) == "" {
		return "", fmt.Errorf("kmsmigrate: an empty key id: %w", ErrInvalid)
	}
	if to, ok := m.Keys[old]; ok {
		return to, nil
	}
	name := bareName(old)
	if to, ok := m.Keys[name]; ok {
		return to, nil
	}
	if name == old { // a bare name: its ARN may be known
		var found []string
		for _, known := range slices.Sorted(maps.Keys(m.Keys)) {
			if to := m.Keys[known]; bareName(known) == name && !slices.Contains(found, to) {
				found = append(found, to)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return "", fmt.Errorf("kmsmigrate: the key map leads %q to several new keys: name it by its ARN: %w", old, ErrInvalid)
		}
	}
	if m.Default != "" {
		return m.Default, nil
	}
	return "", fmt.Errorf("kmsmigrate: the key map names no new key for %q, and has no default: %w", old, ErrNoKey)
}

// Pairs makes a Pair of each entry of Keys, named by its old key, in the order of their names, for Config.Pairs. The two
// functions make the keys: those of an alikms endpoint, say. A new key that several entries share is made once. Default
// makes no pair: it is for Config.New.
func (m KeyMap) Pairs(oldKey, newKey func(id string) (Key, error)) ([]Pair, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	made := map[string]Key{}
	var pairs []Pair
	for _, id := range slices.Sorted(maps.Keys(m.Keys)) {
		from, err := oldKey(id)
		if err != nil {
			return nil, fmt.Errorf("kmsmigrate: old key %q: %w", id, err)
		}
		to := m.Keys[id]
		if made[to] == nil {
			if made[to], err = newKey(to); err != nil {
				return nil, fmt.Errorf("kmsmigrate: new key %q: %w", to, err)
			}
		}
		pairs = append(pairs, Pair{Name: id, Old: from, New: made[to]})
	}
	return pairs, nil
}

// bareName strips "acs:kms:<region>:<account>:" and "key/" from an ARN. An alias keeps its "alias/".
func bareName(id string) string {
	if !strings.HasPrefix(id, "acs:kms:") {
		return id
	}
	parts := strings.SplitN(id, ":", 5)
	return strings.TrimPrefix(parts[len(parts)-1], "key/")
}

// doubled finds a name that stands twice in the object of keys: encoding/json would keep the last and say nothing.
func doubled(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	var seen []map[string]bool // one for each open object; nil for an array
	name := false              // the next string is a name
	for {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // the real decoder says what is wrong
		}
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{':
				seen, name = append(seen, map[string]bool{}), true
				continue
			case '[':
				seen = append(seen, nil)
			default:
				seen = seen[:len(seen)-1]
			}
		case string:
			if top := len(seen) - 1; name && top >= 0 {
				if seen[top][t] {
					return fmt.Errorf("kmsmigrate: the key map names %q twice: %w", t, ErrInvalid)
				}
				if top == 0 && t != "default" && t != "keys" { // encoding/json would also take "Keys", and the last of them
					return fmt.Errorf("kmsmigrate: the key map has default and keys, and no %q: %w", t, ErrInvalid)
				}
				seen[top][t] = true
				name = false
				continue
			}
		}
		name = len(seen) > 0 && seen[len(seen)-1] != nil
	}
}
