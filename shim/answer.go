package shim

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
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

// take reads the body of a success into a, and says what cannot be right about it.
func (a *answer) take(action string, body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	a.body, a.fields = body, nil
	if d.Decode(&a.fields) != nil || a.fields == nil {
		return "it is not a JSON object"
	}
	return a.lacks(action)
}

// lacks says which field of a success is missing, or "".
func (a *answer) lacks(action string) string {
	if a.text("RequestId") == "" {
		return "it has no RequestId"
	}
	for _, name := range needed[action] {
		if a.text(name) == "" {
			return "it has no " + name
		}
	}
	if _, ok := a.fields["Value"].(bool); action == "AsymmetricVerify" && !ok {
		return "it has no Value"
	}
	return ""
}

// secretNames are the parameters whose values no error may show.
var secretNames = []string{"Plaintext", "CiphertextBlob", "EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext", "SecretData", "Aad", "Digest", "Value", "EncryptedKeyMaterial", "PrivateKey"}

// secrets returns the values that no error may show. Those of up to three characters stand in every other word, and in error codes.
func (p params) secrets() []string {
	var values []string
	for _, name := range secretNames {
		if value := p[name]; len(value) > 3 {
			values = append(values, value)
		}
	}
	return values
}

// plain reports whether text is a code or an id and nothing else.
func plain(text string) bool {
	const usual = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return text != "" && len(text) <= 80 && strings.Trim(text, usual) == ""
}
