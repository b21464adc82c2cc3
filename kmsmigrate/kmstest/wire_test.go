package kmstest_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// The signatures here are computed as the documents describe them, not as an SDK or the fake does.

func escape(s string) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(url.QueryEscape(s))
}

func canonicalQuery(params map[string]string) string {
	var pairs []string
	for k, v := range params {
		pairs = append(pairs, escape(k)+"="+escape(v))
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

func signOld(method, secret string, params map[string]string) {
	mac := hmac.New(sha1.New, []byte(secret+"&"))
	mac.Write([]byte(method + "&%2F&" + escape(canonicalQuery(params))))
	params["Signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// answerOf sends a request and returns status, code and message.
func answerOf(t *testing.T, r *http.Request) (int, string, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	var e struct{ Code, Message string }
	require.NoError(t, json.Unmarshal(body, &e), string(body))
	return answer.StatusCode, e.Code, e.Message
}

func TestSignatureOneOnTheWire(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	key := newKey(t, region.CreateKey, kmstest.KeySpec{})
	id, secret := cloud.Credentials()
	base := func() map[string]string {
		return map[string]string{"AccessKeyId": id, "Action": "Encrypt", "Format": "json", "Version": "2016-01-20", "SignatureMethod": "HMAC-SHA1",
			"SignatureVersion": "1.0", "Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05Z"), "KeyId": key.ID(), "Plaintext": "a b*c~d+ü/=&"}
	}
	for name, c := range map[string]struct {
		change func(map[string]string) // before signing
		tamper func(map[string]string) // after signing
		status int
		code   string
	}{
		"no nonce":            {nil, nil, 200, ""},
		"with nonce":          {func(p map[string]string) { p["SignatureNonce"] = "1" }, nil, 200, ""},
		"milliseconds":        {func(p map[string]string) { p["Timestamp"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }, nil, 200, ""},
		"empty value":         {func(p map[string]string) { p["SignatureType"] = "" }, nil, 200, ""},
		"empty value added":   {nil, func(p map[string]string) { p["SignatureType"] = "" }, 400, "IncompleteSignature"},
		"parameter changed":   {nil, func(p map[string]string) { p["Plaintext"] = "other" }, 400, "IncompleteSignature"},
		"signature no base64": {nil, func(p map[string]string) { p["Signature"] = "%" }, 400, "IncompleteSignature"},
		"no signature":        {nil, func(p map[string]string) { delete(p, "Signature") }, 400, "MissingParameter"},
		"no access key":       {func(p map[string]string) { delete(p, "AccessKeyId") }, nil, 400, "MissingParameter"},
		"fourteen minutes": {func(p map[string]string) {
			p["Timestamp"] = time.Now().Add(-14 * time.Minute).UTC().Format("2006-01-02T15:04:05Z")
		}, nil, 200, ""},
		"sixteen minutes": {func(p map[string]string) {
			p["Timestamp"] = time.Now().Add(-16 * time.Minute).UTC().Format("2006-01-02T15:04:05Z")
		}, nil, 400, "IllegalTimestamp"},
		"sixteen minutes ahead": {func(p map[string]string) {
			p["Timestamp"] = time.Now().Add(16 * time.Minute).UTC().Format("2006-01-02T15:04:05Z")
		}, nil, 400, "IllegalTimestamp"},
		"timestamp of no format": {func(p map[string]string) { p["Timestamp"] = "now" }, nil, 400, "IllegalTimestamp"},
		"other version":          {func(p map[string]string) { p["Version"] = "2014-05-26" }, nil, 400, "InvalidParameter"},
		"other method":           {func(p map[string]string) { p["SignatureMethod"] = "MD5" }, nil, 400, "InvalidParameter"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			p := base()
			if c.change != nil {
				c.change(p)
			}
			signOld(method, secret, p)
			if c.tamper != nil {
				c.tamper(p)
			}
			address, body := "http://"+region.HTTP+"/?"+canonicalQuery(p), ""
			if method == http.MethodPost {
				address, body = "http://"+region.HTTP+"/", canonicalQuery(p)
			}
			r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			status, code, _ := answerOf(t, r)
			require.Equal(t, c.code, code, "%s by %s", name, method)
			require.Equal(t, c.status, status, name)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+region.HTTP+"/?Format=JSON", nil)
	require.NoError(t, err)
	status, code, _ := answerOf(t, r)
	require.Equal(t, 403, status)
	require.Equal(t, "UnsupportedHTTPMethod", code)
}

func TestSignatureThreeOnTheWire(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	id, secret := cloud.Credentials()
	sts := cloud.AssumeRole()
	type request struct {
		id, secret, token, body string
		query                   map[string]string
		date                    time.Time
		unsigned                string
	}
	for name, c := range map[string]struct {
		change func(*request)
		tamper func(*http.Request)
		code   string
	}{
		"good":             {nil, nil, ""},
		"with a query":     {func(q *request) { q.query = map[string]string{"PageSize": "5", "Filters": "[]"} }, nil, ""},
		"with a body":      {func(q *request) { q.body = "PageSize=5" }, nil, ""},
		"temporary":        {func(q *request) { q.id, q.secret, q.token = sts.AccessKeyID, sts.AccessKeySecret, sts.SecurityToken }, nil, ""},
		"without token":    {func(q *request) { q.id, q.secret = sts.AccessKeyID, sts.AccessKeySecret }, nil, "InvalidSecurityToken.MismatchWithAccessKey"},
		"wrong secret":     {func(q *request) { q.secret += "x" }, nil, "IncompleteSignature"},
		"unknown key":      {func(q *request) { q.id += "x" }, nil, "InvalidAccessKeyId.NotFound"},
		"late":             {func(q *request) { q.date = q.date.Add(-16 * time.Minute) }, nil, "IllegalTimestamp"},
		"unsigned date":    {func(q *request) { q.unsigned = "x-acs-date" }, nil, "IncompleteSignature"},
		"unsigned action":  {func(q *request) { q.unsigned = "x-acs-action" }, nil, "IncompleteSignature"},
		"query added":      {nil, func(r *http.Request) { r.URL.RawQuery = "PageSize=5" }, "IncompleteSignature"},
		"action changed":   {nil, func(r *http.Request) { r.Header.Set("X-Acs-Action", "CreateKey") }, "IncompleteSignature"},
		"body added":       {nil, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=b")), 3 }, "IncompleteSignature"},
		"version changed":  {nil, func(r *http.Request) { r.Header.Set("X-Acs-Version", "2014-05-26") }, "InvalidParameter"},
		"header truncated": {nil, func(r *http.Request) { r.Header.Set("Authorization", "ACS3-HMAC-SHA256") }, "MissingParameter"},
	} {
		q := request{id: id, secret: secret, date: time.Now().UTC()}
		if c.change != nil {
			c.change(&q)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+region.HTTP+"/?"+canonicalQuery(q.query), strings.NewReader(q.body))
		require.NoError(t, err)
		payload := sha256.Sum256([]byte(q.body))
		headers := map[string]string{"x-acs-action": "ListKeys", "x-acs-version": "2016-01-20", "x-acs-date": q.date.Format("2006-01-02T15:04:05Z"),
			"x-acs-content-sha256": hex.EncodeToString(payload[:])}
		if q.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if q.token != "" {
			headers["x-acs-security-token"] = q.token
		}
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		headers["host"] = region.HTTP
		delete(headers, q.unsigned)
		var names []string
		for k := range headers {
			names = append(names, k)
		}
		sort.Strings(names)
		canonical := "POST\n/\n" + canonicalQuery(q.query) + "\n"
		for _, k := range names {
			canonical += k + ":" + headers[k] + "\n"
		}
		signed := strings.Join(names, ";")
		digest := sha256.Sum256([]byte(canonical + "\n" + signed + "\n" + hex.EncodeToString(payload[:])))
		mac := hmac.New(sha256.New, []byte(q.secret))
		mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(digest[:])))
		r.Header.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+q.id+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(mac.Sum(nil)))
		if c.tamper != nil {
			c.tamper(r)
		}
		_, code, _ := answerOf(t, r)
		require.Equal(t, c.code, code, name)
	}
}

// The words of the KMS documents.
func TestMessagesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	cloud := start(t, kmstest.Config{})
	region := openRegion(t, cloud, "cn-hangzhou")
	client := regionClient(t, region)
	service, err := region.CreateServiceKey("oss")
	require.NoError(t, err)
	for want, params := range map[string]map[string]string{
		`The parameter "KeyId" is needed but not provided.`:         {"Plaintext": "x"},
		`The specified parameter "EncryptionContext" is not valid.`: {"Plaintext": "x", "KeyId": newKey(t, region.CreateKey, kmstest.KeySpec{}).ID(), "EncryptionContext": "x"},
		`This action is not supported.`:                             {"Plaintext": "x", "KeyId": service.ID()},
		`The specified Key is not found.`:                           {"Plaintext": "x", "KeyId": "none"},
		`This operation is forbidden by permission system.`:         {"Plaintext": "x", "KeyId": "acs:kms:cn-hangzhou:9:key/x"},
	} {
		require.ErrorContains(t, call(client, region.HTTPS, "Encrypt", params), want)
	}
}
