package alikms

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Wrapping is a public key that a data key is exported to, and how it is encrypted with it (API reference, ExportDataKey).
type Wrapping struct {
	PublicKey []byte // DER (PKIX)
	Spec      string // RSA_2048 or EC_SM2
	Algorithm string // RSAOAEPSHA256 or RSAOAEPSHA1; with EC_SM2, SM2PKE
}

// check says what is wrong, for the service's code for it is one of those that mean another key's ciphertext.
func (w Wrapping) check() string {
	switch {
	case len(w.PublicKey) == 0 || w.Spec == "" || w.Algorithm == "":
		return "a Wrapping needs PublicKey, Spec and Algorithm"
	case strings.HasPrefix(w.Spec, "RSA"):
		if public, err := x509.ParsePKIXPublicKey(w.PublicKey); err != nil || !isRSA(public) {
			return "the Wrapping's PublicKey is not an RSA key in DER (PKIX)"
		}
	}
	return ""
}

func isRSA(public any) bool {
	_, ok := public.(*rsa.PublicKey)
	return ok
}

func (w Wrapping) parameters(p parameters) parameters {
	p["PublicKeyBlob"] = base64.StdEncoding.EncodeToString(w.PublicKey)
	p["WrappingKeySpec"], p["WrappingAlgorithm"] = w.Spec, w.Algorithm
	return p
}

// ExportedDataKey is a data key that the holder of a private key can open.
type ExportedDataKey struct {
	KeyID, VersionID string
	Exported         []byte // the raw data key, encrypted with the public key
	// Ciphertext is the data key under the KMS key, in the form of a CiphertextBlob, which wraps its base64 text. It is nil
	// where it was what was exported.
	Ciphertext []byte
	RequestID  string
}

// String returns the key and how long the exported form is.
func (k ExportedDataKey) String() string {
	return fmt.Sprintf("ExportedDataKey(%s, %d bytes)", k.KeyID, len(k.Exported))
}

// ExportDataKey has the service open the ciphertext of a data key and encrypt the key to a public key, without the caller seeing
// it. It fails with kmsmigrate.ErrForeign where the service answers with one of the foreign codes.
func (g *Gateway) ExportDataKey(ctx context.Context, ciphertext []byte, b Binding, to Wrapping) (ExportedDataKey, error) {
	const op = "ExportDataKey"
	bound, err := b.json()
	switch {
	case err != nil:
		return ExportedDataKey{}, g.wrong(op, "", kmsmigrate.ErrInvalid, err.Error())
	case len(ciphertext) == 0:
		return ExportedDataKey{}, g.wrong(op, "", kmsmigrate.ErrInvalid, "there is no ciphertext")
	case to.check() != "":
		return ExportedDataKey{}, g.wrong(op, "", kmsmigrate.ErrInvalid, to.check())
	}
	text := kmsmigrate.EncodeBlob(ciphertext)
	answer := kms.CreateExportDataKeyResponse()
	var exported []byte
	err = g.rpc(ctx, rpc{
		reveals: true, action: op, answer: answer, decrypt: true, secrets: func() secrets { return b.secrets(text) },
		parameters: to.parameters(parameters{"CiphertextBlob": text, "EncryptionContext": bound}),
		check: func() (complaint string) {
			exported, complaint = decodeExported(answer.ExportedDataKey)
			return cmp.Or(complaint, named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return ExportedDataKey{}, err
	}
	return ExportedDataKey{answer.KeyId, answer.KeyVersionId, exported, nil, answer.RequestId}, nil
}

// GenerateAndExportDataKey makes a data key of 1 to 1,024 bytes and returns it under a key and encrypted to a public key,
// which takes less than that: with RSA_2048 and OAEP with SHA-256, 190 bytes.
func (g *Gateway) GenerateAndExportDataKey(ctx context.Context, key string, size int, b Binding, to Wrapping) (ExportedDataKey, error) {
	const op = "GenerateAndExportDataKey"
	p, err := g.dataKeyParameters(op, key, size, b)
	if err != nil {
		return ExportedDataKey{}, err
	}
	if complaint := to.check(); complaint != "" {
		return ExportedDataKey{}, g.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, complaint)
	}
	answer := kms.CreateGenerateAndExportDataKeyResponse()
	var blob, exported []byte
	err = g.rpc(ctx, rpc{
		reveals: true, action: op, key: shownKey(key), answer: answer, parameters: to.parameters(p), secrets: func() secrets { return b.secrets() },
		check: func() string {
			var complaint, other string
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			exported, other = decodeExported(answer.ExportedDataKey)
			return cmp.Or(complaint, other, wraps(blob, base64.StdEncoding.EncodedLen(size)), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return ExportedDataKey{}, err
	}
	return ExportedDataKey{answer.KeyId, answer.KeyVersionId, exported, blob, answer.RequestId}, nil
}

func decodeExported(text string) ([]byte, string) {
	exported, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(exported) == 0 {
		return nil, "its ExportedDataKey is empty or not base64"
	}
	return exported, ""
}
