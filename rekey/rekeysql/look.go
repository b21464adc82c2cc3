package rekeysql

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// The forms that [Look] knows.
const (
	FormBlob   = "CiphertextBlob, binary"  // starts with the id of a key version
	FormBase64 = "CiphertextBlob, base64"  // the same as text
	FormLine   = "CiphertextBlob in a row" // text that has one as a line or a field: the three-line sample, CSV
	FormJSON   = "CiphertextBlob in JSON"  // a JSON document that holds one
	FormFields = "four fields in JSON"     // a JSON object with the fields that the instance SDK's sample keeps
)

// Sighting is what a value that looks like KMS ciphertext tells of itself.
type Sighting struct {
	Form    string // one of the Form constants
	Version string // the id of the key version that wraps it; empty where the form does not tell
	// Head is the key version's id and as many zeros as a ciphertext has bytes at least. It is for reading the header, and
	// does not decrypt. Nil where the form does not tell the version.
	Head []byte
}

// Look tells whether a value looks like KMS ciphertext, from what it begins with or has inside. See [Undiscoverable] for
// what it cannot see.
func Look(value []byte) (s Sighting, ok bool) { return look(value, 0) }

func look(value []byte, depth int) (s Sighting, ok bool) {
	if len(value) < headText {
		return s, false
	}
	if _, isBlob := kmsmigrate.BlobVersion(value); isBlob {
		return sighted(FormBlob, value[:kmsmigrate.VersionIDSize]), true
	}
	text := bytes.TrimSpace(value)
	if id, isText := encoded(text); isText && !slices.ContainsFunc(text, separates) {
		return sighted(FormBase64, id), true
	}
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		var document any
		if json.Unmarshal(text, &document) == nil {
			return inJSON(document, depth)
		}
	}
	for start, i := 0, 0; i <= len(text); i++ {
		if i < len(text) && !separates(text[i]) {
			continue
		}
		if id, isText := encoded(text[start:i]); isText {
			return sighted(FormLine, id), true
		}
		start = i + 1
	}
	return s, false
}

// separates tells what stands between fields of a row, all of it ASCII.
func separates(c byte) bool {
	switch c {
	case '\r', '\n', '\t', ' ', ',', ';', ':', '|', '$', '.', '"', '\'':
		return true
	default:
		return false
	}
}

func sighted(form string, id []byte) Sighting {
	head := make([]byte, kmsmigrate.BlobOverhead)
	copy(head, id)
	return Sighting{Form: form, Version: string(id), Head: head}
}

// headText is how many characters of base64 the id of a key version has.
const headText = kmsmigrate.VersionIDSize / 3 * 4

// encoded returns the id that a base64 ciphertext begins with.
func encoded(text []byte) (id []byte, ok bool) {
	if len(text) < headText || base64.StdEncoding.DecodedLen(len(text)) < kmsmigrate.BlobOverhead {
		return nil, false
	}
	head := make([]byte, kmsmigrate.BlobOverhead)
	n, err := base64.StdEncoding.Decode(head, text[:headText])
	if err != nil || n != kmsmigrate.VersionIDSize {
		return nil, false
	}
	_, ok = kmsmigrate.BlobVersion(head)
	return head[:n], ok
}

// inJSON looks for a ciphertext among the strings of a document.
func inJSON(v any, depth int) (s Sighting, ok bool) {
	const deep = 20
	if depth > deep {
		return s, false
	}
	depth++
	switch v := v.(type) {
	case string:
		if s, ok = look([]byte(v), depth); ok && s.Form != FormFields {
			s.Form = FormJSON
		}
		return s, ok
	case []any:
		for _, e := range v {
			if s, ok = inJSON(e, depth); ok {
				return s, true
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) { // so that the same document always shows the same
			if s, ok = inJSON(v[name], depth); ok {
				return s, true
			}
		}
		return fourFields(v)
	}
	return Sighting{}, false
}

// fourFields recognises the object that the instance SDK's sample keeps, by the names of its fields.
func fourFields(object map[string]any) (s Sighting, ok bool) {
	has := 0
	for name, value := range object {
		text, isText := value.(string)
		switch strings.ToLower(name) {
		case "datakeyiv", "encrypteddatakey", "iv", "ciphertext":
			if isText && text != "" {
				has++
			}
		case "keyversionid":
			if _, isID := kmsmigrate.BlobVersion(append([]byte(text), make([]byte, kmsmigrate.BlobOverhead)...)); isID {
				s = sighted(FormFields, []byte(text)[:kmsmigrate.VersionIDSize])
			}
		}
	}
	s.Form = FormFields
	if has != 4 {
		return Sighting{}, false
	}
	return s, true
}
