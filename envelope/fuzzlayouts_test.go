package envelope_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// fuzzLayout feeds the parser of one layout, from a record of its own on. What it takes must have copies, re-wrap to the same
// copies, and not open under a wrong data key. Nothing may panic.
func fuzzLayout(f *testing.F, l envelope.Layout) {
	f.Helper()
	ref := kmsmigrate.KeyRef{Region: "cn-hangzhou", Account: "1001"}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{KMS1: true, Ref: ref})})
	if err != nil {
		f.Fatal(err)
	}
	e, err := envelope.New(envelope.Config{Keys: client, Layout: l})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	for _, plaintext := range []string{"x", "a longer plaintext, of several blocks"} {
		record, err := e.Seal(f.Context(), []byte(plaintext), nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		given := bytes.Clone(record)
		h, err := l.Parse(record)
		if err != nil {
			if !errors.Is(err, envelope.ErrFormat) {
				t.Fatalf("Parse failed with another error than ErrFormat: %v", err)
			}
			return
		}
		var r envelope.Rewrap
		values := make([][]byte, 0, len(h.Values))
		for _, v := range h.Values {
			var copies []envelope.Wrapped
			for _, c := range v.Copies {
				copies = append(copies, envelope.Wrapped{Ciphertext: c, Key: ref})
			}
			r.Values = append(r.Values, copies)
			values = append(values, make([]byte, 32))
		}
		r.Plain = values
		if out, err := l.Rewrap(record, r); err == nil {
			again, err := l.Parse(out)
			if err != nil {
				t.Fatalf("what Rewrap returned does not parse: %v", err)
			}
			for i, v := range again.Values {
				for j, c := range v.Copies {
					if !bytes.Equal(c, r.Values[i][j].Ciphertext) {
						t.Fatal("what Rewrap returned holds other copies")
					}
				}
			}
		}
		if _, err := l.Open(record, values, nil); err == nil && !h.Direct {
			t.Fatal("opened under a data key of zeros")
		}
		if !bytes.Equal(given, record) {
			t.Fatal("the record was changed")
		}
	})
}

func FuzzJSON(f *testing.F)                { fuzzLayout(f, envelope.JSON{}) }
func FuzzColumns(f *testing.F)             { fuzzLayout(f, envelope.Columns{}) }
func FuzzBlob(f *testing.F)                { fuzzLayout(f, envelope.Blob{}) }
func FuzzBlobRaw(f *testing.F)             { fuzzLayout(f, envelope.Blob{Raw: true}) }
func FuzzAdvance(f *testing.F)             { fuzzLayout(f, envelope.Blob{Advance: true, Raw: true}) }
func FuzzFourField(f *testing.F)           { fuzzLayout(f, envelope.FourField{}) }
func FuzzAsymmetric(f *testing.F)          { fuzzLayout(f, envelope.Asymmetric{Raw: true}) }
func FuzzTink(f *testing.F)                { fuzzLayout(f, envelope.Tink{}) }
func FuzzBlobInfo(f *testing.F)            { fuzzLayout(f, envelope.BlobInfo{}) }
func FuzzEncryptionSDK(f *testing.F)       { fuzzLayout(f, envelope.EncryptionSDK{}) }
func FuzzEncryptionSDKStream(f *testing.F) { fuzzLayout(f, envelope.EncryptionSDK{Stream: true}) }
func FuzzOSS(f *testing.F)                 { fuzzLayout(f, envelope.OSS{}) }
func FuzzThreeLineLayout(f *testing.F)     { fuzzLayout(f, envelope.ThreeLine{}) }

func FuzzTinkText(f *testing.F) { fuzzLayout(f, envelope.Tink{Text: true, ValueText: true}) }
func FuzzColumnsRaw(f *testing.F) {
	fuzzLayout(f, envelope.Columns{DataKeyRaw: true, NonceRaw: true, PayloadRaw: true})
}
func FuzzAdvanceText(f *testing.F) { fuzzLayout(f, envelope.Blob{Advance: true}) }
func FuzzJSONTag(f *testing.F)     { fuzzLayout(f, envelope.JSON{Tag: "tag"}) }
func FuzzTJFoc(f *testing.F)       { fuzzLayout(f, envelope.ThreeLine{Cipher: envelope.SM4OrTJFoc}) }
