package alikms

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// DataKeyPair is an asymmetric key pair whose private half is wrapped by a KMS key. It does not print its PrivateKey.
type DataKeyPair struct {
	KeyID, VersionID string
	Spec             string // RSA_2048, RSA_3072, EC_P256, EC_P256K
	PublicKey        []byte // in the format that was asked for
	PrivateKey       []byte // likewise; nil where it was not asked for
	Ciphertext       []byte // wraps PrivateKey, in the form of a CiphertextBlob
	RequestID        string
}

// String returns the wrapping key and the spec.
func (p DataKeyPair) String() string { return fmt.Sprintf("DataKeyPair(%s, %s)", p.KeyID, p.Spec) }

// GoString returns what String returns, so that %#v does not leak either.
func (p DataKeyPair) GoString() string { return p.String() }

// LogValue returns what String returns.
func (p DataKeyPair) LogValue() slog.Value { return slog.StringValue(p.String()) }

// AdvanceGenerateDataKeyPair makes a key pair of a spec, in format PEM or DER, and wraps its private half with the primary
// version of a key. An instance makes one of them a second (Alibaba Cloud KMS, performance data).
func (i *Instance) AdvanceGenerateDataKeyPair(ctx context.Context, key, spec, format string, b Binding) (DataKeyPair, error) {
	const op = "AdvanceGenerateDataKeyPair"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return DataKeyPair{}, err
	}
	var answer api.AdvanceGenerateDataKeyPairResponse
	err = i.gcs(ctx, gcs{
		reveals: true, action: op, key: shownKey(key), answer: &answer, secrets: func() secrets { return b.secrets() },
		request: &api.AdvanceGenerateDataKeyPairRequest{KeyId: key, KeyPairSpec: spec, KeyFormat: format, Aad: aad},
		check: func(func(string) string) string {
			return cmp.Or(headed(answer.PrivateKeyCiphertextBlob), empty("PrivateKeyPlaintext", answer.PrivateKeyPlaintext), empty("PublicKey", answer.PublicKey),
				wraps(bytes.TrimPrefix(answer.PrivateKeyCiphertextBlob, advanceHead), len(answer.PrivateKeyPlaintext)), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return DataKeyPair{}, err
	}
	return DataKeyPair{
		KeyID: answer.KeyId, VersionID: answer.KeyVersionId, Spec: answer.KeyPairSpec, PublicKey: answer.PublicKey, PrivateKey: answer.PrivateKeyPlaintext,
		Ciphertext: bytes.TrimPrefix(answer.PrivateKeyCiphertextBlob, advanceHead), RequestID: answer.RequestId,
	}, nil
}

// AdvanceGenerateDataKeyPairWithoutPlaintext is AdvanceGenerateDataKeyPair for whoever only stores the wrapped half.
func (i *Instance) AdvanceGenerateDataKeyPairWithoutPlaintext(ctx context.Context, key, spec, format string, b Binding) (DataKeyPair, error) {
	const op = "AdvanceGenerateDataKeyPairWithoutPlaintext"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return DataKeyPair{}, err
	}
	var answer api.AdvanceGenerateDataKeyPairWithoutPlaintextResponse
	err = i.gcs(ctx, gcs{
		action: op, key: shownKey(key), answer: &answer, secrets: func() secrets { return b.secrets() },
		request: &api.AdvanceGenerateDataKeyPairWithoutPlaintextRequest{KeyId: key, KeyPairSpec: spec, KeyFormat: format, Aad: aad},
		check: func(func(string) string) string {
			if _, ok := kmsmigrate.BlobVersion(bytes.TrimPrefix(answer.PrivateKeyCiphertextBlob, advanceHead)); !ok {
				return "the ciphertext has not the form that it must have"
			}
			return cmp.Or(headed(answer.PrivateKeyCiphertextBlob), empty("PublicKey", answer.PublicKey), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return DataKeyPair{}, err
	}
	return DataKeyPair{
		KeyID: answer.KeyId, VersionID: answer.KeyVersionId, Spec: answer.KeyPairSpec, PublicKey: answer.PublicKey,
		Ciphertext: bytes.TrimPrefix(answer.PrivateKeyCiphertextBlob, advanceHead), RequestID: answer.RequestId,
	}, nil
}

// GenerateDataKeyPair makes a key pair of a spec, in format PEM or DER, and wraps its private half with the first version of a
// key: rotation does not take effect, and AdvanceGenerateDataKeyPair is nearly always the right call. The pair's VersionID is
// empty and its Ciphertext nil; wrapped has what Decrypt needs.
func (i *Instance) GenerateDataKeyPair(ctx context.Context, key, spec, format string, b Binding) (pair DataKeyPair, wrapped Parts, err error) {
	const op = "GenerateDataKeyPair"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return DataKeyPair{}, Parts{}, err
	}
	var answer api.GenerateDataKeyPairResponse
	var version string
	err = i.gcs(ctx, gcs{
		reveals: true, action: op, key: shownKey(key), answer: &answer, secrets: func() secrets { return b.secrets() },
		request: &api.GenerateDataKeyPairRequest{KeyId: key, KeyPairSpec: spec, KeyFormat: format, Aad: aad},
		check: func(header func(string) string) string {
			version = header(migrationHeader)
			return cmp.Or(empty("PrivateKeyPlaintext", answer.PrivateKeyPlaintext), pairParts(&answer))
		},
	})
	if err != nil {
		return DataKeyPair{}, Parts{}, err
	}
	pair = DataKeyPair{KeyID: answer.KeyId, Spec: answer.KeyPairSpec, PublicKey: answer.PublicKey, PrivateKey: answer.PrivateKeyPlaintext, RequestID: answer.RequestId}
	return pair, Parts{answer.KeyId, version, answer.Iv, answer.PrivateKeyCiphertextBlob, answer.Algorithm, "", answer.RequestId}, nil
}

// GenerateDataKeyPairWithoutPlaintext is GenerateDataKeyPair for whoever only stores the wrapped half.
func (i *Instance) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, key, spec, format string, b Binding) (pair DataKeyPair, wrapped Parts, err error) {
	const op = "GenerateDataKeyPairWithoutPlaintext"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return DataKeyPair{}, Parts{}, err
	}
	var answer api.GenerateDataKeyPairWithoutPlaintextResponse
	var version string
	err = i.gcs(ctx, gcs{
		action: op, key: shownKey(key), answer: &answer, secrets: func() secrets { return b.secrets() },
		request: &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: key, KeyPairSpec: spec, KeyFormat: format, Aad: aad},
		check: func(header func(string) string) string {
			version = header(migrationHeader)
			return pairParts(&answer)
		},
	})
	if err != nil {
		return DataKeyPair{}, Parts{}, err
	}
	pair = DataKeyPair{KeyID: answer.KeyId, Spec: answer.KeyPairSpec, PublicKey: answer.PublicKey, RequestID: answer.RequestId}
	return pair, Parts{answer.KeyId, version, answer.Iv, answer.PrivateKeyCiphertextBlob, answer.Algorithm, "", answer.RequestId}, nil
}

// pairParts says what is missing in an answer that has a wrapped half in pieces.
func pairParts(answer interface {
	GetKeyId() string
	GetRequestId() string
	GetIv() []byte
	GetPublicKey() []byte
	GetPrivateKeyCiphertextBlob() []byte
}) string {
	return cmp.Or(empty("PrivateKeyCiphertextBlob", answer.GetPrivateKeyCiphertextBlob()), empty("Iv", answer.GetIv()), empty("PublicKey", answer.GetPublicKey()),
		missing("KeyId", answer.GetKeyId()), missing("RequestId", answer.GetRequestId()))
}
