package envelope

import (
	"bytes"
	"context"
	"testing"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// FuzzKeyText reads what a KMS might answer for a data key. There is one text for each, and a reading is of a key's size.
func FuzzKeyText(f *testing.F) {
	f.Add(encodeDataKey(make([]byte, dataKeySize)))
	f.Add(encodeDataKey(make([]byte, 16)))
	f.Add(make([]byte, 32))
	f.Add([]byte("AAAA\nAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if raw, ok := decodeDataKey(text); ok && (len(raw) != dataKeySize || !bytes.Equal(encodeDataKey(raw), text)) {
			t.Fatal("a data key with two texts")
		}
		if raw, ok := decodeBase64(text); ok && !bytes.Equal(encodeDataKey(raw), text) {
			t.Fatal("bytes with two texts")
		}
		for _, key := range keyReadings(text) {
			if !isKeySize(len(key)) {
				t.Fatalf("a key of %d bytes", len(key))
			}
		}
	})
}

// FuzzOpen opens records of the own format. None but the one that was sealed opens, whatever its copies are replaced by.
func FuzzOpen(f *testing.F) {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keytest.New(keytest.Config{KMS1: true}), New: keytest.New(keytest.Config{})})
	if err != nil {
		f.Fatal(err)
	}
	e, err := New(Config{Keys: client, WrapBoth: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	sealed, err := e.Seal(f.Context(), []byte("sealed"), nil)
	if err != nil {
		f.Fatal(err)
	}
	want, err := parse(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, record []byte) {
		opened, err := e.Open(context.Background(), record, nil)
		if err != nil {
			return
		}
		h, err := parse(record)
		if err != nil || string(opened.Plaintext) != "sealed" || !bytes.Equal(record[:fixedSize], sealed[:fixedSize]) ||
			!bytes.Equal(h.nonce, want.nonce) || !bytes.Equal(h.payload, want.payload) {
			t.Fatal("opened what nobody sealed")
		}
	})
}
