package shim

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// sign signs with the side that Config.Signing writes. Signing has an order of its own: a new key signs for an old one only once its public
// key is published, since a verifier that does not have it refuses what is signed. Until then the old key goes on, and Stats counts it:
// a signature that everybody verifies is what the application asked for, and an error would stop it for the shim's sake. In the last
// phase there is no old key to go on with, so there it is an error.
func (r *router) sign(ctx context.Context, p params) *answer {
	const action = "AsymmetricSign"
	signing := r.signing.Current()
	if signing.Writes() == kmsmigrate.SideOld || r.published == nil || p["KeyId"] == "" || r.known.ofKey(p["KeyId"]) == kmsmigrate.SideNew {
		return r.write(ctx, signing.Writes(), action, p) // who names a new key means it
	}
	_, id, refused := r.place(kmsmigrate.SideNew, p["KeyId"])
	if refused != nil {
		return refused
	}
	sent, refused := r.renamed(p, id)
	if refused != nil {
		return refused
	}
	if isAlias(bareName(id)) || sent["KeyVersionId"] == "" || r.isPublished(ctx, bareName(id), sent["KeyVersionId"]) {
		a := r.send(ctx, kmsmigrate.SideNew, false, action, sent)
		if !a.ok() || r.verifies(ctx, sent, a) {
			return r.oldNames(a, kmsmigrate.SideNew, p["KeyId"])
		}
	}
	r.stats.held.Add(1)
	if !signing.Reads(kmsmigrate.SideOld) {
		return failed(http.StatusNotFound, "Forbidden.KeyVersionNotFound", "The specified KeyVersion is not found: the public key of the new key "+clip(id)+" is not in the shim's Published, or does not verify what was signed, so no verifier would accept it. Publish it, or take Signing back to rewrite.")
	}
	return r.write(ctx, kmsmigrate.SideOld, action, p)
}

// storeTime is how long a signature waits for the store of published keys.
const storeTime = 500 * time.Millisecond

// timely is a store that answers in time, or fails: a signature of the old key is better than none.
type timely struct{ verify.Store }

func (t timely) Find(ctx context.Context, keyID, versionID string) (verify.Retained, error) {
	wait := storeTime
	if deadline, ok := ctx.Deadline(); ok { // and the old key needs time of its own
		wait = min(wait, time.Until(deadline)/4)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return t.Store.Find(ctx, keyID, versionID)
}

// isPublished reports whether every verifier has a public key. A store that fails says no.
func (r *router) isPublished(ctx context.Context, keyID, versionID string) bool {
	kept, err := r.published.Find(ctx, keyID, versionID)
	if err != nil {
		return false
	}
	_, err = kept.Parse() // it is what was pinned
	return err == nil
}

// verifies reports whether verifiers accept a signature: with the published key of the ids in the answer.
func (r *router) verifies(ctx context.Context, sent params, a *answer) bool {
	version := a.text("KeyVersionId")
	if version == "" {
		version = sent["KeyVersionId"]
	}
	digest, bad := base64.StdEncoding.DecodeString(sent["Digest"])
	signature, badValue := base64.StdEncoding.DecodeString(a.text("Value"))
	return bad == nil && badValue == nil && verify.Signature(ctx, r.published, verify.Request{
		KeyID: a.text("KeyId"), VersionID: version, Algorithm: verify.Algorithm(sent["Algorithm"]), Digest: digest, Signature: signature,
	}) == nil
}

// canSign reports whether a config says enough to keep the order.
func canSign(signing kmsmigrate.PhaseSource, published verify.Store) error {
	constant, fixed := signing.(kmsmigrate.Phase)
	if published == nil && (!fixed || constant.Writes() == kmsmigrate.SideNew && constant != kmsmigrate.NewOnly) {
		return invalid("Signing moves to the new side, so Published or Retained must hold the new public keys that every verifier has")
	}
	return nil
}
