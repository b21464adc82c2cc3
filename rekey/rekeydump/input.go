package rekeydump

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// input reads bytes and counts lines.
type input struct {
	ctx      context.Context
	r        io.Reader
	buf      []byte
	pos, end int
	line     int64 // of the next byte, from 1
	taken    int64 // bytes that were read before buf
	err      error // why there is no more; io.EOF at the end
}

const bufferSize = 64 << 10

func newInput(ctx context.Context, r io.Reader) *input {
	return &input{ctx: ctx, r: r, buf: make([]byte, bufferSize), line: 1}
}

// plain undoes gzip, and refuses what is not text.
func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, bufferSize)
	head, _ := b.Peek(headSize)
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("rekeydump: undoing gzip: %w", err)
		}
		b = bufio.NewReaderSize(z, bufferSize)
		head, _ = b.Peek(headSize)
		if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
			return nil, wrong(1, "this is compressed with gzip twice")
		}
	}
	why := unread(head)
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		why = "this is UTF-16: make UTF-8 of it"
	}
	if why != "" {
		return nil, wrong(1, "%s", why)
	}
	return b, nil
}

const headSize = 512 // enough for every sign

// unread says why a file that begins so is not read, "" where it is.
func unread(head []byte) string {
	for _, sign := range []struct {
		at   int
		text string
		why  string
	}{
		{0, "PGDMP", "this is an archive of pg_dump, not its plain format: make SQL of it with pg_restore -f -"},
		{0, "SQLite format 3\x00", "this is a SQLite database, not a dump of one: open it with rekeysql, or make SQL of it with sqlite3 FILE .dump"},
		{0, "\x28\xb5\x2f\xfd", "this is compressed with zstd: give what that program writes to its output"},
		{0, "BZh", "this is compressed with bzip2: give what that program writes to its output"},
		{0, "\xfd7zXZ\x00", "this is compressed with xz: give what that program writes to its output"},
		{0, "\x04\x22\x4d\x18", "this is compressed with lz4: give what that program writes to its output"},
		{0, "PK\x03\x04", "this is a zip archive: unpack it"},
		{257, "ustar", "this is a tar archive: unpack it"},
	} {
		if len(head) >= sign.at && bytes.HasPrefix(head[sign.at:], []byte(sign.text)) {
			return sign.why
		}
	}
	return ""
}

// wrong is an error about a line. It never holds anything of the dump but names of tables and columns.
func wrong(line int64, format string, args ...any) error {
	return fmt.Errorf("rekeydump: line %d: %s: %w", line, fmt.Sprintf(format, args...), kmsmigrate.ErrInvalid)
}

func (in *input) wrong(format string, args ...any) error { return wrong(in.line, format, args...) }

// has makes sure that n more bytes can be looked at, n being small.
func (in *input) has(n int) bool {
	for in.end-in.pos < n {
		if in.err != nil || in.pos == 0 && in.end == len(in.buf) {
			return false
		}
		if in.err = in.ctx.Err(); in.err != nil {
			return false
		}
		if in.pos > 0 {
			copy(in.buf, in.buf[in.pos:in.end])
			in.taken += int64(in.pos)
			in.end -= in.pos
			in.pos = 0
		}
		var got int
		got, in.err = in.r.Read(in.buf[in.end:])
		in.end += got
	}
	return true
}

// at is the byte i places on, 0 where there is none.
func (in *input) at(i int) byte {
	if in.pos+i < in.end || in.has(i+1) {
		return in.buf[in.pos+i]
	}
	return 0
}

// next takes a byte; ok is false at the end.
func (in *input) next() (c byte, ok bool) {
	if in.pos == in.end && !in.has(1) {
		return 0, false
	}
	c = in.buf[in.pos]
	in.pos++
	if c == '\n' {
		in.line++
	}
	return c, true
}

// skip takes n bytes that were looked at.
func (in *input) skip(n int) {
	for range n {
		in.next()
	}
}

// until takes bytes up to and without the first of stop, and gives them to v. It is what makes long values fast.
func (in *input) until(stop string, v *value) (ok bool) {
	for in.has(1) {
		window := in.buf[in.pos:in.end]
		at := index(window, stop)
		if at >= 0 {
			window = window[:at]
		}
		v.add(window)
		in.line += int64(bytes.Count(window, []byte{'\n'}))
		in.pos += len(window)
		if at >= 0 {
			return true
		}
	}
	return false
}

// index is bytes.IndexAny for one to three ASCII characters, several times as fast.
func index(window []byte, stop string) int {
	a, b, c := stop[0], stop[len(stop)/2], stop[len(stop)-1]
	if a == c {
		return bytes.IndexByte(window, a)
	}
	for i, is := range window {
		if is == a || is == b || is == c {
			return i
		}
	}
	return -1
}

const lineHead = 256

// restOfLine takes the line, its end included, and returns the first bytes of it.
func (in *input) restOfLine() string {
	var v value
	v.most = lineHead
	if in.until("\n", &v) {
		in.next()
	}
	return string(v.raw)
}

func (in *input) bytes() int64 { return in.taken + int64(in.pos) }

// failed returns why reading broke off, nil at the end.
func (in *input) failed() error {
	if in.err == nil || in.err == io.EOF { //nolint:errorlint // readers return io.EOF itself
		return nil
	}
	return fmt.Errorf("rekeydump: reading line %d: %w", in.line, in.err)
}

// value is one cell of a row. Its memory is used again for the next row.
type value struct {
	null bool
	cut  bool // longer than most
	bare bool // a number or a word, which is no ciphertext
	raw  []byte
	most int // bytes that are kept; negative: none, and nothing is cut
}

func (v *value) reset(most int) { *v = value{raw: v.raw[:0], most: most} }

func (v *value) add(b []byte) {
	switch room := v.most - len(v.raw); {
	case v.most < 0:
	case len(b) <= room:
		v.raw = append(v.raw, b...)
	default:
		v.raw = append(v.raw, b[:max(0, room)]...)
		v.cut = true
	}
}

func (v *value) addByte(c byte) {
	switch {
	case v.most < 0:
	case len(v.raw) < v.most:
		v.raw = append(v.raw, c)
	default:
		v.cut = true
	}
}
