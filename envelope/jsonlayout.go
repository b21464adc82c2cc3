package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// JSON is an object with the wrapped data key, the nonce and the payload in fields of the application's naming, all in base64.
// What else the object holds, its order and its spaces are kept. The zero value has the names of the Java sample.
type JSON struct {
	// DataKey, Nonce and Payload name the fields. Empty means "encryptedDataKey", "iv" and "cipherText".
	DataKey, Nonce, Payload string
	// Tag names the field of the tag where it is not the last 16 bytes of the payload. Empty means that it is.
	Tag string
	// Raw has Seal wrap the bytes of a data key rather than its base64 text. Open finds out.
	Raw bool
	// Cipher is that of the payload. Zero means AES-GCM.
	Cipher Cipher
	// Bound returns the additional data of the payload for an encryption context. Nil means that there is none. The KMS
	// gets the context in any case.
	Bound func(kmsmigrate.EncryptionContext) []byte
}

// Name returns "json".
func (JSON) Name() string { return "json" }

// SharesValues returns true: nonces are random.
func (JSON) SharesValues() bool { return true }

// Context returns the caller's context.
func (JSON) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

func (j JSON) names() (dataKey, nonce, payload string) {
	or := func(name, otherwise string) string {
		if name == "" {
			return otherwise
		}
		return name
	}
	return or(j.DataKey, "encryptedDataKey"), or(j.Nonce, "iv"), or(j.Payload, "cipherText")
}

// parts returns the fields of data key and payload, and the decoded values.
func (j JSON) parts(record []byte) (keyField, payloadField field, wrapped, nonce, payload []byte, err error) {
	fields, err := jsonFields(j.Name(), record, 0)
	if err != nil {
		return field{}, field{}, nil, nil, nil, err
	}
	decode := func(name, what string, least, most int) []byte {
		f, ok := fields[name]
		if !ok && err == nil {
			err = badFormat(j.Name(), bytes.LastIndexByte(record, '}'), "want a text field for the %s before the object ends", what)
		}
		value, ok := decodeBase64([]byte(f.text))
		if (!ok || len(value) < least || len(value) > most) && err == nil {
			err = badFormat(j.Name(), f.start, "want the %s in base64, of %d bytes or more", what, least)
		}
		return value
	}
	dataKeyName, nonceName, payloadName := j.names()
	wrapped = decode(dataKeyName, "data key", 1, MaxWrapped)
	nonce = decode(nonceName, "nonce", nonceSize, nonceSize)
	if j.Tag == "" {
		payload = decode(payloadName, "payload", tagSize, len(record))
	} else {
		payload = slices.Concat(decode(payloadName, "payload", 0, len(record)), decode(j.Tag, "tag", tagSize, tagSize))
	}
	return fields[dataKeyName], fields[payloadName], wrapped, nonce, payload, err
}

// Parse reads the object.
func (j JSON) Parse(record []byte) (Header, error) {
	_, _, wrapped, _, _, err := j.parts(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{wrapped}}}}, nil
}

func (j JSON) bound(ec kmsmigrate.EncryptionContext) []byte {
	if j.Bound == nil {
		return nil
	}
	return j.Bound(ec)
}

// Open opens the payload.
func (j JSON) Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	_, at, _, nonce, payload, err := j.parts(record)
	if err != nil {
		return nil, err
	}
	plaintext, ok := j.Cipher.open(values[0], nonce, payload, j.bound(ec))
	if !ok {
		return nil, tampered(j.Name(), at.start, "the payload or its nonce is not what was sealed, or the data key is another")
	}
	return plaintext, nil
}

// Rewrap replaces the value of the data key's field.
func (j JSON) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(j.Name(), r)
	if err != nil {
		return nil, err
	}
	f, _, _, _, _, err := j.parts(record)
	if err != nil {
		return nil, err
	}
	return replaceField(record, f, base64.StdEncoding.EncodeToString(wrapped))
}

// NewValues returns a random data key.
func (j JSON) NewValues([]byte) ([][]byte, error) { return [][]byte{j.Cipher.newValue(j.Raw)}, nil }

// Seal writes an object of three fields, or four with a Tag.
func (j JSON) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(j.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	nonce, payload, err := j.Cipher.seal(s.Values[0], j.Raw, plaintext, j.bound(ec))
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	dataKeyName, nonceName, payloadName := j.names()
	object := map[string]string{dataKeyName: b64(wrapped), nonceName: b64(nonce), payloadName: b64(payload)}
	if j.Tag != "" {
		cut := len(payload) - tagSize
		object[payloadName], object[j.Tag] = b64(payload[:cut]), b64(payload[cut:])
	}
	return json.Marshal(object)
}
