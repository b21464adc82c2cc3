package shim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// opener says whether whoever asks may have what a key wrote: nil, or the answer to give instead. A router asks it as soon as the key is
// known, before anything is done with the plaintext. A router without one serves a process that may do everything.
type opener func(ctx context.Context, key string) *answer

type openerKey struct{}

func mayOpen(ctx context.Context, key string) *answer {
	if ask, ok := ctx.Value(openerKey{}).(opener); ok {
		return ask(ctx, key)
	}
	return nil
}

// mayAsk returns nil if the caller may ask for an action with everything that the request names.
func (h *Handler) mayAsk(ctx context.Context, who *caller, action string, p params) *answer {
	if !slices.Contains(who.Actions, "*") && !slices.Contains(who.Actions, action) {
		return forbidden()
	}
	for name, value := range p {
		switch {
		case name == "SecretName" && !slices.Contains(who.Secrets, "*") && !slices.Contains(who.Secrets, value):
			return forbidden()
		case strings.HasSuffix(name, "KeyId") || name == "AliasName" || name == "ProtectedResourceArn" || strings.HasPrefix(name, "ResourceId"):
			if refused := h.mayUse(ctx, who, value); refused != nil {
				return refused
			}
		}
	}
	return nil
}

// mayUse returns nil if the caller has a key, by the name that is given or, for a new key, by an alias that names it.
func (h *Handler) mayUse(ctx context.Context, who *caller, key string) *answer {
	if who.has(key) {
		return nil
	}
	var unknown *answer
	if h.router.phase.Current() != kmsmigrate.OldOnly && !isAlias(bareName(key)) {
		for _, alias := range who.aliases {
			named, trouble := h.aliases.name(ctx, alias, bareName(key))
			if named {
				return nil
			}
			if trouble != nil {
				unknown = trouble
			}
		}
	}
	if unknown != nil {
		return unknown
	}
	return forbidden()
}

// aliases knows which keys the aliases of the new side name. An alias that is moved to another key names both from then on: what the
// first wrote is still there.
type aliases struct {
	router *router
	turn   chan struct{} // one asks at a time, and who waits has its answer
	mu     sync.Mutex
	known  map[string]*named
}

type named struct {
	ids     map[string]bool
	at      time.Time
	trouble *answer // in place of the last answer
}

const (
	aliasFor   = 10 * time.Second // how long an alias is held to be where it was, for keys that are none of its own
	troubleFor = time.Second
)

func newAliases(r *router) *aliases {
	return &aliases{router: r, turn: make(chan struct{}, 1), known: map[string]*named{}}
}

// name reports whether an alias names a key, or what kept it from being found out.
func (a *aliases) name(ctx context.Context, alias, key string) (yes bool, trouble *answer) {
	if yes, trouble, fresh := a.look(alias, key); fresh {
		return yes, trouble
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return false, failed(http.StatusServiceUnavailable, "ServiceUnavailableTemporary", "There was no time to find out which key an alias of the new side names.")
	}
	if yes, trouble, fresh := a.look(alias, key); fresh {
		return yes, trouble
	}
	got := a.router.send(ctx, kmsmigrate.SideNew, true, "DescribeKey", params{"KeyId": alias})
	id := describedKey(got)
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.known[alias]
	if is == nil {
		is = &named{ids: map[string]bool{}}
		a.known[alias] = is
	}
	is.at, is.trouble = time.Now(), nil
	switch {
	case id != "":
		is.ids[id] = true
	case ctx.Err() != nil:
		is.at = time.Time{} // it says nothing to the next
		return false, got
	default:
		status, code := got.status, got.text("Code")
		if got.ok() {
			status, code = http.StatusInternalServerError, "InternalFailure"
		}
		is.trouble = failed(status, code, fmt.Sprintf("The shim could not find out by DescribeKey which key %s names on the new side, so it does not know whose ciphertext this is. Allow it kms:DescribeKey, or name the new key by its id in Keys.", clip(alias)))
	}
	return is.ids[key], is.trouble
}

// look also reports whether what is known is fresh enough to answer with.
func (a *aliases) look(alias, key string) (yes bool, trouble *answer, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.known[alias]
	switch {
	case is == nil:
		return false, nil, false
	case is.ids[key]:
		return true, nil, true
	case is.trouble != nil:
		return false, is.trouble, time.Since(is.at) < troubleFor
	default:
		return false, nil, time.Since(is.at) < aliasFor
	}
}
