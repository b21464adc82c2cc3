package envelope

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// ThreeLine is the format of the sample in Alibaba's documents and its kin in other languages: three lines of base64, which
// are the CiphertextBlob as the KMS returned it, a nonce of 12 bytes, and the AES-256-GCM payload with its tag. The
// encryption context is bound to the data key alone, as far as the KMS binds it: the payload has no additional data.
//
// A line feed after the third line is taken, and kept. The data key may have been wrapped as base64 text or raw; which it
// was, the payload's tag tells.
type ThreeLine struct {
	// Raw has Seal wrap the 32 bytes of a data key, as the instance SDK does, rather than its base64 text, as the KMS does.
	Raw bool
	// Cipher is that of the payload. Zero means AES-GCM.
	Cipher Cipher
}

// Name returns "three-line".
func (ThreeLine) Name() string { return "three-line" }

// SharesValues returns true: nonces are random.
func (ThreeLine) SharesValues() bool { return true }

// Context returns the caller's context.
func (ThreeLine) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

// Parse decodes the first two lines and checks the shape of the third.
func (t ThreeLine) Parse(record []byte) (Header, error) {
	lines, err := t.split(record)
	if err != nil {
		return Header{}, err
	}
	wrapped, ok := decodeBase64(lines[0])
	if !ok || len(wrapped) == 0 || len(wrapped) > MaxWrapped {
		return Header{}, badFormat(t.Name(), min(notBase64(lines[0]), len(lines[0])), "want a CiphertextBlob in base64, of 1 to %d bytes", MaxWrapped)
	}
	if nonce, ok := decodeBase64(lines[1]); !ok || len(nonce) != nonceSize {
		return Header{}, badFormat(t.Name(), len(lines[0])+1, "want a nonce of 12 bytes in base64, 16 characters")
	}
	return Header{Values: []Value{{Copies: [][]byte{wrapped}}}}, nil
}

// split returns the three lines.
func (t ThreeLine) split(record []byte) (lines [3][]byte, err error) {
	rest := bytes.TrimSuffix(record, []byte("\n"))
	at := 0
	for i := range 2 {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return lines, badFormat(t.Name(), at+len(rest), "want line %d of 3, the record ends", i+2)
		}
		lines[i], rest = line, after
		at += len(line) + 1
	}
	if len(rest) < base64.StdEncoding.EncodedLen(tagSize) || len(rest)%4 != 0 || bytes.ContainsAny(rest, "\r\n") {
		return lines, badFormat(t.Name(), at, "want a last line of base64, of 16 bytes or more")
	}
	lines[2] = rest
	return lines, nil
}

// Open opens the payload.
func (t ThreeLine) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	lines, err := t.split(record)
	if err != nil {
		return nil, err
	}
	at := len(lines[0]) + len(lines[1]) + 2
	nonce, _ := decodeBase64(lines[1])
	payload, ok := decodeBase64(lines[2])
	if !ok {
		return nil, badFormat(t.Name(), at+notBase64(lines[2]), "want base64")
	}
	plaintext, ok := t.Cipher.open(values[0], nonce, payload, nil)
	if !ok {
		return nil, tampered(t.Name(), at, "the payload or its nonce is not what was sealed, or the data key is another")
	}
	return plaintext, nil
}

// Rewrap replaces the first line.
func (t ThreeLine) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(t.Name(), r)
	if err != nil {
		return nil, err
	}
	end := bytes.IndexByte(record, '\n')
	if end < 0 {
		return nil, badFormat(t.Name(), len(record), "want line 2 of 3, the record ends")
	}
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(wrapped))+len(record)-end)
	out = base64.StdEncoding.AppendEncode(out, wrapped)
	return append(out, record[end:]...), nil
}

// NewValues returns a random data key.
func (t ThreeLine) NewValues([]byte) ([][]byte, error) {
	return [][]byte{t.Cipher.newValue(t.Raw)}, nil
}

// Seal writes the three lines, with no line feed after the third.
func (t ThreeLine) Seal(plaintext []byte, s Sealing, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(t.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	nonce, payload, err := t.Cipher.seal(s.Values[0], t.Raw, plaintext, nil)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(wrapped))+1+16+1+base64.StdEncoding.EncodedLen(len(payload)))
	out = append(base64.StdEncoding.AppendEncode(out, wrapped), '\n')
	out = append(base64.StdEncoding.AppendEncode(out, nonce), '\n')
	return base64.StdEncoding.AppendEncode(out, payload), nil
}

// only returns the wrapped copy of a format that has room for one value with one copy.
func only(layout string, r Rewrap) ([]byte, error) {
	if len(r.Values) != 1 || len(r.Values[0]) != 1 {
		return nil, fmt.Errorf("envelope: %s has room for one wrapped copy: %w", layout, kmsmigrate.ErrInvalid)
	}
	return r.Values[0][0].Ciphertext, nil
}
