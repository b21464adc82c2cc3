package envelope

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Tink is the ciphertext of tink-go's KmsEnvelopeAEAD: the length of the wrapped data key in 4 bytes, the wrapped data key,
// and what the data key's own AEAD made. The KMS gets no encryption context, as Tink has it; the payload's associated
// data is Bound's. Records of every kind of data key are renewed; those of AES-GCM keys are opened and sealed too, and
// renewed only when they open. Of other kinds renewal can check no more than that the unwrapped value is a Tink key.
type Tink struct {
	// Text says that the wrapped data key stands as a CiphertextBlob string rather than as bytes: whatever the application's
	// adapter of the KMS returned.
	Text bool
	// ValueText says that the adapter gave the KMS base64 text of the serialized data key, because the gateway takes nothing
	// else. It decides what Seal does; Open finds out.
	ValueText bool
	// Bound returns the associated data for an encryption context. Nil means that there is none, and that a context is
	// refused, because nothing would bind it.
	Bound func(kmsmigrate.EncryptionContext) []byte
	// OtherKeys says that there are data keys of XChaCha20-Poly1305 or AES-GCM-SIV, which are serialized as those of AES-GCM
	// are. Records that AES-GCM does not open are renewed then; otherwise they fail with ErrTampered.
	OtherKeys bool
}

// maxTinkKey is Tink's own bound for a wrapped data key.
const maxTinkKey = 4096

// Name returns "tink".
func (Tink) Name() string { return "tink" }

// Context returns none.
func (Tink) Context([]byte, kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return nil, nil
}

func (t Tink) bound(ec kmsmigrate.EncryptionContext) ([]byte, error) {
	if t.Bound == nil {
		if len(ec) > 0 {
			return nil, fmt.Errorf("Tink.Bound is nil, so an encryption context cannot be bound: %w", kmsmigrate.ErrInvalid)
		}
		return nil, nil
	}
	return t.Bound(ec), nil
}

// split returns the wrapped data key, decoded, and the payload.
func (t Tink) split(record []byte) (wrapped, payload []byte, err error) {
	if len(record) < 4 {
		return nil, nil, badFormat(t.Name(), 0, "want a length of 4 bytes, the record ends")
	}
	size := binary.BigEndian.Uint32(record)
	if size == 0 || size > maxTinkKey {
		return nil, nil, badFormat(t.Name(), 0, "want a length from 1 to %d", maxTinkKey)
	}
	rest := record[4:]
	if int(size) > len(rest) {
		return nil, nil, badFormat(t.Name(), 4, "want a wrapped data key of %d bytes, the record ends", size)
	}
	wrapped, payload = rest[:size:size], rest[size:]
	if t.Text {
		decoded, ok := decodeBase64(wrapped)
		if !ok || len(decoded) == 0 {
			return nil, nil, badFormat(t.Name(), 4+notBase64(wrapped), "want a CiphertextBlob in base64")
		}
		wrapped = decoded
	} else if _, ok := kmsmigrate.BlobVersion(wrapped); !ok {
		return nil, nil, badFormat(t.Name(), 4, "want the id of a key version at the beginning of the wrapped data key")
	}
	return wrapped, payload, nil
}

// Parse reads the length and the wrapped data key.
func (t Tink) Parse(record []byte) (Header, error) {
	wrapped, _, err := t.split(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{wrapped}}}}, nil
}

// Open opens payloads of AES-GCM data keys.
func (t Tink) Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	_, payload, err := t.split(record)
	if err != nil {
		return nil, err
	}
	bound, err := t.bound(ec)
	if err != nil {
		return nil, err
	}
	key, ok := tinkKey(values[0])
	if !ok {
		if decoded, isText := decodeBase64(values[0]); isText {
			key, ok = tinkKey(decoded)
			defer clear(decoded)
		}
	}
	if !ok && !isTinkKey(values[0]) {
		return nil, tampered(t.Name(), 4, "the unwrapped value is no key of Tink")
	}
	at := len(record) - len(payload)
	switch {
	case !ok:
		return nil, badFormat(t.Name(), at, "the data key is not one of AES-GCM: its records are renewed, and opened by Tink")
	case len(payload) < nonceSize+tagSize:
		return nil, badFormat(t.Name(), at, "want a nonce and a tag, 28 bytes or more, the record ends")
	}
	plaintext, ok := AES.openUnder(key, payload[:nonceSize], payload[nonceSize:], bound)
	if !ok {
		return nil, tampered(t.Name(), at, "the payload or its associated data is not what was sealed")
	}
	return plaintext, nil
}

// tinkKey reads a serialized google.crypto.tink.AesGcmKey: version 0, which is left out, and key_value in field 3.
func tinkKey(serialized []byte) ([]byte, bool) {
	number, kind, n := protowire.ConsumeTag(serialized)
	if n < 0 || number != 3 || kind != protowire.BytesType {
		return nil, false
	}
	key, m := protowire.ConsumeBytes(serialized[n:])
	if m < 0 || n+m != len(serialized) || len(key) != 16 && len(key) != 32 {
		return nil, false
	}
	return key, true
}

// isTinkKey tells a serialized key of any kind, or its base64 text: they have fields 1 to 3, of which one at least holds bytes.
func isTinkKey(value []byte) bool {
	decoded, _ := decodeBase64(value)
	defer clear(decoded)
	for _, serialized := range [][]byte{value, decoded} {
		m, err := parseMessage("tink", serialized, 3, 0)
		if err == nil && (len(m.bytes(2)) > 0 || len(m.bytes(3)) > 0) {
			return true
		}
	}
	return false
}

// Check opens records of AES-GCM keys, and takes any key of Tink for others.
func (t Tink) Check(record []byte, _ int, value []byte, ec kmsmigrate.EncryptionContext) error {
	plaintext, err := t.Open(record, [][]byte{value}, ec)
	clear(plaintext)
	if isTinkKey(value) && (errors.Is(err, ErrFormat) || t.OtherKeys && errors.Is(err, ErrTampered)) {
		return nil
	}
	return err
}

// Rewrap replaces the length and the wrapped data key.
func (t Tink) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(t.Name(), r)
	if err != nil {
		return nil, err
	}
	_, payload, err := t.split(record)
	if err != nil {
		return nil, err
	}
	return t.join(wrapped, payload)
}

func (t Tink) join(wrapped, payload []byte) ([]byte, error) {
	if t.Text {
		wrapped = base64.StdEncoding.AppendEncode(nil, wrapped)
	}
	if len(wrapped) == 0 || len(wrapped) > maxTinkKey {
		return nil, badFormat(t.Name(), 0, "want a wrapped data key of 1 to %d bytes", maxTinkKey)
	}
	out := make([]byte, 0, 4+len(wrapped)+len(payload))
	out = binary.BigEndian.AppendUint32(out, uint32(len(wrapped)))
	out = append(out, wrapped...)
	return append(out, payload...), nil
}

// NewValues returns a serialized AES-256-GCM key.
func (t Tink) NewValues([]byte) ([][]byte, error) {
	key := AES.newValue(true)
	defer clear(key)
	serialized := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), key)
	if t.ValueText {
		defer clear(serialized)
		return [][]byte{encodeDataKey(serialized)}, nil
	}
	return [][]byte{serialized}, nil
}

// Seal writes what tink-go writes for the template AES256_GCM.
func (t Tink) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(t.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	bound, err := t.bound(ec)
	if err != nil {
		return nil, err
	}
	value := bytes.Clone(s.Values[0])
	if t.ValueText {
		value, _ = decodeBase64(value)
	}
	defer clear(value)
	key, ok := tinkKey(value)
	if !ok {
		return nil, fmt.Errorf("the value is no AES-GCM key of Tink: %w", kmsmigrate.ErrInvalid)
	}
	aead, err := AES.newGCM(key)
	if err != nil {
		return nil, err
	}
	payload := make([]byte, nonceSize, nonceSize+len(plaintext)+tagSize)
	rand.Read(payload)
	return t.join(wrapped, aead.Seal(payload, payload, plaintext, bound))
}
