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

// ossObject is a parsed record.
type ossObject struct {
	metadata, body []byte
	wrapped        [2][]byte // key and IV
	at             [2]int    // of the two in the record
}

func (o OSS) parse(record []byte) (m ossObject, err error) {
	columns, at, err := unpack(o.Name(), record, 2)
	if err != nil {
		return m, err
	}
	m.metadata, m.body = columns[0], columns[1]
	fields, err := o.headers(m.metadata, at[0])
	if err != nil {
		return m, err
	}
	end := at[0] + bytes.LastIndexByte(m.metadata, '}')
	for _, name := range []string{ossCEKAlg, ossWrapAlg, ossKey, ossStart} {
		if _, ok := fields[name]; !ok {
			return m, badFormat(o.Name(), end, "want a header %s before the metadata ends", name)
		}
	}
	if f := fields[ossCEKAlg]; f.text != ossCTR {
		return m, badFormat(o.Name(), at[0]+f.start, "want cek-alg %s", ossCTR)
	}
	if f := fields[ossWrapAlg]; f.text != ossKMS {
		return m, badFormat(o.Name(), at[0]+f.start, "want wrap-alg %s", ossKMS)
	}
	for i, name := range []string{ossKey, ossStart} {
		value, ok := decodeBase64([]byte(fields[name].text))
		m.wrapped[i], m.at[i] = value, at[0]+fields[name].start
		if _, isBlob := kmsmigrate.BlobVersion(value); !ok || !isBlob || len(value) > MaxWrapped {
			return m, badFormat(o.Name(), m.at[i], "want a ciphertext of the KMS in base64 in %s", name)
		}
	}
	return m, nil
}

// headers returns the text fields of the metadata under the short names of headers.
func (o OSS) headers(metadata []byte, at int) (map[string]field, error) {
	all, err := jsonFields(o.Name(), metadata, at)
	if err != nil {
		return nil, err
	}
	fields := map[string]field{}
	for name, f := range all {
		short := strings.TrimPrefix(strings.ToLower(name), ossPrefix)
		if _, twice := fields[short]; twice {
			return nil, badFormat(o.Name(), at+f.start, "want each header once")
		}
		fields[short] = f
	}
	return fields, nil
}

// Parse reads the metadata.
func (o OSS) Parse(record []byte) (Header, error) {
	m, err := o.parse(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: [][]byte{m.wrapped[0]}}, {Copies: [][]byte{m.wrapped[1]}}}}, nil
}

// stream returns the key stream for the two values.
func (o OSS) stream(values [][]byte, at [2]int) (cipher.Stream, error) {
	if len(values) != 2 {
		return nil, fmt.Errorf("want a key and an IV: %w", kmsmigrate.ErrInvalid)
	}
	for i, value := range values {
		if err := o.check(i, value, at[i]); err != nil {
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
func (o OSS) Check(record []byte, i int, value []byte, _ kmsmigrate.EncryptionContext) error {
	m, err := o.parse(record)
	if err != nil {
		return err
	}
	return o.check(i, value, m.at[i])
}

func (o OSS) check(i int, value []byte, at int) error {
	decoded, ok := decodeBase64(value)
	defer clear(decoded)
	if want := []int{32, aes.BlockSize}[i]; !ok || len(decoded) != want {
		return tampered(o.Name(), at, "unwrapped value %d of 2 is not the base64 text of %d bytes", i+1, want)
	}
	return nil
}

// Open decrypts the body.
func (o OSS) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	m, err := o.parse(record)
	if err != nil {
		return nil, err
	}
	if m.body == nil {
		return nil, badFormat(o.Name(), len(record), "want a body: this is metadata alone")
	}
	stream, err := o.stream(values, m.at)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, len(m.body))
	stream.XORKeyStream(plaintext, m.body)
	return plaintext, nil
}

// Rewrap replaces the two headers, and the description of the master key where MatDesc says so.
func (o OSS) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	if err := oneOfEach(r.Values); err != nil {
		return nil, err
	}
	m, err := o.parse(record)
	if err != nil {
		return nil, err
	}
	metadata := m.metadata
	set := func(name, text string) error {
		fields, err := o.headers(metadata, 0)
		if err != nil {
			return err
		}
		if f, ok := fields[name]; ok {
			metadata, err = replaceField(metadata, f, text)
		}
		return err
	}
	changed := false
	for i, name := range []string{ossKey, ossStart} {
		wrapped := r.Values[i][0].Ciphertext
		if bytes.Equal(wrapped, m.wrapped[i]) {
			continue
		}
		changed = true
		if err := set(name, base64.StdEncoding.EncodeToString(wrapped)); err != nil {
			return nil, err
		}
	}
	if changed && o.MatDesc != "" {
		if err := set(ossMatDesc, o.MatDesc); err != nil {
			return nil, err
		}
	}
	return kmsmigrate.Pack(metadata, m.body), nil
}

func oneOfEach(values [][]Wrapped) error {
	if len(values) != 2 || len(values[0]) != 1 || len(values[1]) != 1 {
		return fmt.Errorf("an object has room for one wrapped key and one wrapped IV: %w", kmsmigrate.ErrInvalid)
	}
	return nil
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
	if err := oneOfEach(s.Wrapped); err != nil {
		return nil, err
	}
	stream, err := o.stream(s.Values, [2]int{})
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
