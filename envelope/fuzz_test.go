package envelope

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse feeds the parser of the own format. What it takes must hold together and re-wrap to itself.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "v1.json"))
	if err != nil {
		f.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		f.Fatal(err)
	}
	for _, v := range all {
		record, err := hex.DecodeString(v.Record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record)
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, record []byte) {
		h, err := parse(record)
		if err != nil || h.copies == 0 {
			return // a record whose data key is in a table has none to re-wrap
		}
		if len(h.each()) != h.copies || !bytes.Equal(h.each()[0], h.first()) {
			t.Fatal("copies do not add up")
		}
		checkRewrap(t, own{ownName}, record)
	})
}

// FuzzParseStream does the same for the header of a stream.
func FuzzParseStream(f *testing.F) {
	f.Add(append(append([]byte(streamMagic), 1, 1), make([]byte, 100)...))
	f.Add(append(append(append([]byte(streamMagic), 1, 1), make([]byte, 32)...), append([]byte{1, 0, 1, 7}, make([]byte, 40)...)...))
	f.Fuzz(func(t *testing.T, record []byte) {
		h, err := parseStream(record)
		read, header, rerr := readHeader(bytes.NewReader(record))
		if (err == nil) != (rerr == nil) {
			t.Fatalf("parsing says %v, reading says %v", err, rerr)
		}
		if err != nil {
			return
		}
		if h.size != read.size || !bytes.Equal(header, record[:h.size]) {
			t.Fatal("parsing and reading differ")
		}
		checkRewrap(t, own{streamName}, record)
	})
}

// FuzzThreeLine does the same for the three-line layout.
func FuzzThreeLine(f *testing.F) {
	f.Add([]byte("AAAA\nAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAA=="))
	f.Add([]byte("AAAA\nAAAAAAAAAAAAAAAA\nAAAAAAAAAAAAAAAAAAAAAA==\n"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if _, err := (ThreeLine{}).Parse(record); err != nil {
			return
		}
		checkRewrap(t, ThreeLine{}, record)
		if _, err := (ThreeLine{}).Open(record, [][]byte{make([]byte, 32)}, nil); err == nil {
			t.Fatal("opened under a data key of zeros")
		}
	})
}

// checkRewrap puts the copies that are there back in, and expects the same record.
func checkRewrap(t *testing.T, l headers, record []byte) {
	t.Helper()
	h, err := parseWith(l, record)
	if err != nil {
		t.Fatal(err)
	}
	var r Rewrap
	for _, v := range h.Values {
		var copies []Wrapped
		for _, c := range v.Copies {
			copies = append(copies, Wrapped{Ciphertext: c})
		}
		r.Values = append(r.Values, copies)
	}
	out, err := l.Rewrap(record, r)
	if err != nil || !bytes.Equal(out, record) {
		t.Fatalf("re-wrapping with the same copies changed the record: %v", err)
	}
}
