package envelope

import (
	"bytes"
	"encoding/base64"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Asymmetric is a ciphertext of AsymmetricEncrypt, which names neither key nor version, and beside it the id of the key version
// in a column of its own: kmsmigrate.Pack(version id, ciphertext in base64). There is no data key; a record is renewed by
// encrypting its plaintext anew. The Key that it goes to takes the version's id, 36 bytes, and then the bare ciphertext; the algorithm
// is that Key's to know.
type Asymmetric struct {
	// Version is the id of the key version of records whose column is NULL or empty.
	Version string
	// Raw says that the ciphertext column holds bytes.
	Raw bool
}

// Name returns "asymmetric".
func (Asymmetric) Name() string { return "asymmetric" }

// Context returns none: asymmetric keys bind nothing.
func (Asymmetric) Context([]byte, kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return nil, nil
}

// Parse joins version and ciphertext.
func (a Asymmetric) Parse(record []byte) (Header, error) {
	columns, at, err := unpack(a.Name(), record, 2)
	if err != nil {
		return Header{}, err
	}
	version, ciphertext := columns[0], columns[1]
	if len(version) == 0 {
		version = []byte(a.Version)
	}
	if !a.Raw {
		decoded, ok := decodeBase64(ciphertext)
		if !ok {
			return Header{}, badFormat(a.Name(), at[1]+notBase64(ciphertext), "want base64 in column 2 of 2")
		}
		ciphertext = decoded
	}
	blob := append(bytes.Clone(version), ciphertext...)
	if _, ok := kmsmigrate.BlobVersion(blob); !ok || len(version) != kmsmigrate.VersionIDSize {
		return Header{}, badFormat(a.Name(), at[0], "want the 36-byte id of the key version, in column 1 of 2 or in Asymmetric.Version, and a ciphertext")
	}
	return Header{Values: []Value{{Copies: [][]byte{blob}}}, Direct: true}, nil
}

// Open returns what the KMS gave back.
func (Asymmetric) Open(_ []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	return bytes.Clone(values[0]), nil
}

// Rewrap splits the new ciphertext into the two columns.
func (a Asymmetric) Rewrap(_ []byte, r Rewrap) ([]byte, error) {
	blob, err := only(a.Name(), r)
	if err != nil {
		return nil, err
	}
	if _, ok := kmsmigrate.BlobVersion(blob); !ok {
		return nil, badFormat(a.Name(), 0, "want the id of the key version before the new ciphertext")
	}
	version, ciphertext := blob[:kmsmigrate.VersionIDSize], blob[kmsmigrate.VersionIDSize:]
	if !a.Raw {
		ciphertext = base64.StdEncoding.AppendEncode(nil, ciphertext)
	}
	return kmsmigrate.Pack(version, ciphertext), nil
}

// NewValues returns a copy of the plaintext.
func (Asymmetric) NewValues(plaintext []byte) ([][]byte, error) {
	return [][]byte{bytes.Clone(plaintext)}, nil
}

// Seal packs version and ciphertext.
func (a Asymmetric) Seal(_ []byte, s Sealing, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	return a.Rewrap(nil, Rewrap{Values: s.Wrapped})
}
