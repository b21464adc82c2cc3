package alikms

import (
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// owners is what one Key knows about whose version ids are whose. Nothing in it comes from a call that failed.
type owners struct {
	alias bool // the key is named by an alias, which can be moved to another key

	mu       sync.RWMutex
	ids      []string          // key ids that are this key: one, or more for an alias that was moved
	versions map[string]string // version id to the key that a decryption or a list said it is of
	waiting  map[string]bool   // version ids that nobody knew, until the next list
	resolved time.Time         // when the service last said what the alias names
	listed   time.Time         // when versions were last asked for, with success or not
}

// mostVersions bounds what is remembered: a key has some tens of versions, and ids of others come from blobs that anybody
// may have written.
const mostVersions = 4096

func newOwners(name keyName, versions []string) *owners {
	o := &owners{alias: name.id == "", versions: map[string]string{}, waiting: map[string]bool{}}
	if name.id != "" {
		o.ids = []string{name.id}
	}
	for _, v := range versions {
		o.versions[v] = name.id
	}
	return o
}

// judge tells whose a version id is.
func (o *owners) judge(version string) (keyID string, owned kmsmigrate.Ownership) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	keyID, derived := kmsmigrate.KeyOfVersion(version)
	if of, known := o.versions[version]; known {
		if o.mine(of) {
			return of, kmsmigrate.Mine
		}
		if of == notOurs {
			return keyID, kmsmigrate.Foreign
		}
		if o.alias {
			return of, kmsmigrate.Unknown // the alias may have been moved to that key meanwhile
		}
		return of, kmsmigrate.Foreign
	}
	if !derived {
		return "", kmsmigrate.Unknown
	}
	if o.mine(keyID) {
		return keyID, kmsmigrate.Mine
	}
	// A key that was born with a 3.0 id has 3.0 version ids that begin with it. A key that the console's tool moved keeps
	// its UUID and gets version ids that do not: for such a key, and for an alias, the id proves nothing.
	if !o.alias && isNew(o.ids[0]) {
		return keyID, kmsmigrate.Foreign
	}
	return keyID, kmsmigrate.Unknown
}

// notOurs marks version ids that a complete list of this key's versions lacks.
const notOurs = "-"

func (o *owners) mine(keyID string) bool {
	for _, id := range o.ids {
		if id == keyID {
			return true
		}
	}
	return o.alias && keyID == "" // configured for the alias
}

// has reports whether keyID is known to be this key.
func (o *owners) has(keyID string) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.mine(keyID)
}

// keyID returns the latest key id that is known, or nothing.
func (o *owners) keyID() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if len(o.ids) == 0 {
		return ""
	}
	return o.ids[len(o.ids)-1]
}

// isKey records that the key is keyID, as the service said.
func (o *owners) isKey(keyID string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alias {
		o.resolved = now
	}
	if !o.mine(keyID) {
		o.ids = append(o.ids, keyID)
	}
}

// isOf records what a decryption that succeeded told.
func (o *owners) isOf(version, keyID string) {
	o.mu.RLock()
	known := o.versions[version] == keyID
	o.mu.RUnlock()
	if known {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.versions) < mostVersions {
		o.versions[version] = keyID
	}
}

// relist reports whether it is time to list the versions because of an id that nobody knows. It says so once per
// interval, and to one caller.
func (o *owners) relist(version string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) < mostVersions {
		o.waiting[version] = true
	}
	if now.Sub(o.listed) < refreshInterval {
		return false
	}
	o.listed = now
	return true
}

// list records a complete list of the versions of keyID. Ids that were seen before it was asked for and that it lacks
// are another key's, where the key has a 3.0 id; a list of a key that was moved may lack the ids that it had before.
func (o *owners) list(keyID string, versions []string, asked []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range versions {
		if len(o.versions) < mostVersions {
			o.versions[v] = keyID
		}
	}
	for _, v := range asked {
		delete(o.waiting, v)
		if _, known := o.versions[v]; !known && !o.alias && isNew(keyID) && len(o.versions) < mostVersions {
			o.versions[v] = notOurs
		}
	}
}

// asking returns the ids that a list is to settle.
func (o *owners) asking() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := make([]string, 0, len(o.waiting))
	for v := range o.waiting {
		ids = append(ids, v)
	}
	return ids
}

// stale reports whether an alias has not been resolved for some time.
func (o *owners) stale(now time.Time) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.alias && now.Sub(o.resolved) >= refreshInterval
}

// refreshInterval bounds how often the service is asked about a key because of ciphertext that nobody knows. Reading keys
// is limited to 50 calls a second for a whole account and region.
const refreshInterval = time.Minute
