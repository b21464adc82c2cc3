package envelope

import (
	"encoding/binary"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// The own format, version 1. FORMAT.md says it byte by byte.
const (
	magic     = "\x8aKHE"
	version   = 1
	fixedSize = len(magic) + 2 + commitmentSize // magic, version, suite, commitment: the bound part

	countAt  = fixedSize
	copiesAt = countAt + 1

	// MaxCopies is how many wrapped copies of its data key a record of the own format can hold.
	MaxCopies = 16
	// MaxWrapped is how long one wrapped copy can be, in bytes. The KMS encrypts up to 6 KB, so its longest ciphertext is
	// 6,208 bytes.
	MaxWrapped = 8192

	ownName = "keyhaul"
)

// header is what stands before a payload. Its slices are parts of the record.
type header struct {
	suite      Suite
	commitment []byte
	copies     int    // 0: the data key's copies are in a table
	id         []byte // of the data key in that table
	list       []byte // the copies, each after its 2-byte length
	nonce      []byte
	payload    []byte // encrypted bytes and tag
}

// parse reads the header.
func parse(record []byte) (h header, err error) {
	err = h.read(record)
	return h, err
}

// read is parse for who has a place for the header: to copy it would be noticed in what opening a short record costs. Every
// length is checked against a cap and against what is there before it is used.
func (h *header) read(record []byte) error {
	if !isOwn(record) {
		return badFormat(ownName, 0, "want the 4 bytes 8A 4B 48 45")
	}
	at, err := h.readHead(ownName, record)
	if err != nil {
		return err
	}
	if len(record)-at < nonceSize+tagSize {
		return badFormat(ownName, at, "want a nonce and a tag, 28 bytes or more, the record ends")
	}
	h.nonce = record[at : at+nonceSize]
	h.payload = record[at+nonceSize:]
	return nil
}

// readHead reads what records and streams have in common after the magic, and returns where it ends.
func (h *header) readHead(name string, record []byte) (at int, err error) {
	switch {
	case len(record) < copiesAt:
		return 0, badFormat(name, len(record), "want a header of at least %d bytes, the record ends", copiesAt)
	case record[4] != version:
		return 0, badFormat(name, 4, "want version 1")
	}
	h.suite = Suite(record[5])
	if !h.suite.valid() {
		return 0, badFormat(name, 5, "want suite 1 or 2")
	}
	h.commitment = record[6:fixedSize]
	h.copies = int(record[countAt])
	if h.copies == 0 && name == ownName {
		if len(record) < copiesAt+keyIDSize {
			return 0, badFormat(name, len(record), "want the 16-byte id of a data key, the record ends")
		}
		h.id = record[copiesAt : copiesAt+keyIDSize]
		return copiesAt + keyIDSize, nil
	}
	if h.copies == 0 || h.copies > MaxCopies {
		return 0, badFormat(name, countAt, "want 1 to %d wrapped copies", MaxCopies)
	}
	at = copiesAt
	for range h.copies {
		if len(record)-at < 2 {
			return 0, badFormat(name, at, "want the 2-byte length of a wrapped copy, the record ends")
		}
		size := int(binary.BigEndian.Uint16(record[at:]))
		if size == 0 || size > MaxWrapped {
			return 0, badFormat(name, at, "want a wrapped copy of 1 to %d bytes", MaxWrapped)
		}
		at += 2
		if len(record)-at < size {
			return 0, badFormat(name, at, "want a wrapped copy of %d bytes, the record ends", size)
		}
		at += size
	}
	h.list = record[copiesAt:at:at]
	return at, nil
}

// first returns the first wrapped copy.
func (h *header) first() []byte {
	size := int(binary.BigEndian.Uint16(h.list))
	return h.list[2 : 2+size : 2+size]
}

// each returns all wrapped copies.
func (h *header) each() [][]byte {
	copies := make([][]byte, 0, h.copies)
	for rest := h.list; len(rest) > 0; {
		size := int(binary.BigEndian.Uint16(rest))
		copies = append(copies, rest[2:2+size:2+size])
		rest = rest[2+size:]
	}
	return copies
}

// appendFixed appends the part of the header that payloads are bound to.
func appendFixed(dst []byte, magic string, s Suite, commitment []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, version, byte(s))
	return append(dst, commitment...)
}

// appendCopies appends the part of the header that re-wrapping replaces.
func appendCopies(dst []byte, copies [][]byte) ([]byte, error) {
	if len(copies) == 0 || len(copies) > MaxCopies {
		return nil, badFormat(ownName, countAt, "want 1 to %d wrapped copies", MaxCopies)
	}
	dst = append(dst, byte(len(copies)))
	for _, wrapped := range copies {
		if len(wrapped) == 0 || len(wrapped) > MaxWrapped {
			return nil, badFormat(ownName, len(dst), "want a wrapped copy of 1 to %d bytes", MaxWrapped)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(wrapped)))
		dst = append(dst, wrapped...)
	}
	return dst, nil
}

// own is the own format, records and streams, as far as renewal and inspection need it. Sealing and opening have a path of
// their own, which allocates nothing but the result.
type own struct{ name string }

func (o own) Name() string { return o.name }

// parse reads the header and returns where the copies end.
func (o own) parse(record []byte) (header, int, error) {
	if o.name == streamName {
		h, err := parseStream(record)
		return h.header, h.size - streamSaltSize, err
	}
	h, err := parse(record)
	return h, copiesAt + len(h.list), err
}

func (o own) Parse(record []byte) (Header, error) {
	h, _, err := o.parse(record)
	if err != nil {
		return Header{}, err
	}
	return Header{Values: []Value{{Copies: h.each()}}}, nil
}

func (own) Context(_ []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.EncryptionContext, error) {
	return ec, nil
}

func (o own) Rewrap(record []byte, r Rewrap) ([]byte, error) {
	_, at, err := o.parse(record)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(record)+64)
	out = append(out, record[:fixedSize]...)
	copies := make([][]byte, len(r.Values[0]))
	for i, w := range r.Values[0] {
		copies[i] = w.Ciphertext
	}
	if out, err = appendCopies(out, copies); err != nil {
		return nil, err
	}
	return append(out, record[at:]...), nil
}
