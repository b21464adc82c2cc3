package envelope

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// EncryptionSDK is the DER message of Alibaba's Encryption SDK for Java and Python: a header with wrapped copies of one data
// key, each with the ARN of its key, the encryption context in clear, and a tag over all that which only who has the
// data key can make; then nonce, payload and tag. Re-wrapping makes the header's tag anew, so it needs the data key.
//
// The encryption context is the record's own. Open checks it against the caller's where the caller gives one. Payloads of
// the SDK's CBC and CTR algorithms have no tag: a change to them is not noticed, but another data key is, by the header's.
type EncryptionSDK struct {
	// KeyName returns the ARN that the SDK's readers know a key by. Nil means acs:kms:<region>:<account>:key/<id>, made
	// of what is known of the key; a key of which too little is known is then an error.
	KeyName func(kmsmigrate.KeyRef) (string, error)
}

// The message. encoding/asn1 sorts sets when it writes them, as DER has it.
type esdkRecord struct {
	Header esdkHeader
	Body   esdkBody
}

type esdkHeader struct {
	Version   int
	Algorithm int
	Keys      []esdkPair `asn1:"set"` // ARN, wrapped data key
	Context   []esdkPair `asn1:"set"` // name, value
	IV        []byte
	Tag       []byte
}

type esdkPair struct{ Name, Value []byte }

type esdkBody struct{ IV, Ciphertext, Tag []byte }

// Name returns "encryption-sdk".
func (EncryptionSDK) Name() string { return "encryption-sdk" }

// HoldsCopies returns true: the header has a set of wrapped data keys.
func (EncryptionSDK) HoldsCopies() bool { return true }

func (l EncryptionSDK) parse(record []byte) (m esdkRecord, err error) {
	rest, err := asn1.Unmarshal(record, &m)
	switch {
	case err != nil:
		// The decoder's error names types and no content, and no offset either.
		return m, badFormat(l.Name(), 0, "want a DER sequence of header and body")
	case len(rest) > 0:
		return m, badFormat(l.Name(), len(record)-len(rest), "want nothing after the message")
	case m.Header.Version != 1:
		return m, badFormat(l.Name(), 0, "want version 1")
	case len(m.Header.Keys) == 0 || len(m.Header.Keys) > MaxCopies:
		return m, badFormat(l.Name(), 0, "want 1 to %d wrapped data keys", MaxCopies)
	case len(m.Header.IV) != nonceSize || len(m.Header.Tag) != tagSize:
		return m, badFormat(l.Name(), 0, "want a header nonce of 12 bytes and a header tag of 16")
	}
	for _, key := range m.Header.Keys {
		if len(key.Value) == 0 || len(key.Value) > MaxWrapped {
			return m, badFormat(l.Name(), 0, "want wrapped data keys of 1 to %d bytes", MaxWrapped)
		}
	}
	a, ok := esdkAlgorithms[m.Header.Algorithm]
	if !ok {
		return m, badFormat(l.Name(), 0, "want an algorithm from 1 to 12")
	}
	if len(m.Body.IV) != a.ivSize || len(m.Body.Tag) != a.tagSize {
		return m, badFormat(l.Name(), 0, "want a nonce of %d bytes and a tag of %d for this algorithm", a.ivSize, a.tagSize)
	}
	_, err = l.context(m)
	return m, err
}

// context returns the record's encryption context.
func (l EncryptionSDK) context(m esdkRecord) (kmsmigrate.EncryptionContext, error) {
	if len(m.Header.Context) == 0 {
		return nil, nil
	}
	ec := make(kmsmigrate.EncryptionContext, len(m.Header.Context))
	for _, pair := range m.Header.Context {
		if _, twice := ec[string(pair.Name)]; twice {
			return nil, badFormat(l.Name(), 0, "an entry of the encryption context stands twice")
		}
		ec[string(pair.Name)] = string(pair.Value)
	}
	return ec, nil
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
	own, err := l.context(m)
	if err != nil {
		return nil, err
	}
	if len(ec) > 0 && !bytes.Equal(appendContext(nil, own), appendContext(nil, ec)) {
		return nil, tampered(l.Name(), 0, "the record's encryption context is not the one given")
	}
	return own, nil
}

// Parse decodes the message.
func (l EncryptionSDK) Parse(record []byte) (Header, error) {
	m, err := l.parse(record)
	if err != nil {
		return Header{}, err
	}
	var v Value
	for _, key := range m.Header.Keys {
		v.Copies = append(v.Copies, key.Value)
	}
	return Header{Values: []Value{v}, NeedsPlain: true}, nil
}

// Open checks the header's tag and opens the payload.
func (l EncryptionSDK) Open(record []byte, values [][]byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	m, err := l.parse(record)
	if err != nil {
		return nil, err
	}
	a := esdkAlgorithms[m.Header.Algorithm]
	key, form, err := l.verify(m, values[0])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	plaintext, ok := a.open(key, m.Body, m.Header.boundContexts(form))
	if !ok {
		return nil, tampered(l.Name(), len(record)-len(m.Body.Ciphertext), "the payload or its nonce is not what was sealed")
	}
	return plaintext, nil
}

// verify returns the data key and the form of the header's tag, which proves both.
func (l EncryptionSDK) verify(m esdkRecord, value []byte) (key []byte, form esdkForm, err error) {
	a := esdkAlgorithms[m.Header.Algorithm]
	key, ok := decodeBase64(value) // the SDK decodes whatever the KMS gives back, and takes nothing else
	if ok && len(key) == a.keySize {
		for _, form := range esdkForms {
			tag, err := a.headerTag(key, m.Header, form)
			if err == nil && bytes.Equal(tag, m.Header.Tag) {
				return key, form, nil
			}
		}
	}
	clear(key)
	return nil, form, tampered(l.Name(), 0, "the header's tag fits neither the header nor the data key")
}

// Rewrap replaces the wrapped data keys and makes the header's tag anew, with its old nonce never used again.
func (l EncryptionSDK) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	m, err := l.parse(record)
	if err != nil {
		return nil, err
	}
	if len(r.Values) != 1 || len(r.Plain) != 1 {
		return nil, fmt.Errorf("re-wrapping needs the data key: %w", kmsmigrate.ErrInvalid)
	}
	key, form, err := l.verify(m, r.Plain[0])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	names := map[string][]byte{}
	for _, pair := range m.Header.Keys {
		names[string(pair.Value)] = pair.Name
	}
	if m.Header.Keys, err = l.pairs(r.Values[0], names); err != nil {
		return nil, err
	}
	return l.marshal(m, key, form)
}

// pairs joins wrapped data keys and the ARNs of their keys.
func (l EncryptionSDK) pairs(wrapped []Wrapped, names map[string][]byte) ([]esdkPair, error) {
	pairs := make([]esdkPair, 0, len(wrapped))
	for _, w := range wrapped {
		name, ok := names[string(w.Ciphertext)]
		if !ok {
			arn, err := l.keyName(w.Key)
			if err != nil {
				return nil, err
			}
			name = []byte(arn)
		}
		pairs = append(pairs, esdkPair{Name: name, Value: w.Ciphertext})
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

// marshal makes the header's tag and writes the message, the body as it was.
func (l EncryptionSDK) marshal(m esdkRecord, key []byte, form esdkForm) ([]byte, error) {
	m.Header.IV = make([]byte, nonceSize)
	rand.Read(m.Header.IV)
	var err error
	if m.Header.Tag, err = esdkAlgorithms[m.Header.Algorithm].headerTag(key, m.Header, form); err != nil {
		return nil, err
	}
	return asn1.Marshal(m)
}

// NewValues returns the base64 text of a random data key.
func (EncryptionSDK) NewValues([]byte) ([][]byte, error) { return [][]byte{AES.newValue(false)}, nil }

// Seal writes what the SDK writes by default: AES-256-GCM.
func (l EncryptionSDK) Seal(plaintext []byte, s Sealing, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	pairs, err := l.pairs(s.Wrapped[0], nil)
	if err != nil {
		return nil, err
	}
	m := esdkRecord{Header: esdkHeader{Version: 1, Algorithm: 2, Keys: pairs, Context: []esdkPair{}}}
	for _, entry := range contextEntries(ec) {
		m.Header.Context = append(m.Header.Context, esdkPair{[]byte(entry.name), []byte(entry.value)})
	}
	form := esdkForm{version: true, count: len(ec) > 0}
	nonce, payload, err := AES.seal(s.Values[0], false, plaintext, m.Header.contextBytes(form.count))
	if err != nil {
		return nil, err
	}
	cut := len(payload) - tagSize
	m.Body = esdkBody{IV: nonce, Ciphertext: payload[:cut], Tag: payload[cut:]}
	key, ok := decodeBase64(s.Values[0])
	if !ok {
		return nil, fmt.Errorf("the data key is not base64 text: %w", kmsmigrate.ErrInvalid)
	}
	defer clear(key)
	return l.marshal(m, key, form)
}
