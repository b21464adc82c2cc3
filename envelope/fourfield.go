package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// FourField is what the envelope sample of the KMS instance SDK keeps, as the JSON of its Go struct [EnvelopeCipherText]: a data
// key that GenerateDataKey wrapped, its nonce, and the AES-GCM payload with a nonce of its own. Such a wrapped key does not
// name the key version that made it, so it is known here as the version's id, the nonce and the wrapped bytes, which is
// the form that the OpenAPI gives the same thing.
//
// Re-wrapping adds a field KeyVersionId, which the sample's readers pass over. Records that have none are of Version.
type FourField struct {
	// Version is the id, 36 bytes, of the key version that wrapped records which name none. The instance's
	// GenerateDataKey uses a key's initial version, whatever became of the key since.
	Version string
}

// EnvelopeCipherText has the fields of the sample's struct, in its order, under the sample's name. KeyVersionID is what Keyhaul
// adds.
type EnvelopeCipherText struct { //nolint:revive // the sample's name
	DataKeyIV        []byte
	EncryptedDataKey []byte
	Iv               []byte
	CipherText       []byte
	KeyVersionID     string `json:"KeyVersionId,omitempty"`
}

// Name returns "four-field".
func (FourField) Name() string { return "four-field" }

// SharesValues returns true: nonces are random.
func (FourField) SharesValues() bool { return true }

// Context returns the caller's context.
func (FourField) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

// parts decodes the object, and says where the payload stands.
func (l FourField) parts(record []byte) (m EnvelopeCipherText, payload field, err error) {
	fields, err := jsonFields(l.Name(), record, 0)
	if err != nil {
		return m, payload, err
	}
	end := bytes.LastIndexByte(record, '}')
	for _, f := range []struct {
		name        string
		to          *[]byte
		least, most int
	}{
		{"DataKeyIV", &m.DataKeyIV, nonceSize, nonceSize},
		{"EncryptedDataKey", &m.EncryptedDataKey, tagSize + 1, MaxWrapped},
		{"Iv", &m.Iv, nonceSize, nonceSize},
		{"CipherText", &m.CipherText, tagSize, len(record)},
	} {
		text, ok := fields[f.name]
		if !ok {
			return m, payload, badFormat(l.Name(), end, "want a text field %s before the object ends", f.name)
		}
		value, ok := decodeBase64([]byte(text.text))
		if !ok || len(value) < f.least || len(value) > f.most {
			return m, payload, badFormat(l.Name(), text.start, "want %s in base64, of %d bytes or more", f.name, f.least)
		}
		*f.to = value
	}
	m.KeyVersionID = l.Version
	at := end
	if f, ok := fields["KeyVersionId"]; ok {
		m.KeyVersionID, at = f.text, f.start
	}
	if len(m.KeyVersionID) != kmsmigrate.VersionIDSize {
		return m, payload, badFormat(l.Name(), at, "want the 36-byte id of the key version, in KeyVersionId or in FourField.Version")
	}
	return m, fields["CipherText"], nil
}

// Parse puts the wrapped data key into the form of the OpenAPI.
func (l FourField) Parse(record []byte) (Header, error) {
	m, _, err := l.parts(record)
	if err != nil {
		return Header{}, err
	}
	blob := append([]byte(m.KeyVersionID), m.DataKeyIV...)
	return Header{Values: []Value{{Copies: [][]byte{append(blob, m.EncryptedDataKey...)}}}}, nil
}

// Open opens the payload.
func (l FourField) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	m, payload, err := l.parts(record)
	if err != nil {
		return nil, err
	}
	plaintext, ok := AES.open(values[0], m.Iv, m.CipherText, nil)
	if !ok {
		return nil, tampered(l.Name(), payload.start, "CipherText or Iv is not what was sealed, or the data key is another")
	}
	return plaintext, nil
}

// Rewrap replaces the wrapped data key and its nonce, and names the key version.
func (l FourField) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(l.Name(), r)
	if err != nil {
		return nil, err
	}
	h, err := l.Parse(record)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(wrapped, h.Values[0].Copies[0]) {
		return bytes.Clone(record), nil
	}
	version, nonce, body, err := cutBlob(wrapped)
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	for _, change := range []struct{ name, text string }{
		{"EncryptedDataKey", b64(body)}, {"DataKeyIV", b64(nonce)}, {"KeyVersionId", version},
	} {
		fields, err := jsonFields(l.Name(), record, 0)
		if err != nil {
			return nil, err
		}
		if f, ok := fields[change.name]; ok {
			record, err = replaceField(record, f, change.text)
		} else {
			record, err = addField(record, change.name, change.text)
		}
		if err != nil {
			return nil, err
		}
	}
	return record, nil
}

// cutBlob takes a ciphertext of the OpenAPI apart.
func cutBlob(blob []byte) (version string, nonce, body []byte, err error) {
	version, ok := kmsmigrate.BlobVersion(blob)
	if !ok {
		return "", nil, nil, fmt.Errorf("the wrapped copy does not begin with the id of a key version: %w", kmsmigrate.ErrInvalid)
	}
	return version, blob[kmsmigrate.VersionIDSize : kmsmigrate.VersionIDSize+nonceSize], blob[kmsmigrate.VersionIDSize+nonceSize:], nil
}

// addField returns a JSON object with one more field at its end.
func addField(record []byte, name, text string) ([]byte, error) {
	f, err := json.Marshal(map[string]string{name: text})
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(record, '}')
	out := append(bytes.Clone(record[:end]), ',')
	out = append(out, f[1:]...) // with its brace
	return append(out, record[end+1:]...), nil
}

// NewValues returns a random data key, raw, as the instance's GenerateDataKey wraps it.
func (FourField) NewValues([]byte) ([][]byte, error) { return [][]byte{AES.newValue(true)}, nil }

// Seal writes the struct as JSON.
func (l FourField) Seal(plaintext []byte, s Sealing, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(l.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	m := EnvelopeCipherText{}
	if m.KeyVersionID, m.DataKeyIV, m.EncryptedDataKey, err = cutBlob(wrapped); err != nil {
		return nil, err
	}
	if m.Iv, m.CipherText, err = AES.seal(s.Values[0], true, plaintext, nil); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}
