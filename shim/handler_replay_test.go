package shim_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// TestARequestIsTakenOnceHoweverItsSignatureIsSpelled repeats requests without a nonce, as official SDKs send them.
func TestARequestIsTakenOnceHoweverItsSignatureIsSpelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := serve(t, w.handler(t, kmsmigrate.ReadBoth, allowed(w)))

	values := url.Values{
		"Action": {"Encrypt"}, "Version": {"2016-01-20"}, "Format": {"JSON"}, "AccessKeyId": {"app"}, "SignatureMethod": {"HMAC-SHA1"},
		"SignatureVersion": {"1.0"}, "Timestamp": {time.Now().UTC().Format("2006-01-02T15:04:05Z")}, "KeyId": {"alias/app"}, "Plaintext": {"x"},
	}
	mac := hmac.New(sha1.New, []byte(callerSecret+"&"))
	mac.Write([]byte("POST&%2F&" + url.QueryEscape(values.Encode())))
	signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for i, spelled := range []string{signature, signature, signature + "\n", signature + "\r\n\n", signature[:5] + "\n" + signature[5:]} {
		values.Set("Signature", spelled)
		status, body := post(t, addr, values.Encode(), nil)
		if i == 0 {
			require.Equal(t, 200, status, body)
		} else {
			require.Contains(t, body, "SignatureNonceUsed")
		}
	}

	const query = "KeyId=alias%2Fapp&Plaintext=y"
	empty := sha256.Sum256(nil)
	payload, date := hex.EncodeToString(empty[:]), time.Now().UTC().Format("2006-01-02T15:04:05Z")
	const signed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-version"
	canonical := sha256.Sum256([]byte("POST\n/\n" + query + "\nhost:" + addr + "\nx-acs-action:Encrypt\nx-acs-content-sha256:" + payload + "\nx-acs-date:" + date +
		"\nx-acs-version:2016-01-20\n\n" + signed + "\n" + payload))
	mac = hmac.New(sha256.New, []byte(callerSecret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(canonical[:])))
	signature = hex.EncodeToString(mac.Sum(nil))
	for i, spelled := range []string{signature, signature, strings.ToUpper(signature)} {
		status, body := post(t, addr, query, http.Header{
			"X-Acs-Action": {"Encrypt"}, "X-Acs-Version": {"2016-01-20"}, "X-Acs-Date": {date}, "X-Acs-Content-Sha256": {payload},
			"Authorization": {"ACS3-HMAC-SHA256 Credential=app,SignedHeaders=" + signed + ",Signature=" + spelled},
		})
		if i == 0 {
			require.Equal(t, 200, status, body)
		} else {
			require.Contains(t, body, "SignatureNonceUsed")
		}
	}
	require.Equal(t, 2, w.cloud.Count(kmstest.Match{}), "one of each went on")
}

// TestANonceWithASpaceBehindItIsNoOtherRequest has a header that the signature does not tell apart.
func TestANonceWithASpaceBehindItIsNoOtherRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := serve(t, w.handler(t, kmsmigrate.ReadBoth, allowed(w)))
	const query = "KeyId=alias%2Fapp&Plaintext=z"
	h := acs3("POST", addr, "Encrypt", query, "app", callerSecret, "n,m", time.Now())
	status, body := post(t, addr, query, h)
	require.Equal(t, 200, status, body)
	for _, nonce := range [][]string{{"n,m\u00a0"}, {"n", "m"}} {
		h["X-Acs-Signature-Nonce"] = nonce
		_, body = post(t, addr, query, h)
		require.Contains(t, body, "SignatureNonceUsed")
	}
}
