package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

const maxContext = 8192 // characters of EncryptionContext [KMS document 42975]

// ContextAAD turns an EncryptionContext parameter into the additional data of GCM: SHA-256 over k=v pairs, sorted by key, joined by &,
// nothing escaped. That is what Alibaba's transfer SDKs compute to open blobs of KMS 1.0, so it is what the service does. An absent
// context gives no additional data; "{}" gives the hash of nothing, as the transfer SDKs have it, unless the rules say otherwise.
func (c *Cloud) ContextAAD(parameter, encryptionContext string) ([]byte, *Error) {
	if encryptionContext == "" {
		return nil, nil
	}
	pairs, ok := parseContext(encryptionContext)
	if !ok || utf8.RuneCountInString(encryptionContext) > maxContext {
		return nil, InvalidParameter(parameter)
	}
	if len(pairs) == 0 && c.rules.EmptyContextIsNone {
		return nil, nil
	}
	keys := make([]string, 0, len(pairs))
	for k := range pairs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	h := sha256.New()
	for i, k := range keys {
		if i > 0 {
			h.Write([]byte{'&'})
		}
		h.Write([]byte(k + "=" + pairs[k]))
	}
	return h.Sum(nil), nil
}

// parseContext accepts a JSON object of strings and nothing else. Pointers, because null would otherwise pass as an empty string.
func parseContext(s string) (map[string]string, bool) {
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	var in map[string]*string
	if err := d.Decode(&in); err != nil || in == nil || d.More() {
		return nil, false
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		if v == nil {
			return nil, false
		}
		out[k] = *v
	}
	return out, true
}
