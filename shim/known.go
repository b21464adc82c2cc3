package shim

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// known is what is known of whose keys and key versions are whose: from the config, and from answers that succeeded, never from one that
// failed.
type known struct {
	samePlace  bool // both sides may be one place: each may open what the other's keys wrote
	oneAccount bool // and they are

	mu       sync.RWMutex
	keys     [3]map[string]bool         // by side: key ids and aliases, without what an ARN puts in front
	versions map[string]kmsmigrate.Side // key version to side
	primary  map[string]string          // old key id to the version it last encrypted with
	former   map[string]string          // new key id to the only old one that leads to it, aliases left out, or ""
	named    map[string]string          // old alias to the key id that the old side answered under it
	pending  []string                   // aliases of new keys whose ids are not known
}

// mostKnown bounds what is remembered: the ids in blobs are whatever somebody wrote there.
const mostKnown = 4096

func newKnown(cfg Config) *known {
	k := &known{versions: map[string]kmsmigrate.Side{}, primary: map[string]string{}, former: map[string]string{}, named: map[string]string{}}
	k.samePlace = cfg.Old.Region == cfg.New.Region && cfg.Old.Instance == cfg.New.Instance && sameInstance(cfg.OldInstance, cfg.NewInstance) &&
		(cfg.Old.Account == "" || cfg.New.Account == "" || cfg.Old.Account == cfg.New.Account)
	k.oneAccount = k.samePlace && (cfg.Old.Account != "" && cfg.New.Account != "" || sameCredential(cfg.Old, cfg.New))
	for s := range k.keys {
		k.keys[s] = map[string]bool{}
	}
	for old, to := range cfg.Keys.Keys {
		k.keys[kmsmigrate.SideOld][bareName(old)] = true
		k.keys[kmsmigrate.SideNew][bareName(to)] = true
		if isAlias(bareName(old)) {
			continue // it is no KeyId of an answer, and its key may be another entry
		}
		if was, ok := k.former[bareName(to)]; ok && was != bareName(old) {
			k.former[bareName(to)] = ""
		} else {
			k.former[bareName(to)] = bareName(old)
		}
	}
	if cfg.Keys.Default != "" {
		k.keys[kmsmigrate.SideNew][bareName(cfg.Keys.Default)] = true
		k.former[bareName(cfg.Keys.Default)] = ""
	}
	for name := range k.keys[kmsmigrate.SideNew] {
		if isAlias(name) {
			k.pending = append(k.pending, name)
		}
	}
	slices.Sort(k.pending)
	// The new side comes second: what a restored clone has on both is the new side's.
	for id, versions := range cfg.Old.Versions {
		k.keys[kmsmigrate.SideOld][bareName(id)] = true
		for _, v := range versions {
			k.versions[v] = kmsmigrate.SideOld
			k.primary[bareName(id)] = v
		}
	}
	for id, versions := range cfg.New.Versions {
		k.keys[kmsmigrate.SideNew][bareName(id)] = true
		for _, v := range versions {
			k.versions[v] = kmsmigrate.SideNew
		}
	}
	return k
}

// sameInstance reports whether both sides are one instance, or none.
func sameInstance(a, b *alikms.InstanceConfig) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Endpoint == b.Endpoint
}

// sameCredential reports whether two endpoints sign with one access key. Two access keys may be of one account, too: nobody knows.
func sameCredential(a, b alikms.GatewayConfig) bool {
	if a.Credential == nil || b.Credential == nil {
		return a.Credential == b.Credential && a.AccessKeyID == b.AccessKeyID
	}
	return reflect.ValueOf(a.Credential).Comparable() && reflect.ValueOf(b.Credential).Comparable() && a.Credential == b.Credential
}

func isAlias(name string) bool { return strings.HasPrefix(name, "alias/") }

// isKey reports whether a key id, alias or ARN is known to be of a side.
func (k *known) isKey(s kmsmigrate.Side, id string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[s][bareName(id)]
}

// ofKey returns the side that a key belongs to: the new one where that is known, else the old one. A key that both have, as after
// backup and restore, is the old one's until the phase says otherwise.
func (k *known) ofKey(id string) kmsmigrate.Side {
	if k.isKey(kmsmigrate.SideNew, id) && !k.isKey(kmsmigrate.SideOld, id) {
		return kmsmigrate.SideNew
	}
	return kmsmigrate.SideOld
}

// ofVersion returns the side that a key version belongs to, or SideUnknown.
func (k *known) ofVersion(version string) kmsmigrate.Side {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if s, ok := k.versions[version]; ok {
		return s
	}
	if id, ok := kmsmigrate.KeyOfVersion(version); ok {
		for _, s := range []kmsmigrate.Side{kmsmigrate.SideNew, kmsmigrate.SideOld} {
			if k.keys[s][id] {
				return s
			}
		}
	}
	return kmsmigrate.SideUnknown
}

// ofAnswer returns the side of the key that an answer names, given who answered.
func (k *known) ofAnswer(keyID string, asked kmsmigrate.Side) kmsmigrate.Side {
	isNew, isOld := k.isKey(kmsmigrate.SideNew, keyID), k.isKey(kmsmigrate.SideOld, keyID)
	switch {
	case isNew && isOld:
		return asked
	case isNew:
		return kmsmigrate.SideNew
	case isOld || k.samePlace:
		return kmsmigrate.SideOld
	default:
		return asked
	}
}

// learnOpened records what an answer to a decryption said, given who answered. What only the new side was seen to open is not remembered as
// the old one's: the sides may be two accounts, and then the old one never opens it.
func (k *known) learnOpened(of, asked kmsmigrate.Side, keyID, version string) {
	if of == asked {
		k.learn(of, keyID, version, false)
	}
}

// uncertain reports whether keyID may be that of a new key whose alias nobody could ask about.
func (k *known) uncertain(keyID string) bool {
	return len(k.unresolved()) > 0 && !k.isKey(kmsmigrate.SideOld, keyID) && !k.isKey(kmsmigrate.SideNew, keyID)
}

// learn records what an answer of a side said: that keyID is its, and what version the key's ciphertext begins with.
func (k *known) learn(s kmsmigrate.Side, keyID, version string, wrote bool) {
	k.mu.RLock()
	done := k.versions[version] == s && k.keys[s][bareName(keyID)] && (!wrote || s != kmsmigrate.SideOld || k.primary[bareName(keyID)] == version)
	k.mu.RUnlock()
	if done {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.samePlace && s == kmsmigrate.SideOld && len(k.pending) > 0 {
		return // it may be a new key whose alias nobody has asked about yet
	}
	if version != "" && len(k.versions) < mostKnown {
		k.versions[version] = s
	}
	if len(k.keys[s]) < mostKnown {
		k.keys[s][bareName(keyID)] = true
		if wrote && s == kmsmigrate.SideOld {
			k.primary[bareName(keyID)] = version
		}
	}
}

// unresolved returns the aliases of new keys whose ids must be known, for both sides open everything.
func (k *known) unresolved() []string {
	if !k.samePlace {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.pending
}

// resolved records that an alias of the new side names keyID.
func (k *known) resolved(alias, keyID string) {
	alias, keyID = bareName(alias), bareName(keyID)
	if !isAlias(alias) || keyID == "" || isAlias(keyID) {
		return
	}
	k.mu.RLock()
	done := k.keys[kmsmigrate.SideNew][keyID] && !slices.Contains(k.pending, alias)
	k.mu.RUnlock()
	if done {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[kmsmigrate.SideNew][keyID] = true
	k.pending = slices.DeleteFunc(slices.Clone(k.pending), func(name string) bool { return name == alias })
}

// before returns what the old side called a key, and the version that it last encrypted with, as far as known.
func (k *known) before(askedID, newID string) (keyID, version string) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	keyID = bareName(askedID)
	if isAlias(keyID) {
		keyID = k.named[keyID]
	}
	if keyID == "" || k.keys[kmsmigrate.SideNew][keyID] {
		keyID = k.former[bareName(newID)]
	}
	return keyID, k.primary[keyID]
}

// answeredUnder records which key an alias of the old side names.
func (k *known) answeredUnder(alias, keyID string) {
	alias = bareName(alias)
	if !isAlias(alias) {
		return
	}
	k.mu.RLock()
	done := k.named[alias] == keyID || len(k.named) >= mostKnown
	k.mu.RUnlock()
	if !done {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.named[alias] = keyID
	}
}
