package alikms

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// AdvanceEncrypt encrypts any bytes, up to 6 KB, with the primary version of a symmetric key: the only way to give the OpenAPI
// what is not UTF-8. The answer's Ciphertext has the form of a CiphertextBlob: the 3 bytes that the service puts in front are
// left out. A Context binds as it does everywhere; a Raw is sent as the additional data itself.
//
// Open binary plaintext with Instance.AdvanceDecrypt: Decrypt of a Gateway carries text alone.
func (g *Gateway) AdvanceEncrypt(ctx context.Context, key string, plaintext []byte, b Binding) (Encrypted, error) {
	const op = "AdvanceEncrypt"
	id := shownKey(key)
	aad, err := b.aad()
	switch {
	case err != nil:
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, err.Error())
	case len(plaintext) == 0:
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "there is no plaintext")
	case len(plaintext) > maxPlaintext:
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "the plaintext is longer than 6 KB, the most that the KMS encrypts: encrypt it with a data key")
	}
	text, additional := base64.StdEncoding.EncodeToString(plaintext), base64.StdEncoding.EncodeToString(aad)
	answer := kms.CreateAdvanceEncryptResponse()
	var blob []byte
	err = g.rpc(ctx, rpc{
		action: op, key: id, answer: answer, secrets: func() secrets { return b.secrets(text, string(plaintext)) },
		parameters: parameters{"KeyId": key, "Plaintext": text, "Aad": additional},
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			return cmp.Or(complaint, headed(blob), wraps(bytes.TrimPrefix(blob, advanceHead), len(plaintext)), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return Encrypted{}, err
	}
	return Encrypted{answer.KeyId, answer.KeyVersionId, bytes.TrimPrefix(blob, advanceHead), answer.RequestId}, nil
}
