package shim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// dedicated is an endpoint of the instance API that is asked in the words of the OpenAPI. It has the ten operations that the transfer SDK
// gives to an instance; everything else goes where that SDK lets it go, to the gateway.
type dedicated struct {
	which   kmsmigrate.Side
	made    *alikms.Instance
	advance bool
	codes   map[string]bool
	rest    endpoint
}

func newDedicated(which kmsmigrate.Side, cfg alikms.InstanceConfig, rest endpoint) (*dedicated, error) {
	if cfg.Side == kmsmigrate.SideUnknown {
		cfg.Side = which
	}
	made, err := alikms.NewInstance(cfg)
	if err != nil {
		return nil, invalid("%s side: %w", which, err)
	}
	return &dedicated{which: which, made: made, advance: cfg.Form == alikms.FormAdvance, codes: foreignCodes(cfg.ForeignCodes), rest: rest}, nil
}

func (d *dedicated) foreign(code string) bool { return d.codes[code] }

func (d *dedicated) close() { _ = d.made.Close() } // it never fails

const migrationVersion = "x-kms-migrationkeyversionid"

// dedicatedActions are the operations that go to an instance.
var dedicatedActions = map[string]bool{
	"Encrypt": true, "Decrypt": true, "GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true, "AsymmetricEncrypt": true,
	"AsymmetricDecrypt": true, "AsymmetricSign": true, "AsymmetricVerify": true, "GetPublicKey": true, "GetSecretValue": true,
}

func (d *dedicated) call(ctx context.Context, action string, p params) *answer {
	var fields map[string]any
	var refusal *answer
	if dedicatedActions[action] && strings.EqualFold(p["DryRun"], "true") { // the transfer SDK would do it in earnest
		return failed(http.StatusBadRequest, "UnsupportedOperation", "This action is not supported: a KMS instance has no DryRun, and nothing was done.")
	}
	switch action {
	case "Encrypt":
		fields, refusal = d.encrypt(ctx, p, p["Plaintext"])
	case "GenerateDataKey", "GenerateDataKeyWithoutPlaintext":
		fields, refusal = d.dataKey(ctx, p, action == "GenerateDataKey")
	case "Decrypt":
		fields, refusal = d.decrypt(ctx, p)
	case "AsymmetricEncrypt", "AsymmetricDecrypt", "AsymmetricSign", "AsymmetricVerify", "GetPublicKey":
		fields, refusal = d.asymmetric(ctx, action, p)
	case "GetSecretValue":
		fields, refusal = d.secret(ctx, p)
	default:
		return d.rest.call(ctx, action, p)
	}
	if refusal != nil {
		return refusal
	}
	return &answer{status: http.StatusOK, fields: fields, body: encode(fields), side: d.which.String()}
}

// ask carries out an operation of the instance API. version goes with it, and the answer's header may name another.
func (d *dedicated) ask(ctx context.Context, action, version string, request, got proto.Message) (string, *answer) {
	call := alikms.InstanceCall{Action: action, Request: request, Answer: got}
	if version != "" {
		call.Header = map[string]string{migrationVersion: version}
	}
	header, err := d.made.Raw(ctx, call)
	if err != nil {
		return "", d.refused(err)
	}
	if named := header(migrationVersion); named != "" {
		version = named
	}
	return version, nil
}

// encrypt makes a CiphertextBlob as the shared gateway's.
func (d *dedicated) encrypt(ctx context.Context, p params, plaintext string) (map[string]any, *answer) {
	aad, refusal := additional(p["EncryptionContext"])
	switch {
	case refusal != nil:
		return nil, refusal
	case p["KeyId"] == "":
		return nil, lacking("KeyId")
	case plaintext == "":
		return nil, lacking("Plaintext")
	}
	var id, version, request string
	var blob []byte
	if d.advance {
		var got api.AdvanceEncryptResponse
		if _, refusal = d.ask(ctx, "AdvanceEncrypt", "", &api.AdvanceEncryptRequest{KeyId: p["KeyId"], Plaintext: []byte(plaintext), Aad: aad}, &got); refusal == nil {
			id, version, request, blob = got.KeyId, got.KeyVersionId, got.RequestId, bytes.TrimPrefix(got.CiphertextBlob, advanceHead)
		}
	} else {
		var got api.EncryptResponse
		if version, refusal = d.ask(ctx, "Encrypt", "", &api.EncryptRequest{KeyId: p["KeyId"], Plaintext: []byte(plaintext), Aad: aad}, &got); refusal == nil {
			id, request, blob = got.KeyId, got.RequestId, bytes.Join([][]byte{[]byte(version), got.Iv, got.CiphertextBlob}, nil)
		}
	}
	if refusal != nil {
		return nil, refusal
	}
	if named, ok := kmsmigrate.BlobVersion(blob); !ok || named != version {
		return nil, d.wrong("it does not say with which key version it encrypted")
	}
	return map[string]any{"KeyId": id, "KeyVersionId": version, "CiphertextBlob": base64.StdEncoding.EncodeToString(blob), "RequestId": request}, nil
}

var advanceHead = []byte{0x24, 0x00, 0x02} // as in package alikms

// dataKey makes a data key here and has its base64 text encrypted, in one call: that is what the OpenAPI wraps, and what every client
// expects to come out. The transfer SDK takes two, and loses the data key where the key rotates in between.
func (d *dedicated) dataKey(ctx context.Context, p params, show bool) (map[string]any, *answer) {
	size, refusal := dataKeySize(p)
	if refusal != nil {
		return nil, refusal
	}
	key := make([]byte, size)
	_, _ = rand.Read(key) // it never fails
	text := base64.StdEncoding.EncodeToString(key)
	fields, refusal := d.encrypt(ctx, p, text)
	if refusal == nil && show {
		fields["Plaintext"] = text
	}
	return fields, refusal
}

func (d *dedicated) decrypt(ctx context.Context, p params) (map[string]any, *answer) {
	aad, refusal := additional(p["EncryptionContext"])
	if refusal != nil {
		return nil, refusal
	}
	blob, err := kmsmigrate.DecodeBlob(p["CiphertextBlob"])
	version, ok := kmsmigrate.BlobVersion(bytes.TrimPrefix(blob, advanceHead))
	blob = bytes.TrimPrefix(blob, advanceHead)
	switch {
	case p["CiphertextBlob"] == "":
		return nil, lacking("CiphertextBlob")
	case err != nil || !ok:
		return nil, notABlob()
	}
	var id, request string
	var plaintext []byte
	if d.advance {
		var got api.AdvanceDecryptResponse
		if _, refusal = d.ask(ctx, "AdvanceDecrypt", "", &api.AdvanceDecryptRequest{CiphertextBlob: bytes.Join([][]byte{advanceHead, blob}, nil), Aad: aad}, &got); refusal == nil {
			id, version, request, plaintext = got.KeyId, got.KeyVersionId, got.RequestId, got.Plaintext
		}
	} else {
		const head, nonce = kmsmigrate.VersionIDSize, kmsmigrate.VersionIDSize + 12
		var got api.DecryptResponse
		if version, refusal = d.ask(ctx, "Decrypt", version, &api.DecryptRequest{Iv: blob[head:nonce], CiphertextBlob: blob[nonce:], Aad: aad}, &got); refusal == nil {
			id, request, plaintext = got.KeyId, got.RequestId, got.Plaintext
		}
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case !utf8.Valid(plaintext): // the transfer SDK would return it changed
		return nil, failed(http.StatusBadRequest, "UnsupportedOperation", "This action is not supported: what the ciphertext holds is not text, and the OpenAPI carries text alone. Read it with shim.Instance.")
	}
	return map[string]any{"KeyId": id, "KeyVersionId": version, "Plaintext": string(plaintext), "RequestId": request}, nil
}

func (d *dedicated) secret(ctx context.Context, p params) (map[string]any, *answer) {
	if p["SecretName"] == "" {
		return nil, lacking("SecretName")
	}
	var got api.GetSecretValueResponse
	request := &api.GetSecretValueRequest{SecretName: p["SecretName"], VersionStage: p["VersionStage"], VersionId: p["VersionId"], FetchExtendedConfig: p["FetchExtendedConfig"] == "true"}
	if _, refusal := d.ask(ctx, "GetSecretValue", "", request, &got); refusal != nil {
		return nil, refusal
	}
	stages := make([]any, len(got.VersionStages))
	for i, stage := range got.VersionStages {
		stages[i] = stage
	}
	fields := map[string]any{
		"SecretName": got.SecretName, "VersionId": got.VersionId, "CreateTime": got.CreateTime, "SecretData": got.SecretData, "SecretDataType": got.SecretDataType,
		"SecretType": got.SecretType, "RequestId": got.RequestId, "VersionStages": map[string]any{"VersionStage": stages},
	}
	for name, value := range map[string]string{
		"AutomaticRotation": got.AutomaticRotation, "RotationInterval": got.RotationInterval, "NextRotationDate": got.NextRotationDate,
		"LastRotationDate": got.LastRotationDate, "ExtendedConfig": got.ExtendedConfig,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	return fields, nil
}

// refused is an error of the instance in the codes of the OpenAPI, which the application knows.
func (d *dedicated) refused(err error) *answer {
	a := refused(d.which, err)
	switch a.text("Code") {
	case "InvalidParam":
		a.set(map[string]any{"Code": "InvalidParameter"})
	case "Unauthorized":
		a.set(map[string]any{"Code": "InvalidAccessKeyId.NotFound", "Message": fmt.Sprintf("The ClientKey that the shim has for the %s side is not accepted.", d.which)})
	}
	return a
}

func (d *dedicated) wrong(what string) *answer {
	return failed(http.StatusInternalServerError, "InternalFailure", fmt.Sprintf("The %s side answered, and the answer cannot be right: %s.", d.which, what))
}
