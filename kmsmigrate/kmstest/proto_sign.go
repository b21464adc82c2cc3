package kmstest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

func invalidParam(name string) *model.Error {
	return &model.Error{Status: http.StatusBadRequest, Code: "InvalidParam", Message: "The Param " + name + " is invalid."}
}

// authenticate checks what the instance gateway checks, in its order: operation, time, body hash, ClientKey, signature.
func (c *protoCall) authenticate() *model.Error {
	h := c.x.http.Header
	switch {
	case h.Get("X-Kms-Acccesskeyid") == "":
		return model.MissingParameter("x-kms-acccesskeyid")
	case c.x.http.Method != http.MethodPost:
		return &model.Error{Status: http.StatusForbidden, Code: "UnsupportedHTTPMethod", Message: "This http method is not supported."}
	case h.Get("Content-Type") != protobufType:
		return &model.Error{Status: http.StatusUnsupportedMediaType, Code: "InvalidContentType", Message: "The Content-Type is invalid."}
	case h.Get("X-Kms-Apiversion") != protobufVersion:
		return &model.Error{Status: http.StatusBadRequest, Code: "InvalidApiVersion", Message: "The ApiVersion is invalid."}
	case !c.known:
		return &model.Error{Status: http.StatusBadRequest, Code: "InvalidApiName", Message: "The ApiName is invalid."}
	case h.Get("X-Kms-Signaturemethod") != "RSA_PKCS1_SHA_256":
		return invalidParam("x-kms-signaturemethod")
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return invalidParam("Date")
	}
	if !c.x.inTime(date) {
		return &model.Error{Status: http.StatusBadRequest, Code: "RequestTimeTooSkewed",
			Message: "The difference between the request time and the server time is too large."}
	}
	digest := sha256.Sum256(c.x.body)
	if h.Get("Content-Sha256") != strings.ToUpper(hex.EncodeToString(digest[:])) {
		return invalidParam("Content-Sha256")
	}
	return c.checkSignature(h.Get("X-Kms-Acccesskeyid"))
}

func (c *protoCall) checkSignature(keyID string) *model.Error {
	signature, found := strings.CutPrefix(c.x.http.Header.Get("Authorization"), "Bearer ")
	raw, err := base64.StdEncoding.DecodeString(signature)
	if !found || err != nil {
		return invalidParam("Authorization")
	}
	ck, valid := c.door.Instance.ClientKey(keyID)
	if ck == nil || !valid {
		// The documents name no code for an expired ClientKey. It is no longer among the instance's credentials.
		return &model.Error{Status: http.StatusNotFound, Code: "Unauthorized",
			Message: `The AccessKey ID "` + strings.ToValidUTF8(keyID, "?") + `" does not exist in our records.`}
	}
	digest := sha256.Sum256([]byte(protoStringToSign(c.x.http)))
	if rsa.VerifyPKCS1v15(ck.Public, crypto.SHA256, digest[:], raw) != nil {
		return &model.Error{Status: http.StatusUnauthorized, Code: "SignatureNotMatch", Message: "The signature does not match."}
	}
	c.x.record.AccessKeyID = keyID
	return nil
}

// protoStringToSign rebuilds it from the wire. net/http has changed the case of header names; they were signed in lower case.
func protoStringToSign(r *http.Request) string {
	h := r.Header
	var signed []string
	for name, values := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-kms-") {
			signed = append(signed, lower+":"+strings.TrimSpace(values[0])+"\n")
		}
	}
	slices.Sort(signed)
	return r.Method + "\n" + h.Get("Content-Sha256") + "\n" + h.Get("Content-Type") + "\n" + h.Get("Date") + "\n" + strings.Join(signed, "") + "/"
}
