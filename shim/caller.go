package shim

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
)

// Caller is an application that may use a Handler. It signs with an access key that exists nowhere else: make one up for each application.
// It prints without its secret.
type Caller struct {
	// AccessKeyID and AccessKeySecret are what the application's SDK is configured with. The id has 1 to 80 letters, digits, dots, dashes
	// and underscores; the secret has 16 characters or more.
	AccessKeyID, AccessKeySecret string
	// Actions are the operations that it may ask for: "Encrypt". "*" is all of them.
	Actions []string
	// Keys are the old keys that it may name, by id, alias or ARN, each as the application writes it; the new key that takes its place goes
	// with it. Ciphertext does not name its key, so a caller may decrypt what keys wrote that stand here by id. "*" is all keys.
	//
	// A new key that Config.Keys names by its alias is asked for by DescribeKey on the new side, once for all callers: ciphertext of it is
	// refused while that is not answered. The access key of the new side needs kms:DescribeKey then; name new keys by id to do without.
	Keys []string
	// SharesNewKeys says that the caller may share a new key with callers that have other old keys. From write-new on, each of them can then
	// decrypt what any of them writes: one new key cannot keep apart what two old ones did. Without it on both, NewHandler refuses them.
	SharesNewKeys bool
	// Secrets are the names of the secrets that it may ask for. "*" is all of them.
	Secrets []string
}

// String has everything but the secret.
func (c Caller) String() string {
	return fmt.Sprintf("shim.Caller{AccessKeyID:%q Actions:%q Keys:%q SharesNewKeys:%t Secrets:%q}", c.AccessKeyID, c.Actions, c.Keys, c.SharesNewKeys, c.Secrets)
}

// GoString is String.
func (c Caller) GoString() string { return c.String() }

// LogValue is String.
func (c Caller) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON makes a text of it, String.
func (c Caller) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// caller is a Caller, ready to be looked at.
type caller struct {
	Caller
	secret  func() string   // not in a field, which fmt finds behind a pointer, too
	names   map[string]bool // of keys, old and new, without what an ARN puts in front
	aliases []string        // those of names that may be new keys
	seen    *seen
}

func (c Caller) check(i int, cfg Config) error {
	switch {
	case !plain(c.AccessKeyID):
		return invalid("caller %d: the AccessKeyID must be letters, digits, dots, dashes and underscores", i+1)
	case len(c.AccessKeySecret) < 16:
		return invalid("caller %d: the AccessKeySecret has fewer than 16 characters", i+1)
	case c.AccessKeySecret == cfg.Old.AccessKeySecret || c.AccessKeySecret == cfg.New.AccessKeySecret:
		return invalid("caller %d has the access key of a side: make one up that is good for nothing else", i+1)
	case len(c.Actions) == 0:
		return invalid("caller %d has no Actions", i+1)
	}
	return nil
}

func newCaller(c Caller, cfg Config) *caller {
	secret := c.AccessKeySecret
	c.AccessKeySecret = ""
	k := &caller{Caller: c, secret: func() string { return secret }, names: map[string]bool{}, seen: newSeen()}
	for _, key := range c.Keys {
		k.names[bareName(key)] = true
		if to, err := cfg.Keys.New(key); err == nil && key != "*" {
			k.names[bareName(to)] = true
		}
	}
	targets := map[string]bool{bareName(cfg.Keys.Default): true}
	for _, to := range cfg.Keys.Keys {
		targets[bareName(to)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(k.names)) {
		if isAlias(name) && targets[name] {
			k.aliases = append(k.aliases, name)
		}
	}
	return k
}

// has reports whether a key stands in the lists of the caller.
func (c *caller) has(key string) bool { return slices.Contains(c.Keys, "*") || c.names[bareName(key)] }

// checkShared finds callers that one new key would let read each other's ciphertext, where their old keys did not.
func checkShared(callers []Caller, cfg Config) error {
	type use struct {
		of   int
		keys []string
	}
	uses := map[string][]use{} // by new key
	for i, c := range callers {
		if slices.Contains(c.Keys, "*") {
			continue // it reads everything, and says so
		}
		mine := map[string][]string{}
		for _, key := range c.Keys {
			if to, err := cfg.Keys.New(key); err == nil && bareName(to) != bareName(key) {
				mine[bareName(to)] = append(mine[bareName(to)], bareName(key))
			}
		}
		for to, keys := range mine {
			slices.Sort(keys)
			uses[to] = append(uses[to], use{i, slices.Compact(keys)})
		}
	}
	for _, to := range slices.Sorted(maps.Keys(uses)) {
		for n, a := range uses[to] {
			for _, b := range uses[to][n+1:] {
				if !slices.Equal(a.keys, b.keys) && (!callers[a.of].SharesNewKeys || !callers[b.of].SharesNewKeys) {
					return invalid("callers %d and %d have different old keys and one new key, %s, so that each could decrypt what the other writes from write-new on: give each a new key of its own, list the same Keys, or set SharesNewKeys of both", a.of+1, b.of+1, clip(to))
				}
			}
		}
	}
	return nil
}
