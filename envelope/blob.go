package envelope

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Blob is a ciphertext of the KMS and nothing around it: what the OpenAPI's Encrypt returned for the data itself, as the
// CiphertextBlob string or decoded. There is no data key, so a record is renewed by encrypting its plaintext anew, in
// at most 6 KB.
type Blob struct {
	// Raw says that records are the decoded bytes. Otherwise they are the CiphertextBlob string.
	Raw bool
	// Advance says that records are what AdvanceEncrypt of a KMS instance returned, which begins with 24 00 02.
	Advance bool
	// Undecode returns base64 text of what the KMS gives back, for data that the Java transfer SDK wrote before December 2022:
	// it encrypted what the text decodes to. Such records are read and renewed; Seal refuses.
	Undecode bool
}

// advancePrefix is '$', the format's version and padding, and AES-GCM.
var advancePrefix = []byte{'$', 0, 2}

// Name returns "blob" or "advance", "-raw" for bytes, and "-undecode".
func (b Blob) Name() string {
	name := "blob"
	if b.Advance {
		name = "advance"
	}
	if b.Raw {
		name += "-raw"
	}
	if b.Undecode {
		name += "-undecode"
	}
	return name
}

// Context returns the caller's context.
func (Blob) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

// Parse decodes the record and looks for a key version id at its beginning.
func (b Blob) Parse(record []byte) (Header, error) {
	blob := record
	if !b.Raw {
		decoded, ok := decodeBase64(record)
		if !ok {
			return Header{}, badFormat(b.Name(), notBase64(record), "want a CiphertextBlob in base64")
		}
		blob = decoded
	}
	if b.Advance {
		var ok bool
		if blob, ok = bytes.CutPrefix(blob, advancePrefix); !ok {
			return Header{}, badFormat(b.Name(), 0, "want the 3 bytes 24 00 02")
		}
	}
	if _, ok := kmsmigrate.BlobVersion(blob); !ok {
		at := 0
		switch {
		case b.Advance && b.Raw:
			at = len(advancePrefix)
		case b.Advance:
			at = base64.StdEncoding.EncodedLen(len(advancePrefix))
		}
		return Header{}, badFormat(b.Name(), at, "want the id of a key version, 36 bytes, and 28 bytes or more after it")
	}
	return Header{Values: []Value{{Copies: [][]byte{blob}}}, Direct: true}, nil
}

// Open returns what the KMS gave back. A ciphertext is 64 bytes longer than its plaintext: an answer of another length is
// truncated, or was mangled where bytes that are no UTF-8 went through a string.
func (b Blob) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	h, err := b.Parse(record)
	if err != nil {
		return nil, err
	}
	if want := len(h.Values[0].Copies[0]) - kmsmigrate.BlobOverhead; len(values[0]) != want {
		return nil, fmt.Errorf("the answer has %d bytes, and the ciphertext holds %d: %w", len(values[0]), want, kmsmigrate.ErrBadAnswer)
	}
	if b.Undecode {
		return base64.StdEncoding.AppendEncode(nil, values[0]), nil
	}
	return bytes.Clone(values[0]), nil
}

// Rewrap encodes the new ciphertext as the old one was.
func (b Blob) Rewrap(_ []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(b.Name(), r)
	if err != nil {
		return nil, err
	}
	return b.encode(wrapped), nil
}

func (b Blob) encode(blob []byte) []byte {
	out := bytes.Clone(blob)
	if b.Advance {
		out = append(bytes.Clone(advancePrefix), blob...)
	}
	if b.Raw {
		return out
	}
	return base64.StdEncoding.AppendEncode(nil, out)
}

// NewValues returns a copy of the plaintext.
func (b Blob) NewValues(plaintext []byte) ([][]byte, error) {
	if b.Undecode {
		return nil, fmt.Errorf("plaintext that was decoded by mistake is read, not written: %w", ErrReadOnly)
	}
	return [][]byte{bytes.Clone(plaintext)}, nil
}

// Seal encodes the ciphertext of the plaintext.
func (b Blob) Seal(_ []byte, s Sealing, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	return b.Rewrap(nil, Rewrap{Values: s.Wrapped})
}
