package alikms

import (
	"bytes"
	"cmp"
	"context"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// advanceHead precedes ciphertext of Advance*: '$', version 0 and no padding, AES-GCM (newer KMS SDK, sdk/utils/consts.go).
// What follows has the form of a CiphertextBlob.
var advanceHead = []byte{0x24, 0x00, 0x02}

const (
	nonceSize       = 12
	algorithm       = "AES_GCM"
	migrationHeader = "x-kms-migrationkeyversionid"
)

// Parts is what Encrypt and GenerateDataKey of the instance API return in pieces. All of them are needed at decryption.
type Parts struct {
	KeyID      string
	VersionID  string // of symmetric keys, and only where the instance sends x-kms-migrationkeyversionid
	IV         []byte // of symmetric keys
	Ciphertext []byte
	Algorithm  string
	Padding    string
	RequestID  string
}

// AdvanceEncrypt encrypts any bytes with the primary version of a symmetric key. The answer's Ciphertext has the form of a
// CiphertextBlob: the 3 bytes that the service puts in front are left out.
func (i *Instance) AdvanceEncrypt(ctx context.Context, key string, plaintext []byte, b Binding) (Encrypted, error) {
	const op = "AdvanceEncrypt"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return Encrypted{}, err
	}
	if len(plaintext) == 0 {
		return Encrypted{}, i.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, "there is no plaintext")
	}
	var answer api.AdvanceEncryptResponse
	err = i.gcs(ctx, gcs{
		action: op, key: shownKey(key), request: &api.AdvanceEncryptRequest{KeyId: key, Plaintext: plaintext, Aad: aad}, answer: &answer,
		secrets: func() secrets { return b.secrets(string(plaintext)) },
		check: func(func(string) string) string {
			return cmp.Or(headed(answer.CiphertextBlob), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return Encrypted{}, err
	}
	return Encrypted{answer.KeyId, answer.KeyVersionId, bytes.TrimPrefix(answer.CiphertextBlob, advanceHead), answer.RequestId}, nil
}

func headed(ciphertext []byte) string {
	if !bytes.HasPrefix(ciphertext, advanceHead) {
		return "its CiphertextBlob does not begin with 24 00 02"
	}
	return ""
}

// AdvanceDecrypt opens ciphertext of any symmetric key of the instance, in the form of a CiphertextBlob or with the 3 bytes
// 24 00 02 in front. It fails with kmsmigrate.ErrForeign where the service answers with one of the foreign codes.
func (i *Instance) AdvanceDecrypt(ctx context.Context, ciphertext []byte, b Binding) (Decrypted, error) {
	return i.open(ctx, "", bytes.TrimPrefix(ciphertext, advanceHead), b)
}

func (i *Instance) open(ctx context.Context, key string, blob []byte, b Binding) (Decrypted, error) {
	const op = "AdvanceDecrypt"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return Decrypted{}, err
	}
	var answer api.AdvanceDecryptResponse
	err = i.gcs(ctx, gcs{
		action: op, key: key, answer: &answer, decrypt: true, secrets: func() secrets { return b.secrets(string(blob), kmsmigrate.EncodeBlob(blob)) },
		request: &api.AdvanceDecryptRequest{CiphertextBlob: bytes.Join([][]byte{advanceHead, blob}, nil), Aad: aad},
		check: func(func(string) string) string {
			return cmp.Or(empty("Plaintext", answer.Plaintext), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return Decrypted{}, err
	}
	return Decrypted{answer.KeyId, answer.KeyVersionId, answer.Plaintext, answer.RequestId}, nil
}

// AdvanceGenerateDataKey makes a data key of 1 to 1,024 bytes with the primary version of a key. Its Ciphertext wraps the
// raw bytes; Key.GenerateDataKey wraps the text that the OpenAPI would.
func (i *Instance) AdvanceGenerateDataKey(ctx context.Context, key string, size int, b Binding) (DataKey, error) {
	const op = "AdvanceGenerateDataKey"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return DataKey{}, err
	}
	if size < 1 || size > maxDataKey {
		return DataKey{}, i.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, "a data key has 1 to 1,024 bytes")
	}
	var answer api.AdvanceGenerateDataKeyResponse
	err = i.gcs(ctx, gcs{
		reveals: true, action: op, key: shownKey(key), request: &api.AdvanceGenerateDataKeyRequest{KeyId: key, NumberOfBytes: int32(size), Aad: aad}, answer: &answer,
		secrets: func() secrets { return b.secrets() },
		check: func(func(string) string) string {
			if len(answer.Plaintext) != size {
				return "its Plaintext has not as many bytes as were asked for"
			}
			return cmp.Or(headed(answer.CiphertextBlob), wraps(bytes.TrimPrefix(answer.CiphertextBlob, advanceHead), size), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return DataKey{}, err
	}
	return DataKey{answer.KeyId, answer.KeyVersionId, answer.Plaintext, bytes.TrimPrefix(answer.CiphertextBlob, advanceHead), false, answer.RequestId}, nil
}

// Encrypt encrypts with the first version of a symmetric key, or with an asymmetric key. It ignores rotation, and what it
// returns does not name its key: for symmetric keys AdvanceEncrypt is nearly always the right call.
func (i *Instance) Encrypt(ctx context.Context, key string, plaintext []byte, b Binding) (Parts, error) {
	const op = "Encrypt"
	return i.encryptParts(ctx, op, key, "", plaintext, b)
}

// AsymmetricEncrypt encrypts with the public half of an asymmetric key. The instance API does not let choose the version.
func (i *Instance) AsymmetricEncrypt(ctx context.Context, key, algorithm string, plaintext []byte) (Parts, error) {
	return i.encryptParts(ctx, "Encrypt", key, algorithm, plaintext, Binding{})
}

func (i *Instance) encryptParts(ctx context.Context, op, key, algorithm string, plaintext []byte, b Binding) (Parts, error) {
	aad, err := i.bound(op, key, b)
	if err != nil {
		return Parts{}, err
	}
	if len(plaintext) == 0 {
		return Parts{}, i.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, "there is no plaintext")
	}
	var answer api.EncryptResponse
	var version string
	err = i.gcs(ctx, gcs{
		action: op, key: shownKey(key), answer: &answer, secrets: func() secrets { return b.secrets(string(plaintext)) },
		request: &api.EncryptRequest{KeyId: key, Plaintext: plaintext, Aad: aad, Algorithm: algorithm},
		check: func(header func(string) string) string {
			version = header(migrationHeader)
			return cmp.Or(empty("CiphertextBlob", answer.CiphertextBlob), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return Parts{}, err
	}
	return Parts{answer.KeyId, version, answer.Iv, answer.CiphertextBlob, answer.Algorithm, answer.PaddingMode, answer.RequestId}, nil
}

// Decrypt opens what Encrypt, AsymmetricEncrypt or GenerateDataKey returned. With a VersionID the key is found by that,
// else by the KeyID.
func (i *Instance) Decrypt(ctx context.Context, p Parts, b Binding) (Decrypted, error) {
	return i.openParts(ctx, p.KeyID, p, b)
}

func (i *Instance) openParts(ctx context.Context, shown string, p Parts, b Binding) (Decrypted, error) {
	const op = "Decrypt"
	aad, err := i.bound(op, shown, b)
	if err != nil {
		return Decrypted{}, err
	}
	key := p.KeyID
	var header map[string]string
	if p.VersionID != "" {
		key, header = "", map[string]string{migrationHeader: p.VersionID} // the service wants one or the other (transfer SDK, Decrypt)
	}
	var answer api.DecryptResponse
	err = i.gcs(ctx, gcs{
		action: op, key: shownKey(shown), answer: &answer, decrypt: true, header: header,
		secrets: func() secrets { return b.secrets(string(p.Ciphertext), kmsmigrate.EncodeBlob(p.Ciphertext)) },
		request: &api.DecryptRequest{KeyId: key, Iv: p.IV, CiphertextBlob: p.Ciphertext, Aad: aad, Algorithm: p.Algorithm, PaddingMode: p.Padding},
		check: func(func(string) string) string {
			return cmp.Or(empty("Plaintext", answer.Plaintext), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return Decrypted{}, err
	}
	return Decrypted{answer.KeyId, p.VersionID, answer.Plaintext, answer.RequestId}, nil
}

// GenerateDataKey makes a data key with the first version of a key: rotation does not take effect, and AdvanceGenerateDataKey
// is nearly always the right call.
func (i *Instance) GenerateDataKey(ctx context.Context, key string, size int, b Binding) (plaintext []byte, wrapped Parts, err error) {
	const op = "GenerateDataKey"
	aad, err := i.bound(op, key, b)
	if err != nil {
		return nil, Parts{}, err
	}
	var answer api.GenerateDataKeyResponse
	var version string
	err = i.gcs(ctx, gcs{
		reveals: true, action: op, key: shownKey(key), request: &api.GenerateDataKeyRequest{KeyId: key, NumberOfBytes: int32(size), Aad: aad}, answer: &answer,
		secrets: func() secrets { return b.secrets() },
		check: func(header func(string) string) string {
			version = header(migrationHeader)
			if len(answer.Plaintext) != size || size == 0 {
				return "its Plaintext has not as many bytes as were asked for"
			}
			return cmp.Or(empty("CiphertextBlob", answer.CiphertextBlob), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return nil, Parts{}, err
	}
	return answer.Plaintext, Parts{answer.KeyId, version, answer.Iv, answer.CiphertextBlob, answer.Algorithm, "", answer.RequestId}, nil
}

// messageDigest tells the instance API that it gets a digest, not the message.
const messageDigest = "DIGEST"

// Sign signs a digest of 32 bytes: SHA-256, or for SM2DSA the SM3 digest of Z and the message.
func (i *Instance) Sign(ctx context.Context, key, algorithm string, digest []byte) (Signature, error) {
	var answer api.SignResponse
	err := i.gcs(ctx, gcs{
		action: "Sign", key: shownKey(key), answer: &answer, secrets: func() secrets { return secrets{string(digest)} },
		request: &api.SignRequest{KeyId: key, Algorithm: algorithm, Message: digest, MessageType: messageDigest},
		check: func(func(string) string) string {
			return cmp.Or(empty("Signature", answer.Signature), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return Signature{}, err
	}
	return Signature{KeyID: answer.KeyId, Value: answer.Signature, RequestID: answer.RequestId}, nil
}

// Verify has the service verify a signature over a digest. False with a nil error means that it is not valid.
func (i *Instance) Verify(ctx context.Context, key, algorithm string, digest, signature []byte) (bool, error) {
	var answer api.VerifyResponse
	err := i.gcs(ctx, gcs{
		action: "Verify", key: shownKey(key), answer: &answer, secrets: func() secrets { return secrets{string(digest)} },
		request: &api.VerifyRequest{KeyId: key, Algorithm: algorithm, Message: digest, MessageType: messageDigest, Signature: signature},
		check: func(func(string) string) string {
			return cmp.Or(missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	return err == nil && answer.Value, err
}

// GetPublicKey returns the public half of an asymmetric key.
func (i *Instance) GetPublicKey(ctx context.Context, key string) (PublicKey, error) {
	var answer api.GetPublicKeyResponse
	err := i.gcs(ctx, gcs{
		action: "GetPublicKey", key: shownKey(key), request: &api.GetPublicKeyRequest{KeyId: key}, answer: &answer,
		check: func(func(string) string) string {
			return cmp.Or(missing("PublicKey", answer.PublicKey), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{KeyID: answer.KeyId, PEM: []byte(answer.PublicKey), RequestID: answer.RequestId}, nil
}

// GenerateRandom returns 1 to 1,024 random bytes of the instance's generator.
func (i *Instance) GenerateRandom(ctx context.Context, size int) ([]byte, error) {
	var answer api.GenerateRandomResponse
	if size < 1 || size > maxDataKey {
		return nil, i.wrong("GenerateRandom", "", kmsmigrate.ErrInvalid, "1 to 1,024 random bytes can be had")
	}
	err := i.gcs(ctx, gcs{
		reveals: true, action: "GenerateRandom", request: &api.GenerateRandomRequest{Length: int32(size)}, answer: &answer,
		check: func(func(string) string) string {
			if len(answer.Random) != size {
				return "it has not as many bytes as were asked for"
			}
			return missing("RequestId", answer.RequestId)
		},
	})
	if err != nil {
		return nil, err
	}
	return answer.Random, nil
}

// GetSecretValue returns the value of a version of a secret, named by id or by stage; of the current one where both are
// empty.
func (i *Instance) GetSecretValue(ctx context.Context, name, version, stage string) (resource.SecretValue, error) {
	var answer api.GetSecretValueResponse
	err := i.gcs(ctx, gcs{
		reveals: true, action: "GetSecretValue", request: &api.GetSecretValueRequest{SecretName: name, VersionId: version, VersionStage: stage}, answer: &answer,
		check: func(func(string) string) string {
			return cmp.Or(missing("SecretData", answer.SecretData), missing("VersionId", answer.VersionId), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return resource.SecretValue{}, err
	}
	return resource.SecretValue{
		Data: []byte(answer.SecretData), Binary: answer.SecretDataType == "binary", VersionID: answer.VersionId, Stages: answer.VersionStages, Created: timeOf(answer.CreateTime),
	}, nil
}

func (i *Instance) bound(op, key string, b Binding) ([]byte, error) {
	aad, err := b.aad()
	if err != nil {
		return nil, i.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, err.Error())
	}
	return aad, nil
}

func empty(field string, value []byte) string { return missing(field, string(value)) }
