package envelope

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// EncryptionSDK is what Alibaba's Encryption SDK for Java and Python writes, a DER message, or for Java a stream: a header
// with wrapped copies of one data key, each with the ARN of its key, the encryption context in clear, and a tag over all
// that which only who has the data key can make; then nonce, payload and tag. Re-wrapping makes the header's tag anew, so it
// needs the data key, and leaves the rest as it is.
//
// A record may be the header alone, of a stream whose body is elsewhere, or what the SDK's SecretManagerDataKeyProvider keeps
// in a secret (its base64, decoded): it is inspected and renewed, and the header's tag says whether the data key is right.
// It is opened as a DER sequence of header and body.
//
// The encryption context is the record's own. Open checks it against the caller's where the caller gives one. Payloads of
// the SDK's CBC and CTR algorithms have no tag: a change to them is not noticed, but another data key is, by the header's.
//
// Read, and written in the same form again, is what the SDK's releases have written: before 1.0.7 the header's tag left out
// the version and had another order of the context; 1.0.5 used header nonces of 16 bytes with CBC and CTR; before 1.0.4
// the copies are base64 text in the message. CBC and CTR messages of releases before 1.0.5 have no header tag, and
// are refused: nothing would tell whether their data key is right.
type EncryptionSDK struct {
	// Stream says that records are of the stream form.
	Stream bool
	// KeyName returns the ARN that the SDK's readers know a key by. Nil means acs:kms:<region>:<account>:key/<id>, made
	// of what is known of the key; a key of which too little is known is then an error.
	KeyName func(kmsmigrate.KeyRef) (string, error)
}

// esdkRecord is a parsed record of either form. Its slices are parts of the record, but for wrapped values that stand as text.
type esdkRecord struct {
	esdkHeader
	headerAt int // where what the header's tag covers begins
	tagAt    int

	rest   []byte // what follows the header, as it stands; empty for a header alone
	iv     []byte // the payload's
	sealed []byte // ciphertext and tag
	bodyAt int    // of sealed
}

type esdkHeader struct {
	version, algorithm int
	keys               []esdkPair // ARN, wrapped data key
	text               bool       // the message holds base64 text of the wrapped data keys
	context            []esdkPair // name, value
	contextAs          []byte     // as a stream has it, which is what its tag covers
	iv, tag            []byte
}

type esdkPair struct{ name, value []byte }

// Name returns "encryption-sdk" or "encryption-sdk-stream".
func (l EncryptionSDK) Name() string {
	if l.Stream {
		return "encryption-sdk-stream"
	}
	return "encryption-sdk"
}

// HoldsCopies returns true: the header has a set of wrapped data keys.
func (EncryptionSDK) HoldsCopies() bool { return true }

func (l EncryptionSDK) parse(record []byte) (m esdkRecord, err error) {
	if l.Stream {
		return parseESDKStream(l.Name(), record)
	}
	return parseESDKMessage(l.Name(), record)
}

// ownContext returns the record's encryption context. Parsing has seen that no name stands twice.
func (h esdkHeader) ownContext() kmsmigrate.EncryptionContext {
	if len(h.context) == 0 {
		return nil
	}
	ec := make(kmsmigrate.EncryptionContext, len(h.context))
	for _, pair := range h.context {
		ec[string(pair.name)] = string(pair.value)
	}
	return ec
}

// Context returns the record's own encryption context, and fails with ErrTampered when the caller gives another.
func (l EncryptionSDK) Context(record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	if record == nil {
		return ec, nil
	}
	m, err := l.parse(record)
	if err != nil {
		return nil, err
	}
	own := m.ownContext()
	if len(ec) > 0 && !bytes.Equal(appendContext(nil, own), appendContext(nil, ec)) {
		return nil, tampered(l.Name(), m.headerAt, "the record's encryption context is not the one given")
	}
	return own, nil
}

// Parse decodes the header and looks at the shape of the rest.
func (l EncryptionSDK) Parse(record []byte) (Header, error) {
	m, err := l.parse(record)
	if err != nil {
		return Header{}, err
	}
	var v Value
	for _, key := range m.keys {
		v.Copies = append(v.Copies, key.value)
	}
	return Header{Values: []Value{v}, NeedsPlain: true}, nil
}

// Open checks the header's tag and opens the payload.
func (l EncryptionSDK) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	m, err := l.parse(record)
	if err != nil {
		return nil, err
	}
	if len(m.rest) == 0 {
		return nil, badFormat(l.Name(), len(record), "want a body: this is a header alone")
	}
	key, form, err := m.verify(l.Name(), values[0])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	plaintext, ok := esdkAlgorithms[m.algorithm].open(key, m.iv, m.sealed, m.contextBytes(form))
	if !ok {
		return nil, tampered(l.Name(), m.bodyAt, "the payload or its nonce is not what was sealed")
	}
	return plaintext, nil
}

// Check tells by the header's tag whether value is the record's data key.
func (l EncryptionSDK) Check(record []byte, _ int, value []byte, _ kmsmigrate.EncryptionContext) error {
	m, err := l.parse(record)
	if err != nil {
		return err
	}
	key, _, err := m.verify(l.Name(), value)
	clear(key)
	return err
}

// verify returns the data key and the form of the header's tag, which proves both.
func (m esdkRecord) verify(name string, value []byte) (key []byte, form esdkForm, err error) {
	a := esdkAlgorithms[m.algorithm]
	key, ok := decodeBase64(value) // the SDK decodes whatever the KMS gives back, and takes nothing else
	if ok && len(key) == a.keySize {
		for _, form := range esdkForms {
			tag, err := a.headerTag(key, m.esdkHeader, form)
			if err == nil && bytes.Equal(tag, m.tag) {
				return key, form, nil
			}
		}
	}
	clear(key)
	return nil, form, tampered(name, m.tagAt, "the header's tag fits neither the header nor the data key")
}

// Rewrap replaces the wrapped data keys and makes the header's tag anew, under a nonce of its own.
func (l EncryptionSDK) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	m, err := l.parse(record)
	if err != nil {
		return nil, err
	}
	if len(r.Values) != 1 || len(r.Plain) != 1 {
		return nil, fmt.Errorf("re-wrapping needs the data key: %w", kmsmigrate.ErrInvalid)
	}
	key, form, err := m.verify(l.Name(), r.Plain[0])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	names := map[string][]byte{}
	for _, pair := range m.keys {
		names[string(pair.value)] = pair.name
	}
	if m.keys, err = l.pairs(r.Values[0], names); err != nil {
		return nil, err
	}
	return l.write(m.esdkHeader, m.rest, key, form)
}

// pairs joins wrapped data keys and the ARNs of their keys.
func (l EncryptionSDK) pairs(wrapped []Wrapped, names map[string][]byte) ([]esdkPair, error) {
	if len(wrapped) == 0 || len(wrapped) > MaxCopies {
		return nil, fmt.Errorf("want 1 to %d wrapped data keys: %w", MaxCopies, kmsmigrate.ErrInvalid)
	}
	pairs := make([]esdkPair, 0, len(wrapped))
	seen := map[string]bool{}
	for _, w := range wrapped {
		if len(w.Ciphertext) == 0 || len(w.Ciphertext) > MaxWrapped {
			return nil, fmt.Errorf("want wrapped data keys of 1 to %d bytes: %w", MaxWrapped, kmsmigrate.ErrInvalid)
		}
		name, ok := names[string(w.Ciphertext)]
		if !ok {
			arn, err := l.keyName(w.Key)
			if err != nil {
				return nil, err
			}
			name = []byte(arn)
		}
		if seen[string(name)] {
			return nil, fmt.Errorf("two wrapped data keys have one ARN, by which the SDK's readers choose: %w", kmsmigrate.ErrInvalid)
		}
		seen[string(name)] = true
		pairs = append(pairs, esdkPair{name: name, value: w.Ciphertext})
	}
	return pairs, nil
}

func (l EncryptionSDK) keyName(ref kmsmigrate.KeyRef) (string, error) {
	if l.KeyName != nil {
		return l.KeyName(ref)
	}
	if ref.Region == "" || ref.Account == "" || ref.KeyID == "" {
		return "", fmt.Errorf("the ARN of %s cannot be made without its region and account: set EncryptionSDK.KeyName: %w", ref, kmsmigrate.ErrInvalid)
	}
	return "acs:kms:" + ref.Region + ":" + ref.Account + ":key/" + ref.KeyID, nil
}

// write makes the header's tag and puts the header before the rest.
func (l EncryptionSDK) write(h esdkHeader, rest, key []byte, form esdkForm) ([]byte, error) {
	h.iv = make([]byte, max(len(h.iv), nonceSize))
	rand.Read(h.iv)
	var err error
	if h.tag, err = esdkAlgorithms[h.algorithm].headerTag(key, h, form); err != nil {
		return nil, err
	}
	if l.Stream {
		return h.appendStream(nil, rest), nil
	}
	return h.appendMessage(nil, rest), nil
}

// NewValues returns the base64 text of a random data key.
func (EncryptionSDK) NewValues([]byte) ([][]byte, error) { return [][]byte{AES.newValue(false)}, nil }

// Seal writes what the SDK writes by default: AES-256-GCM.
func (l EncryptionSDK) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	pairs, err := l.pairs(s.Wrapped[0], nil)
	if err != nil {
		return nil, err
	}
	h := esdkHeader{version: 1, algorithm: 2, keys: pairs}
	for _, entry := range contextEntries(ec) {
		h.context = append(h.context, esdkPair{[]byte(entry.name), []byte(entry.value)})
	}
	form := esdkForms[0]
	nonce, payload, err := AES.seal(s.Values[0], false, plaintext, h.contextBytes(form))
	if err != nil {
		return nil, err
	}
	key, ok := decodeBase64(s.Values[0])
	if !ok {
		return nil, fmt.Errorf("the data key is not base64 text: %w", kmsmigrate.ErrInvalid)
	}
	defer clear(key)
	if l.Stream {
		return l.write(h, streamBody(nonce, payload), key, form)
	}
	return l.write(h, messageBody(nonce, payload), key, form)
}
