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

// verify answers from the retained public keys, without a call, and otherwise asks the side that owns the key. Once signing has moved, an
// application that goes on naming the old key has the new one's signatures verified, too.
func (r *instances) verify(ctx context.Context, phase kmsmigrate.Phase, c gcsCall) (gcsAnswer, error) {
	id := textOf(c.request, "KeyId")
	of := r.known.ofKey(id)
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
	digest := asked.Message
	if asked.MessageType == "" || asked.MessageType == "RAW" {
		if digest, err = key.Digest(asked.Message); err != nil {
			return gcsAnswer{}, unverifiable(err)
		}
	}
	if len(asked.Digest) > 0 { // an older field
		digest = asked.Digest
	}
	err = key.Verify(verify.Algorithm(asked.Algorithm), digest, asked.Signature)
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
	s := r.known.ofKey(textOf(c.request, "KeyId"))
	if s == kmsmigrate.SideOld && !phase.Reads(s) {
		return gcsAnswer{}, notRetained()
	}
	return r.send(ctx, s, c)
}
