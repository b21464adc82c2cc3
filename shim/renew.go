package shim

import (
	"context"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// renewer makes new ciphertext of what was read from the old side, for Config.OnStale. It works beside the calls that
// applications wait for: a read is never slower for it, nor fails.
type renewer struct {
	*aside
	router *router
	tell   func(old, renewed string)

	aliasMu sync.Mutex
	aliases map[string]string // key ids of the old side to their aliases in Keys
}

const (
	renewals    = 8 // at once; what comes while all are busy is left for the next read
	renewalTime = 30 * time.Second
)

func newRenewer(r *router, tell func(old, renewed string)) *renewer {
	return &renewer{aside: newAside(renewals), router: r, tell: tell}
}

// offer starts a renewal if there is somebody to tell and a slot is free.
func (w *renewer) offer(p params, opened *answer) {
	if w.tell == nil {
		return
	}
	old, context, keyID, plaintext := p["CiphertextBlob"], p["EncryptionContext"], opened.text("KeyId"), opened.text("Plaintext")
	full := w.start(func() {
		if blob := w.renew(context, keyID, plaintext); blob != "" && returns(func() { w.tell(old, blob) }) {
			w.router.stats.renewed.Add(1)
		} else {
			w.router.stats.failed.Add(1)
		}
	})
	if full {
		w.router.stats.dropped.Add(1)
	}
}

// renew encrypts with the new key and has it open the result: nothing is handed out that was not seen to open. It returns "" where that fails;
// the ciphertext then stays the old side's until it is read again.
func (w *renewer) renew(encryptionContext, keyID, plaintext string) string {
	ctx, cancel := context.WithTimeout(w.ctx, renewalTime)
	defer cancel()
	_, id, refused := w.router.place(kmsmigrate.SideNew, keyID)
	if refused != nil { // the answer of a Decrypt names the key by its id, and Keys may know it by its alias alone
		if _, id, refused = w.router.place(kmsmigrate.SideNew, w.alias(ctx, keyID)); refused != nil || id == "" {
			return ""
		}
	}
	made := w.router.send(ctx, kmsmigrate.SideNew, false, "Encrypt", params{"KeyId": id, "Plaintext": plaintext, "EncryptionContext": encryptionContext})
	if !made.ok() {
		return ""
	}
	blob := made.text("CiphertextBlob")
	back := w.router.send(ctx, kmsmigrate.SideNew, false, "Decrypt", params{"CiphertextBlob": blob, "EncryptionContext": encryptionContext})
	if !back.ok() || back.text("Plaintext") != plaintext || back.text("KeyId") != made.text("KeyId") {
		return ""
	}
	w.router.known.resolved(id, made.text("KeyId"))
	w.router.known.learn(kmsmigrate.SideNew, made.text("KeyId"), made.text("KeyVersionId"), true)
	return blob
}

// alias returns the alias in Keys that names an old key, or "". Each alias is asked about until an answer came.
func (w *renewer) alias(ctx context.Context, keyID string) string {
	w.aliasMu.Lock()
	defer w.aliasMu.Unlock()
	known := map[string]bool{}
	for id, alias := range w.aliases {
		if id == keyID {
			return alias
		}
		known[alias] = true
	}
	for name := range w.router.keys.Keys {
		if !isAlias(bareName(name)) || known[name] {
			continue
		}
		a := w.router.send(ctx, kmsmigrate.SideOld, true, "DescribeKey", params{"KeyId": name})
		if id := describedKey(a); id != "" {
			if w.aliases == nil {
				w.aliases = map[string]string{}
			}
			w.aliases[id] = name
		}
	}
	return w.aliases[keyID]
}
