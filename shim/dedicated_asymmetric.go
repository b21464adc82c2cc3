package shim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
)

// asymmetric carries out the operations of key pairs. What the OpenAPI has in base64, the instance API has in bytes.
func (d *dedicated) asymmetric(ctx context.Context, action string, p params) (fields map[string]any, refusal *answer) {
	raw := map[string][]byte{}
	for _, name := range map[string][]string{
		"AsymmetricEncrypt": {"Plaintext"}, "AsymmetricDecrypt": {"CiphertextBlob"}, "AsymmetricSign": {"Digest"}, "AsymmetricVerify": {"Digest", "Value"},
	}[action] {
		if p[name] == "" {
			return nil, lacking(name)
		}
		var err error
		if raw[name], err = base64.StdEncoding.DecodeString(p[name]); err != nil {
			return nil, failed(http.StatusBadRequest, "InvalidParameter", fmt.Sprintf("The specified parameter %q is not valid: it is not base64.", name))
		}
	}
	key, version, algorithm := p["KeyId"], p["KeyVersionId"], p["Algorithm"]
	if key == "" {
		return nil, lacking("KeyId")
	}
	const digest = "DIGEST"
	var id, request, name string
	var value any
	switch action {
	case "AsymmetricEncrypt":
		var got api.EncryptResponse
		version, refusal = d.ask(ctx, "Encrypt", version, &api.EncryptRequest{KeyId: key, Plaintext: raw["Plaintext"], Algorithm: algorithm}, &got)
		id, request, name, value = got.KeyId, got.RequestId, "CiphertextBlob", base64.StdEncoding.EncodeToString(got.CiphertextBlob)
	case "AsymmetricDecrypt":
		var got api.DecryptResponse
		version, refusal = d.ask(ctx, "Decrypt", version, &api.DecryptRequest{KeyId: key, CiphertextBlob: raw["CiphertextBlob"], Algorithm: algorithm}, &got)
		id, request, name, value = got.KeyId, got.RequestId, "Plaintext", base64.StdEncoding.EncodeToString(got.Plaintext)
	case "AsymmetricSign":
		var got api.SignResponse
		version, refusal = d.ask(ctx, "Sign", version, &api.SignRequest{KeyId: key, Algorithm: algorithm, Message: raw["Digest"], MessageType: digest}, &got)
		id, request, name, value = got.KeyId, got.RequestId, "Value", base64.StdEncoding.EncodeToString(got.Signature)
	case "AsymmetricVerify":
		var got api.VerifyResponse
		version, refusal = d.ask(ctx, "Verify", version, &api.VerifyRequest{KeyId: key, Algorithm: algorithm, Message: raw["Digest"], MessageType: digest, Signature: raw["Value"]}, &got)
		id, request, name, value = got.KeyId, got.RequestId, "Value", got.Value
	default:
		var got api.GetPublicKeyResponse
		version, refusal = d.ask(ctx, "GetPublicKey", version, &api.GetPublicKeyRequest{KeyId: key}, &got)
		id, request, name, value = got.KeyId, got.RequestId, "PublicKey", got.PublicKey
	}
	return map[string]any{"KeyId": id, "KeyVersionId": version, name: value, "RequestId": request}, refusal
}

func lacking(name string) *answer {
	return failed(http.StatusBadRequest, "MissingParameter", fmt.Sprintf("The parameter %q is needed but not provided.", name))
}

func notABlob() *answer {
	return failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "CiphertextBlob" is not valid: it is the CiphertextBlob string of an answer, base64 of 64 bytes or more that begin with a key version id.`)
}

// additional is what the instance API takes in place of an EncryptionContext: SHA-256 over name=value, sorted and joined by &. That is what
// the shared gateway makes of one, and the transfer SDK, which also makes something of an object without names.
func additional(text string) ([]byte, *answer) {
	if text == "" {
		return nil, nil
	}
	var pairs map[string]string
	if !isContext(text) || json.Unmarshal([]byte(text), &pairs) != nil {
		return nil, failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "EncryptionContext" is not valid: it must be a JSON object whose values are strings.`)
	}
	joined := make([]string, 0, len(pairs))
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		joined = append(joined, name+"="+pairs[name])
	}
	sum := sha256.Sum256([]byte(strings.Join(joined, "&")))
	return sum[:], nil
}

// dataKeySize reads KeySpec and NumberOfBytes as the OpenAPI does (GenerateDataKey: 1 to 1,024 bytes, 32 by default).
func dataKeySize(p params) (int, *answer) {
	if text := p["NumberOfBytes"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1024 {
			return 0, failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "NumberOfBytes" is not valid: a data key has 1 to 1024 bytes.`)
		}
		return n, nil
	}
	switch p["KeySpec"] {
	case "", "AES_256":
		return 32, nil
	case "AES_128":
		return 16, nil
	default:
		return 0, failed(http.StatusBadRequest, "InvalidParameter", `The specified parameter "KeySpec" is not valid: it is AES_256 or AES_128.`)
	}
}
