package envelope

import (
	"encoding/binary"
)

// The stream form: a header of big-endian numbers, then the nonce after its length, which is little-endian, and the payload
// to the end, with its tag last where there is one. The whole payload has one tag.

// lengthReader reads parts that stand after their lengths. Each length is checked against what is there before it is used.
type lengthReader struct {
	layout string
	data   []byte
	at     int
	err    error
}

func (r *lengthReader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = badFormat(r.layout, at, format, args...)
	}
}

// number reads 4 bytes, and fails where they are less than least or more than most.
func (r *lengthReader) number(order binary.ByteOrder, what string, least, most int) int {
	if r.err == nil && len(r.data)-r.at < 4 {
		r.fail(r.at, "want %s, a number of 4 bytes, the record ends", what)
	}
	if r.err != nil {
		return 0
	}
	n := int64(order.Uint32(r.data[r.at:]))
	if n < int64(least) || n > int64(most) {
		r.fail(r.at, "want %s from %d to %d", what, least, most)
		return 0
	}
	r.at += 4
	return int(n)
}

// part reads a length and as many bytes.
func (r *lengthReader) part(order binary.ByteOrder, what string, least, most int) []byte {
	size := r.number(order, "the length of "+what, least, most)
	if r.err == nil && len(r.data)-r.at < size {
		r.fail(r.at, "want %s of %d bytes, the record ends", what, size)
	}
	if r.err != nil {
		return nil
	}
	r.at += size
	return r.data[r.at-size : r.at : r.at]
}

// parseESDKStream reads the stream form.
func parseESDKStream(name string, record []byte) (m esdkRecord, err error) {
	r := &lengthReader{layout: name, data: record}
	m.version = r.number(binary.BigEndian, "the version", 1, 1)
	m.algorithm = r.number(binary.BigEndian, "an algorithm", 1, len(esdkAlgorithms))
	contextAt := r.at + 4
	if context := r.part(binary.BigEndian, "the encryption context", 0, len(record)); len(context) > 0 {
		m.context, m.contextAs = r.context(context, contextAt), context
	}
	for range r.number(binary.BigEndian, "the number of wrapped data keys", 1, MaxCopies) {
		arn := r.part(binary.BigEndian, "an ARN", 0, len(record))
		at := r.at + 4
		text := r.part(binary.BigEndian, "a wrapped data key in base64", 4, (MaxWrapped+2)/3*4)
		wrapped, ok := decodeBase64(text)
		if !ok {
			r.fail(at, "want a wrapped data key in base64")
		}
		m.keys = append(m.keys, esdkPair{name: arn, value: wrapped})
	}
	m.esdkHeader.iv = r.part(binary.BigEndian, "the header's nonce", nonceSize, nonceSize)
	m.tagAt = r.at + 4
	m.tag = r.part(binary.BigEndian, "the header's tag", tagSize, tagSize)
	if r.err != nil || r.at == len(record) {
		return m, r.err
	}
	m.rest = record[r.at:]
	a := esdkAlgorithms[m.algorithm]
	m.iv = r.part(binary.LittleEndian, "the payload's nonce", a.ivSize, a.ivSize)
	if r.err == nil && len(record)-r.at < a.tagSize {
		r.fail(r.at, "want a payload and its tag of %d bytes, the record ends", a.tagSize)
	}
	m.bodyAt, m.sealed = r.at, record[r.at:]
	return m, r.err
}

// context reads the entries of an encryption context that stands at an offset of the record.
func (r *lengthReader) context(encoded []byte, at int) []esdkPair {
	entries := &lengthReader{layout: r.layout, data: r.data[:at+len(encoded)], at: at}
	n := entries.number(binary.BigEndian, "the number of entries of the encryption context", 1, len(encoded)/8)
	pairs, seen := make([]esdkPair, 0, min(n, maxContextEntries)), map[string]bool{}
	for range n {
		before := entries.at
		name := entries.part(binary.BigEndian, "a name of the encryption context", 0, len(encoded))
		value := entries.part(binary.BigEndian, "a value of the encryption context", 0, len(encoded))
		if seen[string(name)] {
			entries.fail(before, "want each name of the encryption context once")
		}
		seen[string(name)] = true
		pairs = append(pairs, esdkPair{name: name, value: value})
	}
	if entries.at != len(entries.data) {
		entries.fail(entries.at, "want nothing after the last entry of the encryption context")
	}
	if r.err == nil {
		r.err = entries.err
	}
	return pairs
}

// appendStream appends the header in the stream form, and what follows it.
func (h esdkHeader) appendStream(dst, rest []byte) []byte {
	appendPart := func(part []byte) {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
		dst = append(dst, part...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.algorithm))
	appendPart(h.contextBytes(esdkForms[0]))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(h.keys)))
	for _, k := range h.sortedKeys() {
		dst = k.appendText(dst)
	}
	appendPart(h.iv)
	appendPart(h.tag)
	return append(dst, rest...)
}

// streamBody returns what follows the header.
func streamBody(nonce, sealed []byte) []byte {
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(nonce)+len(sealed)), uint32(len(nonce)))
	return append(append(out, nonce...), sealed...)
}
