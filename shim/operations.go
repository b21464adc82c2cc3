package shim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// reEncrypt has the service do it where source and destination are behind one shared gateway. Otherwise it is a Decrypt and an Encrypt; the
// plaintext is then in this process for a moment. As the service's, the answer names the key that decrypted.
func (r *router) reEncrypt(ctx context.Context, phase kmsmigrate.Phase, p params) *answer {
	to, id, refused := r.place(phase.Writes(), p["DestinationKeyId"])
	if refused != nil {
		return refused
	}
	asymmetric := p["SourceEncryptionAlgorithm"] != ""
	from := r.known.ofVersion(blobVersion(p["CiphertextBlob"]))
	if asymmetric {
		from = r.known.ofKey(p["SourceKeyId"])
	}
	if r.sides[to] != nil && !r.sides[to].instance && (phase == kmsmigrate.OldOnly || from == to || r.known.oneAccount && phase != kmsmigrate.NewOnly) {
		a := r.send(ctx, to, false, "ReEncrypt", p.with("DestinationKeyId", id))
		return explainContext(explainContext(a, p, "SourceEncryptionContext"), p, "DestinationEncryptionContext")
	}
	var source *answer
	if asymmetric {
		source = r.asymmetricDecrypt(ctx, phase, params{"KeyId": p["SourceKeyId"], "KeyVersionId": p["SourceKeyVersionId"], "Algorithm": p["SourceEncryptionAlgorithm"], "CiphertextBlob": p["CiphertextBlob"]})
	} else {
		source, _ = r.opened(ctx, phase, "Decrypt", params{"CiphertextBlob": p["CiphertextBlob"], "EncryptionContext": p["SourceEncryptionContext"]})
		source = explainContext(source, params{"SourceEncryptionContext": p["SourceEncryptionContext"]}, "SourceEncryptionContext")
	}
	if !source.ok() {
		return source
	}
	plaintext := source.text("Plaintext")
	if asymmetric {
		raw, err := base64.StdEncoding.DecodeString(plaintext)
		if err != nil || !utf8.Valid(raw) {
			return failed(http.StatusBadRequest, "UnsupportedOperation", "This action is not supported: between two sides ReEncrypt carries text, and what the asymmetric ciphertext holds is none.")
		}
		plaintext = string(raw)
	}
	a := r.write(ctx, to, "Encrypt", params{"KeyId": id, "Plaintext": plaintext, "EncryptionContext": p["DestinationEncryptionContext"], "DryRun": p["DryRun"]})
	if !a.ok() {
		return explainContext(a, params{"DestinationEncryptionContext": p["DestinationEncryptionContext"]}, "DestinationEncryptionContext")
	}
	a.set(map[string]any{"KeyId": source.text("KeyId"), "KeyVersionId": source.text("KeyVersionId")})
	return a
}

// asymmetricDecrypt goes to the side that owns the key that is named. Its ciphertext names no key, so an application that goes on naming the
// old one has the new one tried where the old one does not open it: padding tells.
func (r *router) asymmetricDecrypt(ctx context.Context, phase kmsmigrate.Phase, p params) *answer {
	const action = "AsymmetricDecrypt"
	if r.known.ofKey(p["KeyId"]) == kmsmigrate.SideNew && r.sides[kmsmigrate.SideNew] != nil || phase == kmsmigrate.OldOnly {
		s := kmsmigrate.SideNew
		if phase == kmsmigrate.OldOnly && r.known.ofKey(p["KeyId"]) != kmsmigrate.SideNew {
			s = kmsmigrate.SideOld
		}
		return r.send(ctx, s, false, action, p)
	}
	var old *answer
	if phase.Reads(kmsmigrate.SideOld) {
		old = r.send(ctx, kmsmigrate.SideOld, false, action, p)
		if old.ok() || !r.sides[kmsmigrate.SideOld].data.foreign(old.text("Code")) {
			return old
		}
	}
	asked := p["KeyId"]
	_, id, refused := r.place(kmsmigrate.SideNew, asked)
	if refused == nil {
		p, refused = r.renamed(p, id)
	}
	switch {
	case refused != nil && old != nil:
		return r.explainKey(old, asked)
	case refused != nil:
		return refused
	}
	a := r.oldNames(r.send(ctx, kmsmigrate.SideNew, false, action, p), kmsmigrate.SideNew, p["KeyId"])
	if !a.ok() && old != nil && r.sides[kmsmigrate.SideNew].data.foreign(a.text("Code")) {
		return neither(old, a)
	}
	return a
}

// verify answers from the retained public keys, without a call, and otherwise asks the side that owns the key. Once signing has moved, an
// application that goes on naming the old key has the new one's signatures verified, too.
func (r *router) verify(ctx context.Context, p params) *answer {
	a := r.verifyWith(ctx, r.owner(r.phase.Current(), p["KeyId"]), p)
	if !a.ok() && a.side != "local" && a.text("Code") != "Forbidden.KeyNotFound" {
		return a
	}
	if valid, _ := a.fields["Value"].(bool); valid || r.signing.Current().Writes() == kmsmigrate.SideOld || r.known.ofKey(p["KeyId"]) == kmsmigrate.SideNew {
		return a
	}
	_, id, refused := r.place(kmsmigrate.SideNew, p["KeyId"])
	if refused != nil {
		return a
	}
	next, refused := r.renamed(p, id)
	if refused != nil {
		return a
	}
	b := r.verifyWith(ctx, kmsmigrate.SideNew, next)
	if valid, _ := b.fields["Value"].(bool); valid {
		return r.oldNames(b, kmsmigrate.SideNew, p["KeyId"])
	}
	return a // also where nobody knows what the old key says: that is an error, and not an invalid signature
}

// verifyWith verifies under one key.
func (r *router) verifyWith(ctx context.Context, s kmsmigrate.Side, p params) *answer {
	if r.retained != nil {
		digest, bad := base64.StdEncoding.DecodeString(p["Digest"])
		signature, badValue := base64.StdEncoding.DecodeString(p["Value"])
		if bad != nil || badValue != nil {
			return failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "Digest" or "Value" is not valid: it is not base64.`)
		}
		err := verify.Signature(ctx, r.retained, verify.Request{
			KeyID: bareName(p["KeyId"]), VersionID: p["KeyVersionId"], Algorithm: verify.Algorithm(p["Algorithm"]), Digest: digest, Signature: signature,
		})
		switch {
		case err == nil || errors.Is(err, verify.ErrBadSignature):
			r.stats.local.Add(1)
			return answered(map[string]any{"KeyId": bareName(p["KeyId"]), "KeyVersionId": p["KeyVersionId"], "Value": err == nil})
		case errors.Is(err, verify.ErrInvalid):
			return failed(http.StatusBadRequest, "InvalidParameter", "The signature cannot be verified with the retained public key: "+strings.TrimSuffix(strings.TrimPrefix(err.Error(), "verify: "), ": "+verify.ErrInvalid.Error())+".")
		case !errors.Is(err, verify.ErrUnknownKey):
			return failed(http.StatusInternalServerError, "InternalFailure", "The store of retained public keys fails, or has another key than was pinned.")
		}
	}
	if s == kmsmigrate.SideOld && !r.phase.Current().Reads(s) {
		return unretained()
	}
	return r.explainKey(r.send(ctx, s, false, "AsymmetricVerify", p), p["KeyId"])
}

func unretained() *answer {
	return failed(http.StatusNotFound, "Forbidden.KeyNotFound", "The specified Key is not found: the shim's Keys does not name it as a new one, the old side is not asked any more, and its public key is not among the Retained ones. Retain it, or add it to Keys.")
}

// publicKey answers with a retained key, or asks the side that owns it.
func (r *router) publicKey(ctx context.Context, p params) *answer {
	if r.retained != nil {
		kept, err := r.retained.Find(ctx, bareName(p["KeyId"]), p["KeyVersionId"])
		if err == nil {
			_, err = kept.Parse()
		}
		switch {
		case err == nil:
			r.stats.local.Add(1)
			return answered(map[string]any{"KeyId": kept.KeyID, "KeyVersionId": kept.VersionID, "PublicKey": kept.PublicKey})
		case !errors.Is(err, verify.ErrUnknownKey):
			return failed(http.StatusInternalServerError, "InternalFailure", "The store of retained public keys fails, or has another key than was pinned.")
		}
	}
	s := r.owner(r.phase.Current(), p["KeyId"])
	if s == kmsmigrate.SideOld && !r.phase.Current().Reads(s) {
		return unretained()
	}
	return r.explainKey(r.send(ctx, s, false, "GetPublicKey", p), p["KeyId"])
}

// owner is the side that a key belongs to. One that both have, as after backup and restore, is the old one's for as long as that is read.
func (r *router) owner(phase kmsmigrate.Phase, id string) kmsmigrate.Side {
	s := r.known.ofKey(id)
	if s == kmsmigrate.SideOld && !phase.Reads(s) && r.known.isKey(kmsmigrate.SideNew, id) {
		return kmsmigrate.SideNew
	}
	return s
}

// control sends an operation that manages something to the side that owns it.
func (r *router) control(ctx context.Context, phase kmsmigrate.Phase, action string, p params) *answer {
	if name := p["SecretName"]; name != "" {
		s := r.secretSide(phase, name)
		if s == kmsmigrate.SideOld && !readsSecret(action) {
			r.secrets.forget(name) // also where the call fails: it may have been carried out
		}
		return r.send(ctx, s, true, action, p)
	}
	for _, name := range []string{"KeyId", "AliasName", "ProtectedResourceArn", "ResourceId.1", "EncryptionKeyId"} {
		if id := p[name]; id != "" {
			s := r.owner(phase, id)
			if r.sides[s] == nil && s == kmsmigrate.SideNew {
				s = kmsmigrate.SideOld
			}
			return r.explainKey(r.send(ctx, s, true, action, p), id)
		}
	}
	s := r.others
	if s == kmsmigrate.SideUnknown {
		s = kmsmigrate.SideOld
		if r.sides[s] == nil {
			s = kmsmigrate.SideNew
		}
	}
	return r.send(ctx, s, true, action, p)
}

// isContext reports whether text is an object of strings in JSON.
func isContext(text string) bool {
	var pairs map[string]*string
	if json.Unmarshal([]byte(text), &pairs) != nil || pairs == nil {
		return false
	}
	for _, value := range pairs {
		if value == nil {
			return false
		}
	}
	return true
}
