package envelope

import (
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Columns is a record whose wrapped data key, nonce and payload stand in database columns of their own. Its record is
// kmsmigrate.Pack of the three, in this order, so that they are read and replaced as one.
type Columns struct {
	// DataKeyRaw, NonceRaw and PayloadRaw say that the column holds bytes. Otherwise it holds their base64 text.
	DataKeyRaw, NonceRaw, PayloadRaw bool
	// Raw has Seal wrap the bytes of a data key rather than its base64 text. Open finds out.
	Raw bool
	// Cipher is that of the payload. Zero means AES-GCM.
	Cipher Cipher
	// Bound returns the additional data of the payload for an encryption context. Nil means that there is none.
	Bound func(kmsmigrate.EncryptionContext) []byte
}

// Name returns "columns".
func (Columns) Name() string { return "columns" }

// SharesValues returns true: nonces are random.
func (Columns) SharesValues() bool { return true }

// Context returns the caller's context.
func (Columns) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

// parts returns the three columns, decoded, and where they begin.
func (c Columns) parts(record []byte) (columns [][]byte, at []int, err error) {
	columns, at, err = unpack(c.Name(), record, 3)
	if err != nil {
		return nil, nil, err
	}
	for i, raw := range []bool{c.DataKeyRaw, c.NonceRaw, c.PayloadRaw} {
		if raw {
			continue
		}
		decoded, ok := decodeBase64(columns[i])
		if !ok {
			return nil, nil, badFormat(c.Name(), at[i]+notBase64(columns[i]), "want base64 in column %d of 3", i+1)
		}
		columns[i] = decoded
	}
	switch {
	case len(columns[0]) == 0 || len(columns[0]) > MaxWrapped:
		return nil, nil, badFormat(c.Name(), at[0], "want a wrapped data key of 1 to %d bytes in column 1 of 3", MaxWrapped)
	case len(columns[1]) != nonceSize:
		return nil, nil, badFormat(c.Name(), at[1], "want a nonce of 12 bytes in column 2 of 3")
	case len(columns[2]) < tagSize:
		return nil, nil, badFormat(c.Name(), at[2], "want a payload of 16 bytes or more in column 3 of 3")
	}
	return columns, at, nil
}

// Parse unpacks the columns.
func (c Columns) Parse(record []byte) (Header, error) {
	columns, _, err := c.parts(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{columns[0]}}}}, nil
}

func (c Columns) bound(ec kmsmigrate.EncryptionContext) []byte {
	if c.Bound == nil {
		return nil
	}
	return c.Bound(ec)
}

// Open opens the payload.
func (c Columns) Open(record []byte, values [][]byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	columns, at, err := c.parts(record)
	if err != nil {
		return nil, err
	}
	plaintext, ok := c.Cipher.open(values[0], columns[1], columns[2], c.bound(ec))
	if !ok {
		return nil, tampered(c.Name(), at[2], "the payload or its nonce is not what was sealed, or the data key is another")
	}
	return plaintext, nil
}

// Rewrap replaces the first column.
func (c Columns) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	wrapped, err := only(c.Name(), r)
	if err != nil {
		return nil, err
	}
	columns, _, err := unpack(c.Name(), record, 3)
	if err != nil {
		return nil, err
	}
	return kmsmigrate.Pack(encodeColumn(wrapped, c.DataKeyRaw), columns[1], columns[2]), nil
}

func encodeColumn(value []byte, raw bool) []byte {
	if raw {
		return value
	}
	return base64.StdEncoding.AppendEncode(nil, value)
}

// NewValues returns a random data key.
func (c Columns) NewValues([]byte) ([][]byte, error) { return [][]byte{c.Cipher.newValue(c.Raw)}, nil }

// Seal packs the three columns.
func (c Columns) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	wrapped, err := only(c.Name(), Rewrap{Values: s.Wrapped})
	if err != nil {
		return nil, err
	}
	nonce, payload, err := c.Cipher.seal(s.Values[0], c.Raw, plaintext, c.bound(ec))
	if err != nil {
		return nil, err
	}
	return kmsmigrate.Pack(encodeColumn(wrapped, c.DataKeyRaw), encodeColumn(nonce, c.NonceRaw), encodeColumn(payload, c.PayloadRaw)), nil
}
