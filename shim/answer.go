package shim

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// answer is what goes back to the application. Inside the shim it is always JSON.
type answer struct {
	status int
	body   []byte         // JSON
	fields map[string]any // of body
	side   string         // who answered: "old", "new" or, for a signature verified here, "local"; empty for an error of the shim's own
	stale  bool
}

func (a *answer) ok() bool { return a.status < http.StatusMultipleChoices }

// text returns a field that is a string.
func (a *answer) text(name string) string {
	s, _ := a.fields[name].(string)
	return s
}

// set changes fields.
func (a *answer) set(fields map[string]any) {
	for name, value := range fields {
		a.fields[name] = value
	}
	a.body = encode(a.fields)
}

// failed is an error answer of the shim's own, in the form of the service's.
func failed(status int, code, message string) *answer {
	return failedAs(status, code, message, requestID())
}

func failedAs(status int, code, message, id string) *answer {
	fields := map[string]any{"HttpStatus": status, "Code": code, "Message": message, "RequestId": id, "HostId": "shim.keyhaul"}
	return &answer{status: status, fields: fields, body: encode(fields)}
}

// answered is a success of the shim's own.
func answered(fields map[string]any) *answer {
	fields["RequestId"] = requestID()
	return &answer{status: http.StatusOK, fields: fields, body: encode(fields), side: "local"}
}

// requestID makes an id in the service's form, a UUID.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func encode(fields map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(fields) != nil {
		// The fields came out of JSON, or are strings and numbers of ours.
		return []byte("{}")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// needed are the fields that a success must have. The official SDKs return an answer without them as empty values and no error.
var needed = map[string][]string{
	"Encrypt":                         {"KeyId", "KeyVersionId", "CiphertextBlob"},
	"Decrypt":                         {"KeyId", "KeyVersionId", "Plaintext"},
	"GenerateDataKey":                 {"KeyId", "KeyVersionId", "CiphertextBlob", "Plaintext"},
	"GenerateDataKeyWithoutPlaintext": {"KeyId", "KeyVersionId", "CiphertextBlob"},
	"GenerateAndExportDataKey":        {"KeyId", "KeyVersionId", "CiphertextBlob", "ExportedDataKey"},
	"ExportDataKey":                   {"KeyId", "KeyVersionId", "ExportedDataKey"},
	"ReEncrypt":                       {"KeyId", "KeyVersionId", "CiphertextBlob"},
	"AsymmetricEncrypt":               {"KeyId", "KeyVersionId", "CiphertextBlob"},
	"AsymmetricDecrypt":               {"KeyId", "KeyVersionId", "Plaintext"},
	"AsymmetricSign":                  {"KeyId", "KeyVersionId", "Value"},
	"AsymmetricVerify":                {"KeyId", "KeyVersionId"},
	"GetPublicKey":                    {"KeyId", "KeyVersionId", "PublicKey"},
	"GetSecretValue":                  {"SecretName", "VersionId", "SecretData"},
}

// read makes an answer of what a service sent.
func (u *upstream) read(action string, p params, status int, body []byte) *answer {
	if status >= http.StatusMultipleChoices || status < http.StatusOK {
		return u.refused(p, status, body)
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	lacks := ""
	if d.Decode(&fields) != nil || fields == nil {
		lacks = "it is not a JSON object"
	}
	a := &answer{status: http.StatusOK, body: body, fields: fields, side: u.which.String()}
	for _, name := range append([]string{"RequestId"}, needed[action]...) {
		if lacks == "" && a.text(name) == "" {
			lacks = "it has no " + name
		}
	}
	if _, ok := fields["Value"].(bool); lacks == "" && action == "AsymmetricVerify" && !ok {
		lacks = "it has no Value"
	}
	if lacks != "" {
		return failed(http.StatusInternalServerError, "InternalFailure", fmt.Sprintf("The %s side answered with success, and the answer cannot be right: %s.", u.which, lacks))
	}
	return a
}

// refused makes an error answer of a service's, with a code in any case: a load balancer's page has none, an older front end answers
// in XML, and a numeric code would make the official SDK panic.
func (u *upstream) refused(p params, status int, body []byte) *answer {
	code, message, id := readError(body)
	if status < http.StatusBadRequest { // a redirect
		status = http.StatusServiceUnavailable
	}
	if !plain(code) {
		message = ""
		switch {
		case status == http.StatusTooManyRequests:
			code = "Rejected.Throttling"
		case status == http.StatusForbidden || status == http.StatusUnauthorized:
			code = "Forbidden.NoPermission"
		case status >= http.StatusInternalServerError && status != http.StatusInternalServerError:
			code = "ServiceUnavailableTemporary"
		case status == http.StatusRequestEntityTooLarge:
			code = "InvalidParameter"
		default:
			code = "InternalFailure"
		}
	}
	if !plain(id) {
		id = requestID()
	}
	if !p.maySay(message) {
		message = fmt.Sprintf("The %s side answered with HTTP status %d, and its words are not repeated here.", u.which, status)
	}
	if strings.Contains(code, "Signature") || strings.HasPrefix(code, "InvalidAccessKeyId") {
		message = "The access key that the shim has for the " + u.which.String() + " side is not accepted."
	}
	a := failedAs(status, code, message, id)
	a.side = u.which.String()
	return a
}

// plain reports whether text is a code or an id and nothing else.
func plain(text string) bool {
	const usual = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return text != "" && len(text) <= 80 && strings.Trim(text, usual) == ""
}

// readError reads an error in JSON or XML.
func readError(body []byte) (code, message, id string) {
	var e struct {
		XMLName   xml.Name `json:"-"`
		Code      any      `json:"Code" xml:"-"`
		Message   any      `json:"Message" xml:"-"`
		RequestID any      `json:"RequestId" xml:"-"`
		XCode     string   `json:"-" xml:"Code"`
		XMessage  string   `json:"-" xml:"Message"`
		XID       string   `json:"-" xml:"RequestId"`
	}
	switch text := bytes.TrimSpace(body); {
	case bytes.HasPrefix(text, []byte("{")):
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&e) != nil {
			return "", "", ""
		}
		return word(e.Code), word(e.Message), word(e.RequestID)
	case bytes.HasPrefix(text, []byte("<")):
		if xml.Unmarshal(text, &e) != nil {
			return "", "", ""
		}
		return e.XCode, e.XMessage, e.XID
	default:
		return "", "", ""
	}
}

// word is a field that is a string; numbers are no codes.
func word(v any) string {
	s, _ := v.(string)
	return s
}

// secretNames are the parameters whose values no error may show.
var secretNames = []string{"Plaintext", "CiphertextBlob", "EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext", "SecretData", "Aad", "Digest", "Value", "EncryptedKeyMaterial", "PrivateKey"}

// maySay reports whether words of a service may be passed on: they are short, and quote neither the request nor what it carried.
func (p params) maySay(text string) bool {
	if text == "" || len(text) > 400 || strings.ContainsAny(text, "%&") {
		return false
	}
	folded := strings.ToLower(text)
	return !slices.ContainsFunc(secretNames, func(name string) bool {
		value := p[name]
		return len(value) > 2 && strings.Contains(folded, strings.ToLower(value))
	})
}
