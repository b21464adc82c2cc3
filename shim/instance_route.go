package shim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// do carries out one operation.
func (r *instances) do(ctx context.Context, c gcsCall) (gcsAnswer, error) {
	phase := r.phase.Current()
	if !phase.Valid() || !r.signing.Current().Valid() {
		return gcsAnswer{}, failedCall(http.StatusInternalServerError, "InternalFailure", "The shim's Phase or Signing is none of the five phases.")
	}
	switch c.action {
	case "Decrypt", "AdvanceDecrypt":
		return r.open(ctx, phase, c)
	case "Sign":
		return r.sign(ctx, c)
	case "Verify":
		return r.verify(ctx, phase, c)
	case "GetPublicKey":
		return r.publicKey(ctx, phase, c)
	case "GetSecretValue":
		s := kmsmigrate.SideOld
		if phase == kmsmigrate.NewOnly || phase != kmsmigrate.OldOnly && r.secrets.has(textOf(c.request, "SecretName")) {
			s = kmsmigrate.SideNew
		}
		return r.send(ctx, s, c)
	case "GenerateRandom": // it belongs to nobody; an old instance that is to be given up must fall silent
		return r.send(ctx, phase.Writes(), c)
	default:
		return r.write(ctx, phase.Writes(), c)
	}
}

// send has a side carry out an operation.
func (r *instances) send(ctx context.Context, s kmsmigrate.Side, c gcsCall) (gcsAnswer, error) {
	at := r.sides[s]
	if at == nil {
		return gcsAnswer{}, failedCall(http.StatusNotFound, "Forbidden.KeyNotFound", fmt.Sprintf("It belongs to the %s side, which the shim is not configured with.", s))
	}
	instance, err := at.get(c.trust)
	if err != nil {
		return gcsAnswer{}, err
	}
	r.stats.count(s)
	_, answer := messages(c.action)
	header, err := instance.Raw(ctx, alikms.InstanceCall{Action: c.action, Request: c.request, Answer: answer, Header: c.header, Attempts: c.attempts})
	if err != nil {
		return gcsAnswer{}, &sideError{s, err}
	}
	return gcsAnswer{message: answer, header: header, side: s}, nil
}

// place is routing.place, with the error of a key that has none.
func (r *instances) place(want kmsmigrate.Side, id string) (kmsmigrate.Side, string, error) {
	s, to, none := r.routing.place(want, id)
	if none != nil {
		return s, to, failedCall(none.status, none.code, none.message)
	}
	return s, to, nil
}

// write carries out an operation that names its key and makes something with it.
func (r *instances) write(ctx context.Context, want kmsmigrate.Side, c gcsCall) (gcsAnswer, error) {
	s, id, err := r.place(want, textOf(c.request, "KeyId"))
	if err != nil {
		return gcsAnswer{}, err
	}
	a, err := r.send(ctx, s, c.named(id))
	if err != nil {
		return gcsAnswer{}, err
	}
	if s == kmsmigrate.SideNew {
		r.known.resolved(id, a.text("KeyId"))
	}
	r.known.learn(r.known.ofAnswer(a.text("KeyId"), s), a.text("KeyId"), a.version(), true)
	return a, nil
}

// trial is a side that may own ciphertext, and the name of the key there.
type trial struct {
	side kmsmigrate.Side
	key  string
}

// open carries out a decryption.
func (r *instances) open(ctx context.Context, phase kmsmigrate.Phase, c gcsCall) (gcsAnswer, error) {
	a, of, err := r.opened(ctx, phase, c)
	if err != nil {
		return gcsAnswer{}, err
	}
	if of == kmsmigrate.SideOld && phase.Rewrites() {
		a.stale = true
		r.stats.stale.Add(1)
		r.renewer.offer(c, a)
	}
	return r.oldNames(a, textOf(c.request, "KeyId")), nil
}

// opened is open without what is done to the answer. It also returns the side whose key it was.
func (r *instances) opened(ctx context.Context, phase kmsmigrate.Phase, c gcsCall) (gcsAnswer, kmsmigrate.Side, error) {
	key, blob := textOf(c.request, "KeyId"), bytesOf(c.request, "CiphertextBlob")
	if phase == kmsmigrate.OldOnly || len(blob) == 0 {
		a, err := r.send(ctx, phase.Writes(), c) // nothing has changed yet, or the service says what is missing
		if err == nil {
			r.known.learn(r.known.ofAnswer(a.text("KeyId"), phase.Writes()), a.text("KeyId"), a.version(), false)
		}
		return a, phase.Writes(), err
	}
	unsure := r.resolve(ctx, kmsmigrate.SideNew, r.known.unresolved())
	version, whole := versionOf(c)
	if version == "" && key == "" {
		return gcsAnswer{}, kmsmigrate.SideUnknown, failedCall(http.StatusBadRequest, "InvalidParam", "The Param CiphertextBlob is invalid: it names no key, as what AdvanceEncrypt returns does, and there is no KeyId with it.")
	}
	var owner kmsmigrate.Side
	var trials []trial
	if version != "" {
		owner = r.known.ofVersion(version)
		for _, s := range order(phase, owner) {
			trials = append(trials, trial{s, key})
		}
	} else {
		owner, trials = r.trials(phase, key)
	}
	var refusals []error
	for _, t := range trials {
		if !phase.Reads(t.side) {
			continue
		}
		sent := c.named(t.key)
		if whole && r.known.ofKey(t.key) != t.side {
			sent = c.named("") // the blob names its key; this name is the other side's
		}
		a, err := r.send(ctx, t.side, sent)
		if err == nil {
			of := r.known.ofAnswer(a.text("KeyId"), t.side)
			r.known.learnOpened(of, t.side, a.text("KeyId"), version)
			if !phase.Reads(of) && unsure != nil && r.known.uncertain(a.text("KeyId")) {
				return gcsAnswer{}, of, unsure
			}
			if !phase.Reads(of) {
				return gcsAnswer{}, of, r.retired(phase)
			}
			return a, of, nil
		}
		if !errors.Is(err, kmsmigrate.ErrForeign) || owner != kmsmigrate.SideUnknown {
			return gcsAnswer{}, t.side, err
		}
		refusals = append(refusals, err)
	}
	switch {
	case len(refusals) == 0 || phase == kmsmigrate.NewOnly:
		return gcsAnswer{}, kmsmigrate.SideUnknown, r.retired(phase)
	case len(refusals) == 1:
		return gcsAnswer{}, kmsmigrate.SideUnknown, refusals[0]
	default:
		return gcsAnswer{}, kmsmigrate.SideUnknown, noneOpens(refusals)
	}
}

// trials is who may own ciphertext that comes with the id of its key, likeliest first, and the side that alone can where that is sure. An
// application that stores what it is answered names the key that wrote; one that goes on naming the old key means the new one, too.
func (r *instances) trials(phase kmsmigrate.Phase, key string) (owner kmsmigrate.Side, list []trial) {
	isNew, isOld := r.known.isKey(kmsmigrate.SideNew, key), r.known.isKey(kmsmigrate.SideOld, key)
	onNew, onOld := trial{kmsmigrate.SideNew, key}, trial{kmsmigrate.SideOld, key}
	switch {
	case isNew && !isOld:
		return kmsmigrate.SideNew, []trial{onNew}
	case isNew: // a restored clone
		return kmsmigrate.SideUnknown, []trial{onNew, onOld}
	case isOld || r.known.samePlace:
		list = []trial{onOld}
	case phase.Writes() == kmsmigrate.SideOld:
		list = []trial{onOld, onNew}
	default:
		list = []trial{onNew, onOld}
	}
	if to, err := r.keys.New(key); err == nil {
		list = append(list, trial{kmsmigrate.SideNew, to})
	}
	return kmsmigrate.SideUnknown, list
}

// versionOf returns the key version that a request names: in its header or in the ciphertext. whole says that it is in the ciphertext, which
// then needs nothing beside it.
func versionOf(c gcsCall) (version string, whole bool) {
	if v := c.header[versionHeader]; v != "" {
		return v, false
	}
	blob := bytesOf(c.request, "CiphertextBlob")
	if c.action != "AdvanceDecrypt" || len(blob) <= 3 || blob[0] != '$' {
		return "", false
	}
	version, whole = kmsmigrate.BlobVersion(blob[3:])
	return version, whole
}

func (r *instances) retired(phase kmsmigrate.Phase) error {
	return failedCall(http.StatusNotFound, "Forbidden.KeyNotFound", fmt.Sprintf("The specified Key is not found: the ciphertext is not the new side's, and phase %s asks no other. Go back to rewrite, and let a sweep move what is left.", phase))
}

// noneOpens is the error for ciphertext that no side opens. A code that says more than "not found" goes first: that side knew the key.
func noneOpens(refusals []error) error {
	said, of := []string{}, refusals[0]
	for _, err := range refusals {
		var from *sideError
		if errors.As(err, &from) {
			said = append(said, fmt.Sprintf("the %s side answers %s", from.side, gcsCode(err)))
		}
		if strings.Contains(gcsCode(of), "NotFound") {
			of = err
		}
	}
	status := http.StatusBadRequest
	if strings.Contains(gcsCode(of), "NotFound") {
		status = http.StatusNotFound
	}
	return failedCall(status, gcsCode(of), fmt.Sprintf("Neither side opens the ciphertext: %s. It is of another key or instance, is damaged, or KeyId, Iv, Algorithm or Aad are not those that it was made with.", strings.Join(said, ", ")))
}

// oldNames puts the names of the old key into an answer of the new side, where that is wanted.
func (r *instances) oldNames(a gcsAnswer, asked string) gcsAnswer {
	if !r.oldIDs || a.side != kmsmigrate.SideNew {
		return a
	}
	id, version := r.known.before(asked, a.text("KeyId"))
	if id != "" {
		setText(a.message, "KeyId", id)
	}
	if version != "" {
		setText(a.message, "KeyVersionId", version)
	}
	if id != "" || version != "" {
		r.stats.oldIDs.Add(1)
	}
	return a
}

// resolve finds the ids of keys that are known by alias alone. The instance API describes no keys, so one byte is encrypted.
// The error is why an alias could not be resolved, or nil.
func (r *instances) resolve(ctx context.Context, s kmsmigrate.Side, aliases []string) error {
	var unsure error
	for _, alias := range aliases {
		id, err := r.idOf(ctx, s, alias)
		if err != nil {
			unsure = err
			continue
		}
		r.known.resolved(alias, id)
	}
	return unsure
}

func (r *instances) idOf(ctx context.Context, s kmsmigrate.Side, alias string) (string, error) {
	request, _ := messages("Encrypt")
	c := gcsCall{action: "Encrypt", request: request}.named(alias)
	setBytes(c.request, "Plaintext", []byte("k"))
	a, err := r.send(ctx, s, c)
	if err != nil {
		return "", err
	}
	return a.text("KeyId"), nil
}
