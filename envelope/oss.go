package envelope

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// OSS is an object that the OSS SDKs encrypted on the client with a KMS key: the metadata as a JSON object of header names and
// values, and the body, packed as kmsmigrate.Pack(metadata, body). The body may be nil where only the metadata is at
// hand, which is all that renewal needs. Key and IV are wrapped apart from each other, with no encryption context.
//
// The body is AES-CTR, which has no tag: what was changed is not noticed. Nothing is guessed, therefore: key and IV are
// base64 text of 32 and 16 bytes or the object is refused, and each object is sealed with values of its own. That is also all
// that renewal can check: a key of another object, given back by the old KMS key by mistake, would be wrapped anew.
type OSS struct {
	// MatDesc is put into re-wrapped and new objects as the description of the master key, by which SDKs choose it: a
	// JSON object of texts. Empty leaves what is there.
	MatDesc string
}

// Names of the headers, after x-oss-meta-.
const (
	ossPrefix  = "x-oss-meta-"
	ossKey     = "client-side-encryption-key"
	ossStart   = "client-side-encryption-start"
	ossCEKAlg  = "client-side-encryption-cek-alg"
	ossWrapAlg = "client-side-encryption-wrap-alg"
	ossMatDesc = "client-side-encryption-matdesc"

	ossCTR = "AES/CTR/NoPadding"
	ossKMS = "KMS/ALICLOUD"
)

// Name returns "oss".
func (OSS) Name() string { return "oss" }

// Context returns none.
func (OSS) Context([]byte, kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return nil, nil
}

// parts returns metadata and body, and the two wrapped values.
func (o OSS) parts(record []byte) (columns [][]byte, wrapped [2][]byte, err error) {
	columns, err = kmsmigrate.Unpack(record, 2)
	if err != nil || !bytes.Equal(kmsmigrate.Pack(columns...), record) {
		return nil, wrapped, badFormat(o.Name(), 0, "want a packed value of metadata and body")
	}
	all, err := jsonFields(o.Name(), columns[0])
	if err != nil {
		return nil, wrapped, err
	}
	fields := map[string]field{}
	for name, f := range all {
		short := strings.TrimPrefix(strings.ToLower(name), ossPrefix)
		if _, twice := fields[short]; twice {
			return nil, wrapped, badFormat(o.Name(), f.start, "a header stands twice")
		}
		fields[short] = f
	}
	if fields[ossCEKAlg].text != ossCTR || fields[ossWrapAlg].text != ossKMS {
		return nil, wrapped, badFormat(o.Name(), 0, "want cek-alg %s and wrap-alg %s", ossCTR, ossKMS)
	}
	for i, name := range []string{ossKey, ossStart} {
		value, ok := decodeBase64([]byte(fields[name].text))
		if _, isBlob := kmsmigrate.BlobVersion(value); !ok || !isBlob || len(value) > MaxWrapped {
			return nil, wrapped, badFormat(o.Name(), fields[name].start, "want a ciphertext of the KMS in base64 in %s", name)
		}
		wrapped[i] = value
	}
	return columns, wrapped, nil
}

// Parse reads the metadata.
func (o OSS) Parse(record []byte) (Header, error) {
	_, wrapped, err := o.parts(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{wrapped[0]}}, {Copies: [][]byte{wrapped[1]}}}}, nil
}

// stream returns the key stream for the two values.
func (o OSS) stream(values [][]byte) (cipher.Stream, error) {
	if len(values) != 2 {
		return nil, fmt.Errorf("want a key and an IV: %w", kmsmigrate.ErrInvalid)
	}
	for i, value := range values {
		if err := o.Check(nil, i, value, nil); err != nil {
			return nil, err
		}
	}
	key, _ := decodeBase64(values[0])
	iv, _ := decodeBase64(values[1])
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewCTR(block, iv), nil
}

// Check tells a key and an IV from what is neither. CTR has nothing that would tell one key from another.
func (o OSS) Check(_ []byte, i int, value []byte, _ kmsmigrate.EncryptionContext) error {
	decoded, ok := decodeBase64(value)
	defer clear(decoded)
	if want := []int{32, aes.BlockSize}[i]; !ok || len(decoded) != want {
		return tampered(o.Name(), 0, "unwrapped value %d of 2 is not the base64 text of %d bytes", i+1, want)
	}
	return nil
}

// Open decrypts the body.
func (o OSS) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	columns, _, err := o.parts(record)
	if err != nil {
		return nil, err
	}
	if columns[1] == nil {
		return nil, badFormat(o.Name(), len(record), "want a body: this is metadata alone")
	}
	stream, err := o.stream(values)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, len(columns[1]))
	stream.XORKeyStream(plaintext, columns[1])
	return plaintext, nil
}

// Rewrap replaces the two headers, and the description of the master key where MatDesc says so.
func (o OSS) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	if len(r.Values) != 2 || len(r.Values[0]) != 1 || len(r.Values[1]) != 1 {
		return nil, fmt.Errorf("an object has room for one wrapped key and one wrapped IV: %w", kmsmigrate.ErrInvalid)
	}
	columns, before, err := o.parts(record)
	if err != nil {
		return nil, err
	}
	metadata := columns[0]
	set := func(name, text string) {
		if err != nil {
			return
		}
		var fields map[string]field
		if fields, err = jsonFields(o.Name(), metadata); err != nil {
			return
		}
		for long, f := range fields {
			if strings.TrimPrefix(strings.ToLower(long), ossPrefix) == name {
				metadata, err = replaceField(metadata, f, text)
				return
			}
		}
	}
	changed := false
	for i, name := range []string{ossKey, ossStart} {
		wrapped := r.Values[i][0].Ciphertext
		if !bytes.Equal(wrapped, before[i]) {
			changed = true
			set(name, base64.StdEncoding.EncodeToString(wrapped))
		}
	}
	if changed && o.MatDesc != "" {
		set(ossMatDesc, o.MatDesc)
	}
	if err != nil {
		return nil, err
	}
	return kmsmigrate.Pack(metadata, columns[1]), nil
}

// NewValues returns the base64 text of a key and of an IV. The IV's second half has four zero bytes, as the SDKs leave it, so that
// counting blocks does not run over.
func (OSS) NewValues([]byte) ([][]byte, error) {
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	clear(iv[8:12])
	return [][]byte{AES.newValue(false), encodeDataKey(iv)}, nil
}

// Seal encrypts the body and writes the metadata that the SDKs write.
func (o OSS) Seal(plaintext []byte, s Sealing, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	stream, err := o.stream(s.Values)
	if err != nil {
		return nil, err
	}
	body := make([]byte, len(plaintext))
	stream.XORKeyStream(body, plaintext)
	headers := map[string]string{ossPrefix + ossCEKAlg: ossCTR, ossPrefix + ossWrapAlg: ossKMS}
	for i, name := range []string{ossKey, ossStart} {
		headers[ossPrefix+name] = base64.StdEncoding.EncodeToString(s.Wrapped[i][0].Ciphertext)
	}
	if o.MatDesc != "" {
		headers[ossPrefix+ossMatDesc] = o.MatDesc
	}
	metadata, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	return kmsmigrate.Pack(metadata, body), nil
}
