package shim

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// sign signs with the side that InstanceConfig.Signing writes, and keeps the order that Transport keeps: a new key signs for an old one only once
// its public key is published and verifies what it signs. Until then the old key goes on.
func (r *instances) sign(ctx context.Context, c gcsCall) (gcsAnswer, error) {
	signing, id := r.signing.Current(), textOf(c.request, "KeyId")
	if signing.Writes() == kmsmigrate.SideOld || r.published == nil || id == "" || r.known.ofKey(id) == kmsmigrate.SideNew {
		return r.write(ctx, signing.Writes(), c) // who names a new key means it
	}
	_, to, err := r.place(kmsmigrate.SideNew, id)
	if err != nil {
		return gcsAnswer{}, err
	}
	if key := r.publishedKey(ctx, to); key != nil {
		a, err := r.send(ctx, kmsmigrate.SideNew, c.named(to))
		if err != nil {
			return gcsAnswer{}, err
		}
		asked := c.request.(*api.SignRequest)
		digest, err := digestOf(key, asked.MessageType, asked.Message, asked.Digest)
		if err == nil && verifyAs(key, asked.Algorithm, digest, bytesOf(a.message, "Signature")) == nil {
			return a, nil
		}
	}
	r.stats.held.Add(1)
	if !signing.Reads(kmsmigrate.SideOld) {
		return gcsAnswer{}, failedCall(http.StatusNotFound, "Forbidden.KeyVersionNotFound", "The specified KeyVersion is not found: the public key of the new key "+clip(to)+" is not in the shim's Published under the version that KeyVersions names, or does not verify what was signed, so no verifier would accept it. Publish it, or take Signing back to rewrite.")
	}
	return r.write(ctx, kmsmigrate.SideOld, c)
}

// publishedKey is the public key of a new key that every verifier has, or nil. A store that fails has none.
func (r *instances) publishedKey(ctx context.Context, id string) *verify.PublicKey {
	version := r.keyVersions[bareName(id)]
	if version == "" {
		return nil
	}
	kept, err := r.published.Find(ctx, bareName(id), version)
	if err != nil {
		return nil
	}
	key, err := kept.Parse()
	if err != nil {
		return nil
	}
	return key
}

// digestOf is what is signed: the message itself is the default, and there is an older field that carries the digest outright.
func digestOf(key *verify.PublicKey, kind string, message, digest []byte) ([]byte, error) {
	switch {
	case len(digest) > 0:
		return digest, nil
	case kind == "" || kind == "RAW":
		return key.Digest(message)
	default:
		return message, nil
	}
}

// verifyAs verifies a signature of an algorithm or, where an application leaves that to the key, of any that the key can have signed with.
func verifyAs(key *verify.PublicKey, algorithm string, digest, signature []byte) (err error) {
	algorithms := []verify.Algorithm{verify.Algorithm(algorithm)}
	if algorithm == "" {
		algorithms = key.Algorithms()
	}
	for _, one := range algorithms {
		if err = key.Verify(one, digest, signature); err == nil {
			return nil
		}
	}
	return err
}

// owner is the side that a key belongs to. One that both have, as after backup and restore, is the old one's for as long as that is read.
func (r *instances) owner(phase kmsmigrate.Phase, id string) kmsmigrate.Side {
	s := r.known.ofKey(id)
	if s == kmsmigrate.SideOld && !phase.Reads(s) && r.known.isKey(kmsmigrate.SideNew, id) {
		return kmsmigrate.SideNew
	}
	return s
}

// verify answers from the retained public keys, without a call, and otherwise asks the side that owns the key. Once signing has moved, an
// application that goes on naming the old key has the new one's signatures verified, too.
func (r *instances) verify(ctx context.Context, phase kmsmigrate.Phase, c gcsCall) (gcsAnswer, error) {
	id := textOf(c.request, "KeyId")
	of := r.owner(phase, id)
	a, err := r.verifyWith(ctx, phase, of, c)
	if err != nil && gcsCode(err) != "Forbidden.KeyNotFound" {
		return gcsAnswer{}, err
	}
	if isValid(a) || r.signing.Current().Writes() == kmsmigrate.SideOld || of == kmsmigrate.SideNew {
		return a, err
	}
	_, to, refused := r.place(kmsmigrate.SideNew, id)
	if refused != nil {
		return a, err
	}
	if b, failed := r.verifyWith(ctx, phase, kmsmigrate.SideNew, c.named(to)); failed == nil && (isValid(b) || err != nil) {
		a, err = r.oldNames(b, id), nil
	}
	return a, err
}

func isValid(a gcsAnswer) bool {
	answer, ok := a.message.(*api.VerifyResponse)
	return ok && answer.Value
}

// verifyWith verifies under one key.
func (r *instances) verifyWith(ctx context.Context, phase kmsmigrate.Phase, s kmsmigrate.Side, c gcsCall) (gcsAnswer, error) {
	asked := c.request.(*api.VerifyRequest)
	key, kept, err := r.kept(ctx, c)
	switch {
	case err != nil:
		return gcsAnswer{}, err
	case key == nil && s == kmsmigrate.SideOld && !phase.Reads(s):
		return gcsAnswer{}, notRetained()
	case key == nil:
		return r.send(ctx, s, c)
	}
	digest, err := digestOf(key, asked.MessageType, asked.Message, asked.Digest)
	if err != nil {
		return gcsAnswer{}, unverifiable(err)
	}
	err = verifyAs(key, asked.Algorithm, digest, asked.Signature)
	if err != nil && !errors.Is(err, verify.ErrBadSignature) {
		return gcsAnswer{}, unverifiable(err)
	}
	r.stats.local.Add(1)
	return gcsAnswer{message: &api.VerifyResponse{KeyId: kept.KeyID, Value: err == nil, RequestId: requestID(), Algorithm: asked.Algorithm, MessageType: asked.MessageType}}, nil
}

func unverifiable(err error) error {
	return failedCall(http.StatusBadRequest, "InvalidParam", "The signature cannot be verified with the retained public key: "+strings.TrimSuffix(strings.TrimPrefix(err.Error(), "verify: "), ": "+verify.ErrInvalid.Error())+".")
}

func notRetained() error {
	return failedCall(http.StatusNotFound, "Forbidden.KeyNotFound", "The specified Key is not found: it is the old side's, which is not asked any more, and its public key is not among the shim's Retained ones, or InstanceConfig.KeyVersions does not name its version.")
}

// kept returns the retained public key that a request means, or nil.
func (r *instances) kept(ctx context.Context, c gcsCall) (*verify.PublicKey, verify.Retained, error) {
	id := bareName(textOf(c.request, "KeyId"))
	version := c.header[versionHeader]
	if version == "" {
		version = r.keyVersions[id]
	}
	if r.retained == nil || version == "" {
		return nil, verify.Retained{}, nil
	}
	kept, err := r.retained.Find(ctx, id, version)
	if errors.Is(err, verify.ErrUnknownKey) {
		return nil, kept, nil
	}
	var key *verify.PublicKey
	if err == nil {
		key, err = kept.Parse()
	}
	if err != nil {
		return nil, kept, failedCall(http.StatusInternalServerError, "InternalFailure", "The store of retained public keys fails, or has another key than was pinned.")
	}
	return key, kept, nil
}

// publicKey answers with a retained key, or asks the side that owns it.
func (r *instances) publicKey(ctx context.Context, phase kmsmigrate.Phase, c gcsCall) (gcsAnswer, error) {
	key, kept, err := r.kept(ctx, c)
	if err != nil {
		return gcsAnswer{}, err
	}
	if key != nil {
		r.stats.local.Add(1)
		return gcsAnswer{message: &api.GetPublicKeyResponse{KeyId: kept.KeyID, PublicKey: kept.PublicKey, RequestId: requestID()}}, nil
	}
	s := r.owner(phase, textOf(c.request, "KeyId"))
	if s == kmsmigrate.SideOld && !phase.Reads(s) {
		return gcsAnswer{}, notRetained()
	}
	return r.send(ctx, s, c)
}
