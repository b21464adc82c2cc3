package shim

import (
	"bytes"
	"context"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// instanceRenewer makes new ciphertext of what was read from the old side, for InstanceConfig.OnStale. It works beside the calls that
// applications wait for: a read is never slower for it, nor fails.
type instanceRenewer struct {
	*aside
	route *instances
	tell  func(old, renewed Stored)

	aliasMu sync.Mutex
	aliases map[string]string // key ids of the old side to their aliases in Keys
}

func newInstanceRenewer(r *instances, tell func(old, renewed Stored)) *instanceRenewer {
	return &instanceRenewer{aside: newAside(renewals), route: r, tell: tell, aliases: map[string]string{}}
}

// offer starts a renewal if there is somebody to tell and a slot is free. The caller may overwrite what it gave and what it is given.
func (w *instanceRenewer) offer(c gcsCall, opened gcsAnswer) {
	if w.tell == nil {
		return
	}
	job := renewal{
		old: Stored{
			KeyID: textOf(c.request, "KeyId"), IV: bytes.Clone(bytesOf(c.request, "Iv")), Ciphertext: bytes.Clone(bytesOf(c.request, "CiphertextBlob")),
			Algorithm: textOf(c.request, "Algorithm"), PaddingMode: textOf(c.request, "PaddingMode"),
		},
		keyID: opened.text("KeyId"), plaintext: bytes.Clone(bytesOf(opened.message, "Plaintext")), aad: bytes.Clone(bytesOf(c.request, "Aad")),
		reads: c.action, trust: c.trust,
	}
	_, job.whole = versionOf(c)
	full := w.start(func() {
		renewed, ok := w.renew(job)
		clear(job.plaintext)
		if !ok || !returns(func() { w.tell(job.old, renewed) }) {
			w.route.stats.failed.Add(1)
			return
		}
		w.route.stats.renewed.Add(1)
	})
	if full {
		w.route.stats.dropped.Add(1)
	}
}

// renewal is ciphertext that was read.
type renewal struct {
	old            Stored
	keyID          string // of the key that opened it
	plaintext, aad []byte
	reads          string // the operation that opened it, and must open the new one
	whole          bool   // it names its key version: an Advance operation made it
	trust          trust
}

// renew encrypts with the new key and has it open the result: nothing is handed out that was not seen to open.
func (w *instanceRenewer) renew(job renewal) (Stored, bool) {
	ctx, cancel := context.WithTimeout(w.ctx, renewalTime)
	defer cancel()
	id, ok := w.newKey(ctx, job)
	if !ok {
		return Stored{}, false
	}
	write := "Encrypt"
	if job.whole {
		write = "AdvanceEncrypt"
	}
	request, _ := messages(write)
	setBytes(request, "Plaintext", job.plaintext)
	setBytes(request, "Aad", job.aad)
	setText(request, "Algorithm", job.old.Algorithm)
	setText(request, "PaddingMode", job.old.PaddingMode)
	made, err := w.route.send(ctx, kmsmigrate.SideNew, gcsCall{action: write, request: request, trust: job.trust}.named(id))
	if err != nil {
		return Stored{}, false
	}
	renewed := Stored{
		KeyID: made.text("KeyId"), IV: bytesOf(made.message, "Iv"), Ciphertext: bytesOf(made.message, "CiphertextBlob"),
		Algorithm: made.text("Algorithm"), PaddingMode: made.text("PaddingMode"),
	}
	request, _ = messages(job.reads)
	setBytes(request, "CiphertextBlob", renewed.Ciphertext)
	setBytes(request, "Aad", job.aad)
	setText(request, "Algorithm", job.old.Algorithm)
	setText(request, "PaddingMode", job.old.PaddingMode)
	if !job.whole {
		setText(request, "KeyId", renewed.KeyID)
		setBytes(request, "Iv", renewed.IV)
	}
	back, err := w.route.send(ctx, kmsmigrate.SideNew, gcsCall{action: job.reads, request: request, trust: job.trust})
	if err != nil || !bytes.Equal(bytesOf(back.message, "Plaintext"), job.plaintext) || back.text("KeyId") != renewed.KeyID {
		return Stored{}, false
	}
	w.route.known.resolved(id, renewed.KeyID)
	w.route.known.learn(kmsmigrate.SideNew, renewed.KeyID, made.version(), true)
	return renewed, true
}

// newKey returns what Keys calls the new key: by the old one's id, by the name that the application gave it, or by an alias that names it.
func (w *instanceRenewer) newKey(ctx context.Context, job renewal) (string, bool) {
	for _, name := range []func() string{
		func() string { return job.keyID },
		func() string { return job.old.KeyID },
		func() string { return w.alias(ctx, job.keyID) },
	} {
		if s, id, err := w.route.place(kmsmigrate.SideNew, name()); err == nil && s == kmsmigrate.SideNew && id != "" {
			return id, true
		}
	}
	return "", false
}

// alias returns the alias in Keys that names an old key, or "". Each alias is asked about until an answer came.
func (w *instanceRenewer) alias(ctx context.Context, keyID string) string {
	w.aliasMu.Lock()
	defer w.aliasMu.Unlock()
	asked := map[string]bool{}
	for _, alias := range w.aliases {
		asked[alias] = true
	}
	for name := range w.route.keys.Keys {
		if w.aliases[keyID] == "" && isAlias(bareName(name)) && !asked[name] {
			if id, err := w.route.idOf(ctx, kmsmigrate.SideOld, name); err == nil && id != "" {
				w.aliases[id] = name
			}
		}
	}
	return w.aliases[keyID]
}
