package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// fuzzEnvelope returns one over a key in memory, with a table.
func fuzzEnvelope(f *testing.F, table envelope.KeyTable) *envelope.Envelope {
	f.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{KMS1: true})})
	if err != nil {
		f.Fatal(err)
	}
	e, err := envelope.New(envelope.Config{Keys: client, Table: table})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	return e
}

// FuzzTableRecord opens and inspects records whose data key is in a table. None but the one that was sealed opens.
func FuzzTableRecord(f *testing.F) {
	e := fuzzEnvelope(f, new(memoryTable))
	sealed, err := e.Seal(f.Context(), []byte("in a table"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:55])
	f.Fuzz(func(t *testing.T, record []byte) {
		opened, err := e.Open(context.Background(), record, nil)
		if err == nil && (!bytes.Equal(record, sealed) || string(opened.Plaintext) != "in a table") {
			t.Fatal("opened what nobody sealed")
		}
		if _, err := e.Inspect(record); err != nil && !errors.Is(err, envelope.ErrFormat) {
			t.Fatalf("Inspect failed with another error than ErrFormat: %v", err)
		}
	})
}

// FuzzTableEntry has a table that answers with anything.
func FuzzTableEntry(f *testing.F) {
	table := new(memoryTable)
	sealed, err := fuzzEnvelope(f, table).Seal(f.Context(), []byte("in a table"), nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, entry := range table.entries {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		answering := &memoryTable{entries: map[envelope.KeyID][]byte{}}
		for id := range table.entries {
			answering.entries[id] = entry
		}
		client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{KMS1: true})})
		if err != nil {
			t.Fatal(err)
		}
		e, err := envelope.New(envelope.Config{Keys: client, Table: answering})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		// The key is another, so nothing may open.
		if _, err := e.Open(context.Background(), sealed, nil); err == nil {
			t.Fatal("opened with a data key that this key did not wrap")
		}
	})
}

// FuzzOpenStream reads streams, in order and at an offset. What comes out is what was sealed, from its beginning, and the
// end is reached of the whole stream alone.
func FuzzOpenStream(f *testing.F) {
	e := fuzzEnvelope(f, nil)
	plaintext := pattern(envelope.ChunkSize + 10)
	stream := sealStream(f, e, plaintext, nil)
	f.Add(stream, 0)
	f.Add(stream[:len(stream)-26], 1)
	f.Add(stream[:300], envelope.ChunkSize-1)
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		r, err := e.NewReader(context.Background(), bytes.NewReader(data), nil)
		if err != nil {
			return
		}
		out, err := io.ReadAll(r)
		if !bytes.HasPrefix(plaintext, out) || err == nil && !bytes.Equal(data, stream) {
			t.Fatal("a stream that nobody sealed gave bytes or an end")
		}
		seekable, err := e.NewReaderAt(context.Background(), bytes.NewReader(data), int64(len(data)), nil)
		if err != nil {
			return
		}
		part := make([]byte, 20)
		n, _ := seekable.ReadAt(part, int64(at))
		if n > 0 && !bytes.Equal(part[:n], plaintext[at:at+n]) {
			t.Fatal("reading at an offset gave other bytes")
		}
	})
}
