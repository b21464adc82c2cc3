package envelope

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// The message form, in DER:
//
//	SEQUENCE { SEQUENCE { INTEGER version, INTEGER algorithm, SET OF SEQUENCE { OCTET STRING ARN, OCTET STRING data key },
//	SET OF SEQUENCE { OCTET STRING name, OCTET STRING value }, OCTET STRING nonce, OCTET STRING tag },
//	SEQUENCE { OCTET STRING nonce, OCTET STRING ciphertext, OCTET STRING tag } }
const (
	derInteger, derOctets, derSequence, derSet = 0x02, 0x04, 0x30, 0x31

	maxContextEntries = 1024 // the KMS takes 8,192 characters
)

// derReader reads DER values one after another. encoding/asn1 says neither where an error is nor what was expected there.
type derReader struct {
	layout string
	data   []byte
	at     int // of data in the record
}

// next returns the content of the value that comes next, which must be of a kind.
func (r *derReader) next(kind byte, what string) (derReader, error) {
	none := derReader{}
	switch {
	case len(r.data) < 2:
		return none, badFormat(r.layout, r.at, "want %s, the DER value ends", what)
	case r.data[0] != kind:
		return none, badFormat(r.layout, r.at, "want %s, a DER value of kind %02X", what, kind)
	}
	size, head := int(r.data[1]), 2
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 4 || len(r.data) < 2+n {
			return none, badFormat(r.layout, r.at+1, "want a DER length in up to 4 bytes")
		}
		wide := uint64(0)
		for _, b := range r.data[2 : 2+n] {
			wide = wide<<8 | uint64(b)
		}
		if wide < 0x80 || r.data[2] == 0 {
			return none, badFormat(r.layout, r.at+1, "want a DER length in its shortest form")
		}
		if wide > uint64(len(r.data)) {
			return none, badFormat(r.layout, r.at+1, "want %s, the record ends", what)
		}
		size, head = int(wide), 2+n
	}
	if size > len(r.data)-head {
		return none, badFormat(r.layout, r.at+1, "want %s, the record ends", what)
	}
	value := derReader{layout: r.layout, data: r.data[head : head+size : head+size], at: r.at + head}
	r.data, r.at = r.data[head+size:], r.at+head+size
	return value, nil
}

func (r *derReader) end(what string) error {
	if len(r.data) > 0 {
		return badFormat(r.layout, r.at, "want nothing after %s", what)
	}
	return nil
}

// number reads an INTEGER of one byte.
func (r *derReader) number(what string, least, most int) (int, error) {
	at := r.at
	v, err := r.next(derInteger, what)
	if err != nil {
		return 0, err
	}
	if len(v.data) != 1 || int(v.data[0]) < least || int(v.data[0]) > most {
		return 0, badFormat(r.layout, at, "want %s from %d to %d", what, least, most)
	}
	return int(v.data[0]), nil
}

// pairs reads a SET OF SEQUENCE of two OCTET STRINGs.
func (r *derReader) pairs(what string, each func(at int, p esdkPair) error) error {
	set, err := r.next(derSet, what)
	if err != nil {
		return err
	}
	for len(set.data) > 0 {
		at := set.at
		pair, err := set.next(derSequence, what)
		if err != nil {
			return err
		}
		name, err := pair.next(derOctets, what)
		if err != nil {
			return err
		}
		value, err := pair.next(derOctets, what)
		if err != nil {
			return err
		}
		if err := pair.end("a pair of " + what); err != nil {
			return err
		}
		if err := each(at, esdkPair{name: name.data, value: value.data}); err != nil {
			return err
		}
	}
	return nil
}

// parseESDKMessage reads the message form, or its header alone.
func parseESDKMessage(name string, record []byte) (m esdkRecord, err error) {
	all := derReader{layout: name, data: record}
	message, err := all.next(derSequence, "a message")
	if err != nil {
		return m, err
	}
	if err := all.end("the message"); err != nil {
		return m, err
	}
	if len(message.data) > 0 && message.data[0] == derInteger { // the header alone
		return m, m.readHeader(message)
	}
	header, err := message.next(derSequence, "a header")
	if err != nil {
		return m, err
	}
	if err := m.readHeader(header); err != nil {
		return m, err
	}
	m.rest = message.data
	body, err := message.next(derSequence, "a body")
	if err != nil {
		return m, err
	}
	if err := message.end("the body"); err != nil {
		return m, err
	}
	return m, m.readBody(body)
}

func (m *esdkRecord) readHeader(r derReader) (err error) {
	m.headerAt = r.at
	if m.version, err = r.number("the version", 1, 1); err != nil {
		return err
	}
	if m.algorithm, err = r.number("an algorithm", 1, len(esdkAlgorithms)); err != nil {
		return err
	}
	if err := m.readKeys(&r); err != nil {
		return err
	}
	seen := map[string]bool{}
	err = r.pairs("the encryption context", func(at int, p esdkPair) error {
		if seen[string(p.name)] || len(seen) == maxContextEntries {
			return badFormat(r.layout, at, "want each name of the encryption context once, and at most %d", maxContextEntries)
		}
		seen[string(p.name)] = true
		m.context = append(m.context, p)
		return nil
	})
	if err != nil {
		return err
	}
	at := r.at
	iv, err := r.next(derOctets, "the header's nonce")
	if err != nil {
		return err
	}
	// Release 1.0.5 made it as long as the payload's.
	if len(iv.data) != nonceSize && len(iv.data) != esdkAlgorithms[m.algorithm].ivSize {
		return badFormat(r.layout, at, "want a header nonce of 12 bytes")
	}
	tag, err := r.next(derOctets, "the header's tag")
	if err != nil {
		return err
	}
	if len(tag.data) != tagSize {
		return badFormat(r.layout, tag.at, "want a header tag of 16 bytes")
	}
	m.esdkHeader.iv, m.tag, m.tagAt = iv.data, tag.data, tag.at
	return r.end("the header's tag")
}

// readKeys reads the wrapped data keys. Releases before 1.0.4 have them as text, which is known by what it decodes to.
func (m *esdkRecord) readKeys(r *derReader) error {
	at, texts := r.at, 0
	err := r.pairs("the wrapped data keys", func(at int, p esdkPair) error {
		if len(m.keys) == MaxCopies {
			return badFormat(r.layout, at, "want 1 to %d wrapped data keys", MaxCopies)
		}
		if decoded, ok := decodeBase64(p.value); ok {
			if _, ok := kmsmigrate.BlobVersion(decoded); ok {
				texts++
				p.value = decoded
			}
		}
		if len(p.value) == 0 || len(p.value) > MaxWrapped {
			return badFormat(r.layout, at, "want wrapped data keys of 1 to %d bytes", MaxWrapped)
		}
		m.keys = append(m.keys, p)
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(m.keys) == 0:
		return badFormat(r.layout, at, "want 1 to %d wrapped data keys", MaxCopies)
	case texts > 0 && texts < len(m.keys):
		return badFormat(r.layout, at, "want wrapped data keys that are all bytes or all base64 text")
	}
	m.text = texts > 0
	return nil
}

func (m *esdkRecord) readBody(r derReader) error {
	a := esdkAlgorithms[m.algorithm]
	iv, err := r.next(derOctets, "the payload's nonce")
	if err != nil {
		return err
	}
	sealed, err := r.next(derOctets, "the payload")
	if err != nil {
		return err
	}
	tag, err := r.next(derOctets, "the payload's tag")
	if err != nil {
		return err
	}
	switch {
	case len(iv.data) != a.ivSize:
		return badFormat(r.layout, iv.at, "want a nonce of %d bytes for this algorithm", a.ivSize)
	case len(tag.data) != a.tagSize:
		return badFormat(r.layout, tag.at, "want a tag of %d bytes for this algorithm", a.tagSize)
	}
	m.iv, m.bodyAt = iv.data, sealed.at
	if m.sealed = sealed.data; a.tagSize > 0 {
		m.sealed = slices.Concat(sealed.data, tag.data)
	}
	return r.end("the payload's tag")
}

// der returns a DER value.
func der(kind byte, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	out := make([]byte, 0, 6+size)
	out = append(out, kind)
	switch {
	case size < 0x80:
		out = append(out, byte(size))
	case size < 1<<8:
		out = append(out, 0x81, byte(size))
	case size < 1<<16:
		out = append(out, 0x82, byte(size>>8), byte(size))
	case size < 1<<24:
		out = append(out, 0x83, byte(size>>16), byte(size>>8), byte(size))
	default:
		out = append(out, 0x84, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// derSetOf returns a SET OF pairs, in the order that DER asks for.
func derSetOf(pairs []esdkPair) []byte {
	members := make([][]byte, len(pairs))
	for i, p := range pairs {
		members[i] = der(derSequence, der(derOctets, p.name), der(derOctets, p.value))
	}
	slices.SortFunc(members, bytes.Compare)
	return der(derSet, members...)
}

// appendMessage appends the message of the header and the body that follows it, or the header alone.
func (h esdkHeader) appendMessage(dst, body []byte) []byte {
	keys := slices.Clone(h.keys)
	for i := range keys {
		if h.text {
			keys[i].value = base64.StdEncoding.AppendEncode(nil, keys[i].value)
		}
	}
	header := der(derSequence, der(derInteger, []byte{byte(h.version)}), der(derInteger, []byte{byte(h.algorithm)}),
		derSetOf(keys), derSetOf(h.context), der(derOctets, h.iv), der(derOctets, h.tag))
	if len(body) == 0 {
		return append(dst, header...)
	}
	return append(dst, der(derSequence, header, body)...)
}

// messageBody returns what follows the header.
func messageBody(nonce, payload []byte) []byte {
	cut := len(payload) - tagSize
	return der(derSequence, der(derOctets, nonce), der(derOctets, payload[:cut]), der(derOctets, payload[cut:]))
}
