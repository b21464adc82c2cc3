package rekeydump

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// CSV says how a file of comma-separated values is written: as RFC 4180 says, so that a quote inside quotes is doubled and
// nothing else is escaped. Bytes are text already, or hexadecimal after \x (PostgreSQL) or 0x.
type CSV struct {
	// Table is the name that declarations have for it. Required.
	Table string
	// Schema is its schema, where there is one.
	Schema string
	// Header names the columns of a file whose first line does not.
	Header []string
	// Comma is what separates values. Zero means a comma.
	Comma byte
}

// ReadCSV counts what one table holds, as [Read] does.
func ReadCSV(ctx context.Context, r io.Reader, file CSV, c Config) (Report, error) {
	count, err := newCounter(c)
	if err != nil {
		return Report{}, err
	}
	read, err := readCSV(ctx, r, file, count)
	if err == nil {
		err = count.missing()
	}
	return count.report(read, err == nil), err
}

func readCSV(ctx context.Context, r io.Reader, file CSV, count *counter) (int64, error) {
	if file.Comma == 0 {
		file.Comma = ','
	}
	if file.Table == "" || file.Comma == '"' || file.Comma == '\n' || file.Comma == '\r' {
		return 0, fmt.Errorf("rekeydump: CSV needs a Table, and a Comma that is no quote and no line break: %w", kmsmigrate.ErrInvalid)
	}
	text, err := plain(r)
	if err != nil {
		return 0, err
	}
	f := &csvFile{input: newInput(ctx, text), comma: file.Comma, most: count.most}
	if f.at(0) == 0xef && f.at(1) == 0xbb && f.at(2) == 0xbf { // a byte order mark
		f.skip(3)
	}
	err = f.read(file, count)
	if failed := f.failed(); failed != nil {
		err = failed
	}
	if err == nil {
		count.remark("nothing tells whether a CSV file was cut off between two rows")
	}
	return f.bytes(), err
}

type csvFile struct {
	*input
	comma byte
	most  int
	row   []value
}

func (f *csvFile) read(file CSV, count *counter) error {
	var fields []field
	for _, column := range file.Header {
		fields = append(fields, field{name: column})
	}
	table := name{file.Schema, file.Table}
	var to *target
	for {
		line := f.line
		more, err := f.record()
		if err != nil || !more {
			if err == nil && to == nil && len(fields) == 0 {
				return wrong(1, "there is no line that names the columns")
			}
			if err == nil && to == nil {
				_, err = count.target(table, fields, line)
			}
			return err
		}
		if fields == nil {
			for i := range f.row {
				if _, ok := rekeysql.Look(f.row[i].raw); ok {
					return wrong(line, "the first line holds what looks like ciphertext, and no names of columns: give CSV.Header")
				}
				fields = append(fields, field{name: string(f.row[i].raw), cell: true})
			}
			if to, err = count.target(table, fields, line); err != nil {
				return err
			}
			continue
		}
		if to == nil {
			if to, err = count.target(table, fields, line); err != nil {
				return err
			}
		}
		if len(f.row) != len(fields) {
			return wrong(line, "a row of %s has %d values, and the table %d columns", table, len(f.row), len(fields))
		}
		for i := range f.row {
			v := &f.row[i]
			if bytes.HasPrefix(v.raw, []byte(`\x`)) || bytes.HasPrefix(v.raw, []byte(`0x`)) {
				unhex(v, 2)
			}
		}
		count.row(to, f.row)
	}
}

// record takes one row; more is false at the end.
func (f *csvFile) record() (more bool, err error) {
	f.row = f.row[:0]
	if !f.has(1) {
		return false, nil
	}
	for {
		v := nextCell(&f.row, f.most)
		quoted := f.at(0) == '"'
		if quoted {
			if err := f.quoted(v); err != nil {
				return false, err
			}
		} else {
			f.until(string([]byte{f.comma, '\n'}), v)
			v.null = len(v.raw) == 0 || string(v.raw) == `\N`
		}
		c, ok := f.next()
		switch {
		case c == f.comma && ok:
			continue
		case c == '\r' && (f.at(0) == '\n' || !f.has(1)):
			f.skip(1)
		case ok && c != '\n':
			return false, f.wrong("after a closing quote comes neither a comma nor the end of the line")
		case !quoted && len(v.raw) > 0 && v.raw[len(v.raw)-1] == '\r':
			v.raw = v.raw[:len(v.raw)-1]
			v.null = len(v.raw) == 0 || string(v.raw) == `\N`
		}
		return true, nil
	}
}

// quoted takes a value in quotes.
func (f *csvFile) quoted(v *value) error {
	began := f.line
	f.skip(1)
	for f.until(`"`, v) {
		f.skip(1)
		if f.at(0) != '"' {
			return nil
		}
		f.skip(1)
		v.addByte('"')
	}
	return wrong(began, "a value in quotes has no end")
}

// nextCell adds a cell to a row, whose memory is used again.
func nextCell(row *[]value, most int) *value {
	if n := len(*row); n < cap(*row) {
		*row = (*row)[:n+1]
	} else {
		*row = append(*row, value{})
	}
	v := &(*row)[len(*row)-1]
	v.reset(most)
	return v
}
