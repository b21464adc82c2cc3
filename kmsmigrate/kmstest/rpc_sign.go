package kmstest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // signature version 1.0 is HMAC-SHA1
	"encoding/base64"
	"hash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// maxSkew is how far a client's clock may be off.
const maxSkew = 15 * time.Minute

// credential is an access key, or a temporary one of STS, which has a token.
type credential struct {
	id, secret, token string

	signers *sync.Pool // of *signer
}

// signer computes HMAC-SHA1 under one secret. Its buffer holds the string to sign, which is long.
type signer struct {
	mac    hash.Hash
	buffer []byte
}

func newCredential(id, secret, token string) credential {
	return credential{id, secret, token, &sync.Pool{New: func() any { return &signer{mac: hmac.New(sha1.New, []byte(secret+"&"))} }}}
}

func (c *Cloud) credential(id string) (credential, *model.Error) {
	if id == "" {
		return credential{}, model.MissingParameter("AccessKeyId")
	}
	v, ok := c.credentials.Load(id)
	if !ok {
		return credential{}, &model.Error{Status: http.StatusNotFound, Code: "InvalidAccessKeyId.NotFound",
			Message: "The Access Key ID provided does not exist in our records."}
	}
	return v.(credential), nil
}

func badSignature() *model.Error {
	return &model.Error{Status: http.StatusBadRequest, Code: "IncompleteSignature",
		Message: "The request signature does not conform to Aliyun standards."}
}

func badTimestamp() *model.Error {
	return &model.Error{Status: http.StatusBadRequest, Code: "IllegalTimestamp",
		Message: `The input parameter "Timestamp" that is mandatory for processing this request is not supplied.`}
}

// authenticate checks the signature, whichever of the two kinds it is.
func (c *rpcCall) authenticate() *model.Error {
	if c.broken != nil {
		return c.broken
	}
	var who credential
	var err *model.Error
	if isACS3(c.x.http) {
		who, err = c.authenticateACS3()
	} else {
		who, err = c.authenticateHMACSHA1()
	}
	if err != nil {
		return err
	}
	c.x.record.AccessKeyID = who.id
	return nil
}

// authenticateHMACSHA1 is signature version 1.0: everything but the signature is signed, empty values too. A nonce is optional: the Node
// SDK of KMS sends none.
func (c *rpcCall) authenticateHMACSHA1() (credential, *model.Error) {
	p := c.params
	for _, name := range [...]string{"AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Version"} {
		if _, err := p.need(name); err != nil {
			return credential{}, err
		}
	}
	switch {
	case p.get("SignatureMethod") != "HMAC-SHA1":
		return credential{}, model.InvalidParameter("SignatureMethod")
	case p.get("SignatureVersion") != "1.0":
		return credential{}, model.InvalidParameter("SignatureVersion")
	case p.get("Version") != apiVersion:
		return credential{}, model.InvalidParameter("Version")
	case !c.inTime(p.get("Timestamp")):
		return credential{}, badTimestamp()
	}
	who, err := c.x.face.cloud.credential(p.get("AccessKeyId"))
	if err != nil {
		return credential{}, err
	}
	if err := who.checkToken(p.get("SecurityToken")); err != nil {
		return credential{}, err
	}
	given, derr := base64.StdEncoding.DecodeString(p.get("Signature"))
	by := who.signers.Get().(*signer)
	defer who.signers.Put(by)
	by.mac.Reset()
	by.buffer = stringToSign(by.buffer[:0], c.x.http.Method, p)
	by.mac.Write(by.buffer)
	if derr != nil || !hmac.Equal(given, by.mac.Sum(nil)) {
		return credential{}, badSignature()
	}
	return who, nil
}

func (who credential) checkToken(token string) *model.Error {
	if token == who.token {
		return nil
	}
	return &model.Error{Status: http.StatusBadRequest, Code: "InvalidSecurityToken.MismatchWithAccessKey",
		Message: "The specified SecurityToken is mismatch with the AccessKey."}
}

// inTime takes time stamps with seconds and with milliseconds.
func (c *rpcCall) inTime(stamp string) bool {
	t, err := time.Parse("2006-01-02T15:04:05Z", stamp) // also accepts a fraction after the seconds
	return err == nil && c.x.inTime(t)
}

// stringToSign is METHOD&%2F& and the encoded, sorted query, the whole of which is encoded once more. It is written in one go, for it is
// most of what the fake does for a call.
func stringToSign(out []byte, method string, p params) []byte {
	var few [32]param
	sorted := append(few[:0], p...)
	slices.SortFunc(sorted, func(a, b param) int { return strings.Compare(a.name, b.name) })
	out = append(out, method...)
	out = append(out, "&%2F&"...)
	first := true
	for _, pair := range sorted {
		if pair.name == "Signature" {
			continue
		}
		if !first {
			out = append(out, "%26"...) // &
		}
		first = false
		out = appendEscaped(out, pair.name, "%25")
		out = append(out, "%3D"...) // =
		out = appendEscaped(out, pair.value, "%25")
	}
	return out
}

// appendEscaped percent-encodes as RFC 3986 has it: a space is %20, an asterisk %2A, a tilde stays. percent is what stands for the percent
// sign: itself, or %25 where the result is encoded again.
func appendEscaped(out []byte, s, percent string) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		b := s[i]
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.' || b == '~' {
			out = append(out, b)
		} else {
			out = append(append(out, percent...), hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return out
}
