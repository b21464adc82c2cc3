package envelope_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// generator is a key that encrypts nothing it is given, and whose data keys pass through made.
type generator struct {
	*keytest.Key
	made func(plaintext, ciphertext []byte) ([]byte, []byte)
}

func (g generator) Encrypt(context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error) {
	return nil, kmsmigrate.ErrDenied
}

func (g generator) GenerateDataKey(ctx context.Context, n int, ec kmsmigrate.EncryptionContext) (plaintext, ciphertext []byte, err error) {
	plaintext, ciphertext, err = g.Key.GenerateDataKey(ctx, n, ec)
	if err == nil && g.made != nil {
		plaintext, ciphertext = g.made(plaintext, ciphertext)
	}
	return plaintext, ciphertext, err
}

func TestDataKeysComeFromTheService(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own": {}, "SM4": {Suite: envelope.SM4GCM}, "fresh": {FreshKeys: true}, "proven": {Prove: true},
		"table":      {Table: new(memoryTable), TableContext: kmsmigrate.EncryptionContext{"purpose": "data keys"}},
		"three-line": {Layout: envelope.ThreeLine{}}, "JSON": {Layout: envelope.JSON{}}, "JSON, SM4": {Layout: envelope.JSON{Cipher: envelope.SM4}},
		"columns": {Layout: envelope.Columns{}}, "BlobInfo": {Layout: envelope.BlobInfo{}},
	} {
		key := keytest.New(keytest.Config{})
		cfg.Generate = true
		cfg.Keys = clientOf(t, kmsmigrate.OldOnly, generator{Key: key}, nil)
		record := seal(t, newEnvelope(t, cfg), "sealed with the service's random numbers", customers)
		require.EqualValues(t, 1, encrypts(key), name)
		cfg.Generate, cfg.Keys = false, clientOf(t, kmsmigrate.OldOnly, key, nil)
		requireOpens(t, newEnvelope(t, cfg), record, customers, "sealed with the service's random numbers")
	}
}

func TestAStreamsDataKeyComesFromTheService(t *testing.T) {
	t.Parallel()
	key := keytest.New(keytest.Config{})
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, generator{Key: key}, nil), Generate: true})
	stream := sealStream(t, e, []byte("a stream"), customers)
	require.EqualValues(t, 1, encrypts(key))
	r, err := e.NewReader(t.Context(), bytes.NewReader(stream), customers)
	require.NoError(t, err)
	plaintext, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "a stream", string(plaintext))
}

func TestADataKeyOfTheServiceIsWrappedByBothSides(t *testing.T) {
	t.Parallel()
	for _, p := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew} {
		w := newWorld(t, p)
		e := w.envelope(t, envelope.Config{Generate: true, WrapBoth: true})
		record := seal(t, e, "x", customers)
		info, err := e.Inspect(record)
		require.NoError(t, err)
		require.Len(t, info.Copies, 2)
		for _, alone := range []*kmsmigrate.Client{clientOf(t, kmsmigrate.OldOnly, w.old, nil), clientOf(t, kmsmigrate.NewOnly, nil, w.new)} {
			requireOpens(t, newEnvelope(t, envelope.Config{Keys: alone}), record, customers, "x")
		}
	}
}

func TestWhatIsNoDataKeyIsNotSealedWith(t *testing.T) {
	t.Parallel()
	encode := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"nothing": "", "one byte": "A", "a data key of 16 bytes": encode(make([]byte, 16)), "of 31": encode(bytes.Repeat([]byte("ab"), 16)[:31]),
		"of 33": encode(bytes.Repeat([]byte("abc"), 11)), "raw": strings.Repeat("ab", 16), "zeros": encode(make([]byte, 32)),
		"no padding": strings.TrimRight(encode(bytes.Repeat([]byte("ab"), 16)), "="), "another alphabet": base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff}, 16)),
		"a line break": encode(bytes.Repeat([]byte("ab"), 16))[:43] + "\n",
	} {
		for _, layout := range []envelope.Layout{nil, envelope.ThreeLine{}} {
			key := generator{Key: keytest.New(keytest.Config{}), made: func(_, ciphertext []byte) ([]byte, []byte) { return []byte(text), ciphertext }}
			e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, key, nil), Generate: true, Layout: layout})
			record, err := e.Seal(t.Context(), []byte("x"), nil)
			require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, name)
			require.Nil(t, record)
			if text != "" && text != "A" {
				require.NotContains(t, err.Error(), text)
			}
		}
	}
}

func TestGenerateNeedsAValueThatIsADataKey(t *testing.T) {
	t.Parallel()
	keys := clientOf(t, kmsmigrate.OldOnly, keytest.New(keytest.Config{}), nil)
	for _, l := range []envelope.Layout{
		envelope.Blob{}, envelope.FourField{}, envelope.OSS{}, envelope.Tink{}, envelope.ThreeLine{Raw: true}, envelope.JSON{Raw: true}, envelope.Asymmetric{},
	} {
		_, err := envelope.New(envelope.Config{Keys: keys, Generate: true, Layout: l})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "%T", l)
	}
	// A Key that makes none says so when it is asked.
	e := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, keytest.Slow(keytest.New(keytest.Config{}), 0), nil), Generate: true})
	_, err := e.Seal(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

// mixed answers each call with the ciphertext of the one before.
func mixed() func(plaintext, ciphertext []byte) ([]byte, []byte) {
	var last []byte
	return func(plaintext, ciphertext []byte) ([]byte, []byte) {
		ciphertext, last = last, ciphertext
		if ciphertext == nil {
			ciphertext = last
		}
		return plaintext, ciphertext
	}
}

func TestProveFindsACopyThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]envelope.Config{
		"own": {Prove: true, FreshKeys: true}, "layout": {Prove: true, FreshKeys: true, Layout: envelope.ThreeLine{}},
		"table, always": {Table: new(memoryTable), FreshKeys: true},
	} {
		for _, generate := range []bool{false, true} {
			key := keytest.New(keytest.Config{})
			swap := mixed()
			cfg.Generate = generate
			faulty := kmsmigrate.Key(generator{Key: key, made: swap})
			if !generate {
				faulty = keytest.Intercept(key, func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
					answer, err := next()
					if call.Op == "encrypt" {
						_, answer = swap(nil, answer)
					}
					return answer, err
				})
			}
			cfg.Keys = clientOf(t, kmsmigrate.OldOnly, faulty, nil)
			e := newEnvelope(t, cfg)
			seal(t, e, "the first has its own", nil)
			_, err := e.Seal(t.Context(), []byte("x"), nil)
			require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, name)
		}
	}
}
