package kmstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

const acs3 = "ACS3-HMAC-SHA256"

// isACS3 recognises the newest signature: a header instead of parameters.
func isACS3(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), acs3) }

// authenticateACS3 checks a header of the form ACS3-HMAC-SHA256 Credential=…,SignedHeaders=a;b,Signature=hex.
func (c *rpcCall) authenticateACS3() (credential, *model.Error) {
	h := c.x.http.Header
	fields := acs3Fields(h.Get("Authorization"))
	switch {
	case h.Get("X-Acs-Version") != apiVersion:
		return credential{}, model.InvalidParameter("Version")
	case !c.inTime(h.Get("X-Acs-Date")):
		return credential{}, badTimestamp()
	}
	who, err := c.x.face.cloud.credential(fields["Credential"])
	if err != nil {
		return credential{}, err
	}
	if err := who.checkToken(h.Get("X-Acs-Security-Token")); err != nil {
		return credential{}, err
	}
	digest := sha256.Sum256(c.x.body)
	payload := hex.EncodeToString(digest[:])
	if h.Get("X-Acs-Content-Sha256") != payload {
		return credential{}, badSignature()
	}
	request, ok := c.canonicalRequest(fields["SignedHeaders"], payload)
	given, derr := hex.DecodeString(fields["Signature"])
	if !ok || derr != nil {
		return credential{}, badSignature()
	}
	digest = sha256.Sum256([]byte(request))
	mac := hmac.New(sha256.New, []byte(who.secret))
	mac.Write([]byte(acs3 + "\n" + hex.EncodeToString(digest[:])))
	if !hmac.Equal(given, mac.Sum(nil)) {
		return credential{}, badSignature()
	}
	return who, nil
}

func acs3Fields(authorization string) map[string]string {
	out := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimSpace(strings.TrimPrefix(authorization, acs3)), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		out[name] = value
	}
	return out
}

// canonicalRequest rebuilds what the client hashed. It reports false when what names the operation, the time, the body or the place was
// left unsigned.
func (c *rpcCall) canonicalRequest(signed, payload string) (string, bool) {
	names := strings.Split(signed, ";")
	for _, must := range []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-version"} {
		if !slices.Contains(names, must) {
			return "", false
		}
	}
	var query params
	query.parse(c.x.http.URL.RawQuery)
	slices.SortFunc(query, func(a, b param) int { return strings.Compare(a.name, b.name) })
	out := append([]byte(c.x.http.Method), '\n')
	out = append(out, c.x.http.URL.EscapedPath()...)
	out = append(out, '\n')
	for i, pair := range query {
		if i > 0 {
			out = append(out, '&')
		}
		out = append(appendEscaped(out, pair.name, "%"), '=')
		out = appendEscaped(out, pair.value, "%")
	}
	out = append(out, '\n')
	for _, name := range names {
		value := strings.Join(c.x.http.Header.Values(name), ",")
		if name == "host" {
			value = c.x.http.Host
		}
		out = append(out, name+":"+strings.TrimSpace(value)+"\n"...)
	}
	return string(out) + "\n" + signed + "\n" + payload, true
}
