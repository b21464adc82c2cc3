package envelope

import (
	"bytes"
	"encoding/base64"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// BlobInfo is the protobuf message that HashiCorp's go-kms-wrapping writes with its alicloudkms wrapper, as Vault, OpenBao and
// Boundary store it. The KMS gets no encryption context; the payload's additional data is Bound's.
type BlobInfo struct {
	// Bound returns the additional data (WithAad) for an encryption context. Nil means that there is none.
	Bound func(kmsmigrate.EncryptionContext) []byte
}

// Numbers of the message's fields and of its KeyInfo's.
const (
	blobCiphertext, blobIV, blobKeyInfo, blobLast = 1, 2, 5, 8
	keyInfoKeyID, keyInfoWrapped, keyInfoLast     = 3, 5, 11
)

// Name returns "blobinfo".
func (BlobInfo) Name() string { return "blobinfo" }

// SharesValues returns true: nonces are random.
func (BlobInfo) SharesValues() bool { return true }

// Context returns none.
func (BlobInfo) Context([]byte, kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return nil, nil
}

// message is a parsed protobuf message: its fields as they stand, and those of type bytes by number.
type message struct {
	fields []messageField
	end    int // where in the record it ends
}

type messageField struct {
	number protowire.Number
	raw    []byte // tag and value
	value  []byte // of type bytes
	at     int    // of the value in the record
}

// parseMessage reads fields up to number last, each once but for repeated ones that are no bytes, in shortest form. The message
// stands at an offset of the record, for errors.
func parseMessage(layout string, data []byte, last protowire.Number, base int) (message, error) {
	m := message{end: base + len(data)}
	seen := map[protowire.Number]bool{}
	for at := 0; at < len(data); {
		number, kind, n := protowire.ConsumeTag(data[at:])
		if n < 0 || number > last {
			return m, badFormat(layout, base+at, "want a field numbered 1 to %d", last)
		}
		size := protowire.ConsumeFieldValue(number, kind, data[at+n:])
		if size < 0 {
			return m, badFormat(layout, base+at, "want the value of a field, the message ends")
		}
		f := messageField{number: number, raw: data[at : at+n+size]}
		if kind == protowire.BytesType {
			f.value, _ = protowire.ConsumeBytes(data[at+n:])
			f.at = base + at + n + size - len(f.value)
			again := protowire.AppendBytes(protowire.AppendTag(nil, number, kind), f.value)
			if seen[number] || !bytes.Equal(again, f.raw) {
				return m, badFormat(layout, base+at, "want each field once, with lengths in their shortest form")
			}
			seen[number] = true
		}
		m.fields = append(m.fields, f)
		at += n + size
	}
	return m, nil
}

func (m message) bytes(number protowire.Number) []byte {
	value, _ := m.bytesAt(number)
	return value
}

// bytesAt returns a field of type bytes and where it stands, or nil and where the message ends.
func (m message) bytesAt(number protowire.Number) ([]byte, int) {
	for _, f := range m.fields {
		if f.number == number && f.value != nil {
			return f.value, f.at
		}
	}
	return nil, m.end
}

// with returns the message with other values for some of its fields. The others stay as they stand.
func (m message) with(values map[protowire.Number][]byte) []byte {
	var out []byte
	for _, f := range m.fields {
		if value, ok := values[f.number]; ok && f.value != nil {
			out = protowire.AppendBytes(protowire.AppendTag(out, f.number, protowire.BytesType), value)
			continue
		}
		out = append(out, f.raw...)
	}
	return out
}

// parts reads both messages and decodes the wrapped data key.
func (b BlobInfo) parts(record []byte) (blob, keyInfo message, wrapped []byte, err error) {
	if blob, err = parseMessage(b.Name(), record, blobLast, 0); err != nil {
		return
	}
	inner, at := blob.bytesAt(blobKeyInfo)
	if keyInfo, err = parseMessage(b.Name()+" key_info", inner, keyInfoLast, at); err != nil {
		return
	}
	text, at := keyInfo.bytesAt(keyInfoWrapped)
	wrapped, ok := decodeBase64(text)
	iv, ivAt := blob.bytesAt(blobIV)
	ciphertext, ciphertextAt := blob.bytesAt(blobCiphertext)
	switch {
	case !ok || len(wrapped) == 0 || len(wrapped) > MaxWrapped:
		err = badFormat(b.Name(), at+notBase64(text), "want key_info.wrapped_key, a CiphertextBlob in base64 of 1 to %d bytes", MaxWrapped)
	case len(iv) != nonceSize:
		err = badFormat(b.Name(), ivAt, "want iv, 12 bytes")
	case len(ciphertext) < tagSize:
		err = badFormat(b.Name(), ciphertextAt, "want ciphertext, 16 bytes or more")
	}
	return
}

// Parse reads the message.
func (b BlobInfo) Parse(record []byte) (Header, error) {
	_, _, wrapped, err := b.parts(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{wrapped}}}}, nil
}

func (b BlobInfo) bound(ec kmsmigrate.EncryptionContext) []byte {
	if b.Bound == nil {
		return nil
	}
	return b.Bound(ec)
}

// Open opens the payload.
func (b BlobInfo) Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	blob, _, _, err := b.parts(record)
	if err != nil {
		return nil, err
	}
	ciphertext, at := blob.bytesAt(blobCiphertext)
	plaintext, ok := AES.open(values[0], blob.bytes(blobIV), ciphertext, b.bound(ec))
	if !ok {
		return nil, tampered(b.Name(), at, "ciphertext or iv is not what was sealed, or the data key is another")
	}
	return plaintext, nil
}

// Rewrap replaces the wrapped key, and the id of the wrapping key where the new one is known, because a pool of wrappers
// chooses by it.
func (b BlobInfo) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(b.Name(), r)
	if err != nil {
		return nil, err
	}
	blob, keyInfo, before, err := b.parts(record)
	if err != nil {
		return nil, err
	}
	values := map[protowire.Number][]byte{keyInfoWrapped: base64.StdEncoding.AppendEncode(nil, wrapped)}
	if id := r.Values[0][0].Key.KeyID; id != "" && !bytes.Equal(wrapped, before) {
		values[keyInfoKeyID] = []byte(id)
	}
	return blob.with(map[protowire.Number][]byte{blobKeyInfo: keyInfo.with(values)}), nil
}

// NewValues returns the base64 text of a random data key.
func (BlobInfo) NewValues([]byte) ([][]byte, error) { return [][]byte{AES.newValue(false)}, nil }

// Seal writes ciphertext, iv and key_info.
func (b BlobInfo) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(b.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	nonce, payload, err := AES.seal(s.Values[0], false, plaintext, b.bound(ec))
	if err != nil {
		return nil, err
	}
	add := func(out []byte, number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), value)
	}
	keyInfo := add(nil, keyInfoKeyID, []byte(s.Wrapped[0][0].Key.KeyID))
	keyInfo = add(keyInfo, keyInfoWrapped, base64.StdEncoding.AppendEncode(nil, wrapped))
	return add(add(add(nil, blobCiphertext, payload), blobIV, nonce), blobKeyInfo, keyInfo), nil
}
