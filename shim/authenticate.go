package shim

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // signature version 1.0 is HMAC-SHA1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	acs3    = "ACS3-HMAC-SHA256"
	maxSkew = 15 * time.Minute // as the service has it
)

func isACS3(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), acs3) }

// authenticate finds the caller and checks its signature, the time and that the request is the first of its kind.
func (h *Handler) authenticate(r *http.Request, q asked, body []byte) (*caller, *answer) {
	id, stamp, given, signature := q.common["AccessKeyId"], q.common["Timestamp"], q.common["Signature"], signatureRPC
	if isACS3(r) {
		fields := acs3Fields(r.Header.Get("Authorization"))
		id, stamp, given, signature = fields["Credential"], r.Header.Get("X-Acs-Date"), fields["Signature"], signatureACS3
	}
	at, err := time.Parse("2006-01-02T15:04:05Z", stamp) // also takes a fraction of a second
	if err != nil || time.Since(at).Abs() > maxSkew {
		return nil, failed(http.StatusBadRequest, "IllegalTimestamp", "The time of the request is missing, or more than 15 minutes off.")
	}
	who := h.callers[id]
	if who == nil {
		return nil, failed(http.StatusNotFound, "InvalidAccessKeyId.NotFound", "The Access Key ID provided does not exist in our records: the shim's Callers list it not.")
	}
	signed, ok := signature(r, q, body, given, who.secret())
	if !ok {
		return nil, failed(http.StatusBadRequest, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
	}
	switch fresh, full := who.seen.first(signed, at, time.Now()); {
	case full:
		h.router.stats.unremembered.Add(1)
		return nil, failed(http.StatusTooManyRequests, "Rejected.Throttling", "QPS Limit Exceeded: the shim has to remember too many requests of this caller.")
	case !fresh:
		return nil, failed(http.StatusBadRequest, "SignatureNonceUsed", "Specified signature nonce was used already.")
	}
	return who, nil
}

// signatureRPC computes signature version 1.0, HMAC-SHA1 over the method and everything but the signature, empty values too, and reports
// whether it is the given one.
func signatureRPC(r *http.Request, q asked, _ []byte, given, secret string) (signature []byte, ok bool) {
	if q.common["SignatureMethod"] != "HMAC-SHA1" || q.common["SignatureVersion"] != "1.0" {
		return nil, false
	}
	all := maps.Clone(q.params)
	maps.Copy(all, q.common)
	delete(all, "Signature")
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(r.Method + "&%2F&" + escape(canonicalQuery(all))))
	signature = mac.Sum(nil)
	got, err := base64.StdEncoding.DecodeString(given)
	return signature, err == nil && hmac.Equal(got, signature)
}

// signatureACS3 does so with the newest signature, a header: ACS3-HMAC-SHA256 Credential=…,SignedHeaders=a;b,Signature=hex.
func signatureACS3(r *http.Request, _ asked, body []byte, given, secret string) (signature []byte, ok bool) {
	digest := sha256.Sum256(body)
	payload := hex.EncodeToString(digest[:])
	signed := acs3Fields(r.Header.Get("Authorization"))["SignedHeaders"]
	names := strings.Split(signed, ";")
	for _, must := range []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-version"} {
		if !slices.Contains(names, must) {
			return nil, false
		}
	}
	if r.Header.Get("X-Acs-Signature-Nonce") != "" && !slices.Contains(names, "x-acs-signature-nonce") {
		return nil, false // whoever repeats the request could change it
	}
	if r.Header.Get("X-Acs-Content-Sha256") != payload {
		return nil, false
	}
	query := params{}
	for name, values := range r.URL.Query() {
		query[name] = values[0]
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(query) + "\n")
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		b.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	b.WriteString("\n" + signed + "\n" + payload)
	digest = sha256.Sum256([]byte(b.String()))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(acs3 + "\n" + hex.EncodeToString(digest[:])))
	signature = mac.Sum(nil)
	got, err := hex.DecodeString(given)
	return signature, err == nil && hmac.Equal(got, signature)
}

func acs3Fields(authorization string) map[string]string {
	out := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimSpace(strings.TrimPrefix(authorization, acs3)), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		out[name] = value
	}
	return out
}

func canonicalQuery(p params) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(name) + "=" + escape(p[name]))
	}
	return b.String()
}

// escape percent-encodes as RFC 3986 has it: a space is %20, an asterisk %2A, a tilde stays.
func escape(s string) string {
	const hexDigits = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+len(s)/4)
	for i := range len(s) {
		b := s[i]
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.' || b == '~' {
			out = append(out, b)
		} else {
			out = append(out, '%', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return string(out)
}
