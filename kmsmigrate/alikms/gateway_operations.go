package alikms

import (
	"cmp"
	"context"
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// Encrypt encrypts 1 byte to 6 KB of UTF-8 text with a key named by id, alias or ARN. The text is sent as it is: the
// service neither asks for base64 nor decodes it. Errors are *kmsmigrate.Errors, here and in all operations.
func (g *Gateway) Encrypt(ctx context.Context, key string, plaintext []byte, b Binding) (Encrypted, error) {
	const op = "Encrypt"
	id := shownKey(key)
	switch {
	case len(plaintext) == 0:
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "there is no plaintext")
	case len(plaintext) > maxPlaintext:
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "the plaintext is longer than 6 KB, the most that the KMS encrypts: encrypt it with a data key")
	case !utf8.Valid(plaintext):
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "the plaintext is not UTF-8, and the OpenAPI carries text alone: encrypt its base64 text, or use an Instance")
	}
	bound, err := b.json()
	if err != nil {
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, err.Error())
	}
	text := string(plaintext)
	answer := kms.CreateEncryptResponse()
	var blob []byte
	err = g.rpc(ctx, rpc{
		action: op, key: id, answer: answer,
		parameters: parameters{"KeyId": key, "Plaintext": text, "EncryptionContext": bound},
		secrets:    func() secrets { return b.secrets(text) },
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			return cmp.Or(complaint, named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return Encrypted{}, err
	}
	return Encrypted{answer.KeyId, answer.KeyVersionId, blob, answer.RequestId}, nil
}

// Decrypt opens raw ciphertext of any symmetric key that the account and region can use; the answer names it. It fails
// with kmsmigrate.ErrForeign where the service answers with one of the foreign codes.
func (g *Gateway) Decrypt(ctx context.Context, ciphertext []byte, b Binding) (Decrypted, error) {
	return g.open(ctx, "", ciphertext, b)
}

func (g *Gateway) open(ctx context.Context, key string, ciphertext []byte, b Binding) (Decrypted, error) {
	const op = "Decrypt"
	bound, err := b.json()
	if err != nil {
		return Decrypted{}, g.wrong(op, key, kmsmigrate.ErrInvalid, err.Error())
	}
	if len(ciphertext) == 0 {
		return Decrypted{}, g.wrong(op, key, kmsmigrate.ErrInvalid, "there is no ciphertext")
	}
	text := kmsmigrate.EncodeBlob(ciphertext)
	answer := kms.CreateDecryptResponse()
	err = g.rpc(ctx, rpc{
		action: op, key: key, answer: answer, decrypt: true,
		parameters: parameters{"CiphertextBlob": text, "EncryptionContext": bound},
		secrets:    func() secrets { return b.secrets(text) },
		check: func() string {
			return cmp.Or(missing("Plaintext", answer.Plaintext), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return Decrypted{}, err
	}
	return Decrypted{answer.KeyId, answer.KeyVersionId, []byte(answer.Plaintext), answer.RequestId}, nil
}

// GenerateDataKey makes a data key of 1 to 1,024 bytes. Its ciphertext wraps the base64 text of the key: Decrypt gives that
// text.
func (g *Gateway) GenerateDataKey(ctx context.Context, key string, size int, b Binding) (DataKey, error) {
	p, err := g.dataKeyParameters("GenerateDataKey", key, size, b)
	if err != nil {
		return DataKey{}, err
	}
	answer := kms.CreateGenerateDataKeyResponse()
	var blob, plaintext []byte
	err = g.rpc(ctx, rpc{
		reveals: true, action: "GenerateDataKey", key: shownKey(key), answer: answer, parameters: p, secrets: func() secrets { return b.secrets() },
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			var err error
			plaintext, err = base64.StdEncoding.DecodeString(answer.Plaintext)
			// What was encrypted is the text, so it must be the one text that these bytes have.
			if err != nil || len(plaintext) != size || base64.StdEncoding.EncodeToString(plaintext) != answer.Plaintext {
				complaint = cmp.Or(complaint, "its Plaintext is not the base64 text of as many bytes as were asked for")
			}
			return cmp.Or(complaint, wraps(blob, len(answer.Plaintext)), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return DataKey{}, err
	}
	return DataKey{answer.KeyId, answer.KeyVersionId, plaintext, blob, true, answer.RequestId}, nil
}

// GenerateDataKeyWithoutPlaintext is GenerateDataKey for whoever only stores the wrapped key.
func (g *Gateway) GenerateDataKeyWithoutPlaintext(ctx context.Context, key string, size int, b Binding) (DataKey, error) {
	p, err := g.dataKeyParameters("GenerateDataKeyWithoutPlaintext", key, size, b)
	if err != nil {
		return DataKey{}, err
	}
	answer := kms.CreateGenerateDataKeyWithoutPlaintextResponse()
	var blob []byte
	err = g.rpc(ctx, rpc{
		action: "GenerateDataKeyWithoutPlaintext", key: shownKey(key), answer: answer, parameters: p, secrets: func() secrets { return b.secrets() },
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			return cmp.Or(complaint, wraps(blob, base64.StdEncoding.EncodedLen(size)), named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	if err != nil {
		return DataKey{}, err
	}
	return DataKey{answer.KeyId, answer.KeyVersionId, nil, blob, true, answer.RequestId}, nil
}

func (g *Gateway) dataKeyParameters(op, key string, size int, b Binding) (parameters, error) {
	bound, err := b.json()
	if err != nil {
		return nil, g.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, err.Error())
	}
	if size < 1 || size > maxDataKey {
		return nil, g.wrong(op, shownKey(key), kmsmigrate.ErrInvalid, "a data key has 1 to 1,024 bytes")
	}
	return parameters{"KeyId": key, "NumberOfBytes": strconv.Itoa(size), "EncryptionContext": bound}, nil
}

// ReEncrypt has the service decrypt ciphertext and encrypt it with another symmetric key of the same region, without the
// plaintext leaving it. It works on the shared gateway alone. The key and version of the answer are documented as those
// that decrypted: do not take them for the new ones, which Ciphertext begins with.
func (g *Gateway) ReEncrypt(ctx context.Context, ciphertext []byte, from Binding, key string, to Binding) (Encrypted, error) {
	const op = "ReEncrypt"
	id := shownKey(key)
	source, err := from.json()
	if err != nil {
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, err.Error())
	}
	destination, err := to.json()
	if err != nil {
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, err.Error())
	}
	if len(ciphertext) == 0 {
		return Encrypted{}, g.wrong(op, id, kmsmigrate.ErrInvalid, "there is no ciphertext")
	}
	text := kmsmigrate.EncodeBlob(ciphertext)
	answer := kms.CreateReEncryptResponse()
	var blob []byte
	err = g.rpc(ctx, rpc{
		action: op, key: id, answer: answer, decrypt: true,
		parameters: parameters{"CiphertextBlob": text, "SourceEncryptionContext": source, "DestinationKeyId": key, "DestinationEncryptionContext": destination},
		secrets:    func() secrets { return append(from.secrets(text), to.secrets()...) },
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			return cmp.Or(complaint, wraps(blob, len(ciphertext)-kmsmigrate.BlobOverhead), missing("RequestId", answer.RequestId))
		},
	})
	if err != nil {
		return Encrypted{}, err
	}
	return Encrypted{answer.KeyId, answer.KeyVersionId, blob, answer.RequestId}, nil
}

// AsymmetricEncrypt encrypts with the public half of a key version: with RSA_2048 up to 190 bytes (OAEP with SHA-256).
func (g *Gateway) AsymmetricEncrypt(ctx context.Context, key, version, algorithm string, plaintext []byte) (Encrypted, error) {
	answer := kms.CreateAsymmetricEncryptResponse()
	text := base64.StdEncoding.EncodeToString(plaintext)
	var blob []byte
	err := g.rpc(ctx, rpc{
		action: "AsymmetricEncrypt", key: shownKey(key), answer: answer, secrets: func() secrets { return secrets{text, string(plaintext)} },
		parameters: parameters{"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Plaintext": text},
		check: func() (complaint string) {
			blob, complaint = decodeBlob(answer.CiphertextBlob)
			return cmp.Or(complaint, named(answer.KeyId, answer.KeyVersionId, answer.RequestId))
		},
	})
	return Encrypted{answer.KeyId, answer.KeyVersionId, blob, answer.RequestId}, err
}

// AsymmetricDecrypt decrypts with the private half of a key version, which asymmetric ciphertext does not name.
func (g *Gateway) AsymmetricDecrypt(ctx context.Context, key, version, algorithm string, ciphertext []byte) (Decrypted, error) {
	answer := kms.CreateAsymmetricDecryptResponse()
	text := kmsmigrate.EncodeBlob(ciphertext)
	var plaintext []byte
	err := g.rpc(ctx, rpc{
		reveals: true, action: "AsymmetricDecrypt", key: shownKey(key), answer: answer, secrets: func() secrets { return secrets{text} },
		parameters: parameters{"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "CiphertextBlob": text},
		check: func() (complaint string) {
			var err error
			if plaintext, err = base64.StdEncoding.DecodeString(answer.Plaintext); err != nil || len(plaintext) == 0 {
				return "its Plaintext is empty or not base64"
			}
			return named(answer.KeyId, answer.KeyVersionId, answer.RequestId)
		},
	})
	return Decrypted{answer.KeyId, answer.KeyVersionId, plaintext, answer.RequestId}, err
}

// AsymmetricSign signs a digest of 32 bytes: SHA-256, or for SM2DSA the SM3 digest of Z and the message.
func (g *Gateway) AsymmetricSign(ctx context.Context, key, version, algorithm string, digest []byte) (Signature, error) {
	answer := kms.CreateAsymmetricSignResponse()
	text := base64.StdEncoding.EncodeToString(digest)
	var value []byte
	err := g.rpc(ctx, rpc{
		action: "AsymmetricSign", key: shownKey(key), answer: answer, secrets: func() secrets { return secrets{text} },
		parameters: parameters{"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Digest": text},
		check: func() (complaint string) {
			var err error
			if value, err = base64.StdEncoding.DecodeString(answer.Value); err != nil || len(value) == 0 {
				return "its Value is empty or not base64"
			}
			return named(answer.KeyId, answer.KeyVersionId, answer.RequestId)
		},
	})
	return Signature{answer.KeyId, answer.KeyVersionId, value, answer.RequestId}, err
}

// AsymmetricVerify has the service verify a signature over a digest. False with a nil error means that it is not valid.
func (g *Gateway) AsymmetricVerify(ctx context.Context, key, version, algorithm string, digest, signature []byte) (bool, error) {
	answer := kms.CreateAsymmetricVerifyResponse()
	text, value := base64.StdEncoding.EncodeToString(digest), base64.StdEncoding.EncodeToString(signature)
	err := g.rpc(ctx, rpc{
		action: "AsymmetricVerify", key: shownKey(key), answer: answer, secrets: func() secrets { return secrets{text, value} },
		parameters: parameters{"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Digest": text, "Value": value},
		check:      func() string { return named(answer.KeyId, answer.KeyVersionId, answer.RequestId) },
	})
	return err == nil && answer.Value, err
}

// GetPublicKey returns the public half of a version of an asymmetric key.
func (g *Gateway) GetPublicKey(ctx context.Context, key, version string) (PublicKey, error) {
	answer := kms.CreateGetPublicKeyResponse()
	err := g.rpc(ctx, rpc{
		action: "GetPublicKey", key: shownKey(key), answer: answer, parameters: parameters{"KeyId": key, "KeyVersionId": version},
		check: func() string {
			return cmp.Or(missing("PublicKey", answer.PublicKey), missing("KeyId", answer.KeyId), missing("RequestId", answer.RequestId))
		},
	})
	return PublicKey{answer.KeyId, answer.KeyVersionId, []byte(answer.PublicKey), answer.RequestId}, err
}

// GetSecretValue returns the value of a version of a secret, named by id or by stage; of the current one where both are
// empty.
func (g *Gateway) GetSecretValue(ctx context.Context, name, version, stage string) (resource.SecretValue, error) {
	answer := kms.CreateGetSecretValueResponse()
	err := g.rpc(ctx, rpc{
		reveals: true, action: "GetSecretValue", answer: answer, parameters: parameters{"SecretName": name, "VersionId": version, "VersionStage": stage},
		check: func() string {
			return cmp.Or(missing("SecretData", answer.SecretData), missing("VersionId", answer.VersionId), missing("RequestId", answer.RequestId))
		},
	})
	return resource.SecretValue{
		Data: []byte(answer.SecretData), Binary: answer.SecretDataType == "binary", VersionID: answer.VersionId,
		Stages: answer.VersionStages.VersionStage, Created: timeOf(answer.CreateTime),
	}, err
}

// GetRandomPassword returns a random password of 8 to 128 characters.
func (g *Gateway) GetRandomPassword(ctx context.Context, length int) (string, error) {
	answer := kms.CreateGetRandomPasswordResponse()
	err := g.rpc(ctx, rpc{
		reveals: true, action: "GetRandomPassword", answer: answer, parameters: parameters{"PasswordLength": strconv.Itoa(length)},
		check: func() string { return missing("RandomPassword", answer.RandomPassword) },
	})
	return answer.RandomPassword, err
}

// named says which of the fields that every answer has are missing.
func named(key, version, request string) string {
	return cmp.Or(missing("KeyId", key), missing("KeyVersionId", version), missing("RequestId", request))
}

// wraps says what is wrong with ciphertext of size bytes.
func wraps(blob []byte, size int) string {
	if _, ok := kmsmigrate.BlobVersion(blob); !ok || len(blob) != size+kmsmigrate.BlobOverhead {
		return "the ciphertext has not the form or length that it must have"
	}
	return ""
}
