package shim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// do carries out one operation. It never fails: what goes wrong is an error answer with a documented code.
func (r *router) do(ctx context.Context, action string, p params) *answer {
	ctx, cancel := inTime(ctx)
	defer cancel()
	phase := r.phase.Current()
	if !phase.Valid() || !r.signing.Current().Valid() {
		return failed(http.StatusInternalServerError, "InternalFailure", "The shim's Phase or Signing is none of the five phases.")
	}
	switch action {
	case "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateAndExportDataKey", "AdvanceEncrypt", "AdvanceGenerateDataKey":
		return explainContext(r.write(ctx, phase.Writes(), action, p), p, "EncryptionContext")
	case "Decrypt", "ExportDataKey", "AdvanceDecrypt":
		return explainContext(r.open(ctx, phase, action, p), p, "EncryptionContext")
	case "ReEncrypt":
		return r.reEncrypt(ctx, phase, p)
	case "AsymmetricEncrypt":
		return r.write(ctx, phase.Writes(), action, p)
	case "AsymmetricDecrypt":
		return r.asymmetricDecrypt(ctx, phase, p)
	case "AsymmetricSign":
		return r.sign(ctx, p)
	case "AsymmetricVerify":
		return r.verify(ctx, p)
	case "GetPublicKey":
		return r.publicKey(ctx, p)
	case "GetSecretValue":
		return r.send(ctx, r.secretSide(phase, p["SecretName"]), false, action, p)
	default:
		return r.control(ctx, phase, action, p)
	}
}

// inTime ends a call before its caller's deadline, so that an answer of the shim arrives where otherwise the SDK would make an error of its
// own, with the URL and all that stands in it.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(500*time.Millisecond, time.Until(deadline)/10)))
}

// send has a side carry out an operation.
func (r *router) send(ctx context.Context, s kmsmigrate.Side, control bool, action string, p params) *answer {
	at := r.sides[s]
	if at == nil {
		return failed(http.StatusNotFound, "Forbidden.KeyNotFound", fmt.Sprintf("It belongs to the %s side, which the shim is not configured with.", s))
	}
	r.stats.count(s)
	if control {
		return at.control.call(ctx, action, p)
	}
	return at.data.call(ctx, action, p)
}

// place is routing.place, with the answer to a key that has none.
func (r *router) place(want kmsmigrate.Side, id string) (kmsmigrate.Side, string, *answer) {
	s, to, none := r.routing.place(want, id)
	if none != nil {
		return s, to, failed(none.status, none.code, none.message)
	}
	return s, to, nil
}

// write carries out an operation that names its key and makes something with it.
func (r *router) write(ctx context.Context, want kmsmigrate.Side, action string, p params) *answer {
	s, id, refused := r.place(want, p["KeyId"])
	if refused != nil {
		return refused
	}
	sent := p.with("KeyId", id)
	if strings.HasPrefix(action, "Asymmetric") && s == kmsmigrate.SideNew {
		if sent, refused = r.renamed(p, id); refused != nil {
			return refused
		}
	}
	a := r.send(ctx, s, false, action, sent)
	if !a.ok() {
		return r.explainKey(a, id)
	}
	if s == kmsmigrate.SideNew {
		r.known.resolved(id, a.text("KeyId"))
	}
	version := a.text("KeyVersionId")
	if !strings.HasPrefix(action, "Asymmetric") {
		r.known.learn(r.known.ofAnswer(a.text("KeyId"), s), a.text("KeyId"), version, true)
		if s == kmsmigrate.SideOld {
			r.known.answeredUnder(p["KeyId"], a.text("KeyId"))
		}
	}
	return r.oldNames(a, s, p["KeyId"])
}

// renamed names a new asymmetric key, and its version. A key that kept its id when it was moved keeps its versions, too.
func (r *router) renamed(p params, id string) (params, *answer) {
	if bareName(id) == bareName(p["KeyId"]) {
		return p, nil
	}
	p = p.with("KeyId", id)
	version := r.keyVersions[id]
	if version == "" && r.sides[kmsmigrate.SideNew] != nil && r.sides[kmsmigrate.SideNew].unversioned {
		return p.with("KeyVersionId", ""), nil
	}
	if version == "" {
		return nil, failed(http.StatusNotFound, "Forbidden.KeyVersionNotFound", fmt.Sprintf("The shim's KeyVersions names no version of the new key %s: asymmetric operations need one.", clip(id)))
	}
	return p.with("KeyVersionId", version), nil
}

// oldNames puts the names of the old key into an answer of the new side, where that is wanted.
func (r *router) oldNames(a *answer, s kmsmigrate.Side, asked string) *answer {
	if !r.oldIDs || s != kmsmigrate.SideNew || !a.ok() {
		return a
	}
	id, version := r.known.before(asked, a.text("KeyId"))
	fields := map[string]any{}
	if id != "" {
		fields["KeyId"] = id
	}
	if version != "" {
		fields["KeyVersionId"] = version
	}
	if len(fields) > 0 {
		r.stats.oldIDs.Add(1)
		a.set(fields)
	}
	return a
}

// open carries out an operation on ciphertext that names its key version itself.
func (r *router) open(ctx context.Context, phase kmsmigrate.Phase, action string, p params) *answer {
	a, s := r.opened(ctx, phase, action, p)
	if !a.ok() {
		return a
	}
	if refused := mayOpen(ctx, a.text("KeyId")); refused != nil {
		return refused
	}
	if action == "Decrypt" && s == kmsmigrate.SideOld && phase.Rewrites() {
		a.stale = true
		r.stats.stale.Add(1)
		r.renewer.offer(p, a)
	}
	return r.oldNames(a, s, "")
}

// opened is open without what is done to the answer. It also returns the side whose key it was.
func (r *router) opened(ctx context.Context, phase kmsmigrate.Phase, action string, p params) (*answer, kmsmigrate.Side) {
	if phase == kmsmigrate.OldOnly || p["CiphertextBlob"] == "" {
		a := r.send(ctx, phase.Writes(), false, action, p) // nothing has changed yet, or the service says what is missing
		if a.ok() {
			r.known.learn(r.known.ofAnswer(a.text("KeyId"), phase.Writes()), a.text("KeyId"), blobVersion(p["CiphertextBlob"]), false)
		}
		return a, phase.Writes()
	}
	version := blobVersion(p["CiphertextBlob"])
	if version == "" {
		return notABlob(), kmsmigrate.SideUnknown
	}
	unsure := r.resolve(ctx)
	owner := r.known.ofVersion(version)
	if owner != kmsmigrate.SideUnknown && !phase.Reads(owner) {
		return r.retired(phase), kmsmigrate.SideUnknown
	}
	var first *answer
	for _, s := range order(phase, owner) {
		a := r.send(ctx, s, false, action, p)
		if a.ok() {
			of := r.known.ofAnswer(a.text("KeyId"), s)
			r.known.learnOpened(of, s, a.text("KeyId"), version)
			if !phase.Reads(of) && unsure != nil && r.known.uncertain(a.text("KeyId")) {
				return unsure, kmsmigrate.SideUnknown
			}
			if !phase.Reads(of) {
				return r.retired(phase), kmsmigrate.SideUnknown
			}
			return a, of
		}
		if owner != kmsmigrate.SideUnknown || !r.sides[s].data.foreign(a.text("Code")) {
			return a, s
		}
		if first != nil {
			return neither(first, a), s
		}
		first = a
	}
	if phase == kmsmigrate.NewOnly {
		return r.retired(phase), kmsmigrate.SideUnknown
	}
	return first, kmsmigrate.SideUnknown
}

// order is who is asked for ciphertext: its owner alone, or where nobody knows, the likelier side first.
func order(phase kmsmigrate.Phase, owner kmsmigrate.Side) []kmsmigrate.Side {
	switch {
	case owner != kmsmigrate.SideUnknown:
		return []kmsmigrate.Side{owner}
	case phase == kmsmigrate.NewOnly:
		return []kmsmigrate.Side{kmsmigrate.SideNew}
	case phase.Writes() == kmsmigrate.SideNew:
		return []kmsmigrate.Side{kmsmigrate.SideNew, kmsmigrate.SideOld}
	default:
		return []kmsmigrate.Side{kmsmigrate.SideOld, kmsmigrate.SideNew}
	}
}

func (r *router) retired(phase kmsmigrate.Phase) *answer {
	return failed(http.StatusNotFound, "Forbidden.KeyNotFound", fmt.Sprintf("The specified Key is not found: the ciphertext is not the new side's, and phase %s asks no other. Go back to rewrite, and let a sweep move what is left.", phase))
}

// neither is the answer for ciphertext that neither side opens. A code that says more than "not found" goes first: that side knew the key.
func neither(first, second *answer) *answer {
	named := first
	if strings.Contains(first.text("Code"), "NotFound") {
		named = second
	}
	return failedAs(named.status, named.text("Code"), fmt.Sprintf("Neither side opens the ciphertext: the %s side answers %s, the %s side %s. It is of another key, region or account, is damaged, or has another EncryptionContext.",
		first.side, first.text("Code"), second.side, second.text("Code")), named.text("RequestId"))
}

// resolve asks which keys the aliases of new keys name, where both sides open everything and only the key id tells them apart. Who may not
// describe a key may encrypt one byte with it. The answer is the refusal for an alias that could not be resolved, or nil.
func (r *router) resolve(ctx context.Context) *answer {
	var unsure *answer
	for _, alias := range r.known.unresolved() {
		id := describedKey(r.send(ctx, kmsmigrate.SideNew, true, "DescribeKey", params{"KeyId": alias}))
		if id == "" {
			a := r.send(ctx, kmsmigrate.SideNew, false, "Encrypt", params{"KeyId": alias, "Plaintext": "k"})
			if id = a.text("KeyId"); !a.ok() || id == "" {
				unsure = a
				continue
			}
		}
		r.known.resolved(alias, id)
	}
	return unsure
}

// describedKey returns the key id of an answer of DescribeKey, or "".
func describedKey(a *answer) string {
	meta, _ := a.fields["KeyMetadata"].(map[string]any)
	id, _ := meta["KeyId"].(string)
	return id
}

// blobVersion returns the id of the key version that a CiphertextBlob begins with, or "".
func blobVersion(blob string) string {
	raw, err := kmsmigrate.DecodeBlob(blob)
	if err != nil {
		return ""
	}
	if len(raw) > 3 && raw[0] == '$' { // three bytes of the instances' Advance operations
		raw = raw[3:]
	}
	version, _ := kmsmigrate.BlobVersion(raw)
	return version
}

// explainContext says what is wrong with a context that is not an object of strings, after a side refused it. It is not checked before: a
// gateway may have taken such a context once, and then the data needs it.
func explainContext(a *answer, p params, name string) *answer {
	if a.ok() || a.status != http.StatusBadRequest || p[name] == "" || isContext(p[name]) {
		return a
	}
	explained := failedAs(a.status, a.text("Code"), fmt.Sprintf(`The specified parameter "%s" is not valid: it must be a JSON object whose values are strings.`, name), a.text("RequestId"))
	explained.side = a.side
	return explained
}

// explainKey says what can be done about a key that is not found and that nobody has told the shim of.
func (r *router) explainKey(a *answer, id string) *answer {
	begun := r.sides[kmsmigrate.SideOld] != nil && r.sides[kmsmigrate.SideNew] != nil && r.phase.Current() != kmsmigrate.OldOnly
	if a.text("Code") != "Forbidden.KeyNotFound" || a.side == "" || !begun || r.known.isKey(kmsmigrate.SideOld, id) || r.known.isKey(kmsmigrate.SideNew, id) {
		return a
	}
	explained := failedAs(a.status, a.text("Code"), fmt.Sprintf("The specified Key is not found: the %s side has no %s, and the shim's Keys names it on neither side. If it is a new key, add it to Keys or to New.Versions.", a.side, clip(id)), a.text("RequestId"))
	explained.side = a.side
	return explained
}

func clip(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
