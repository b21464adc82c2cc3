package envelope_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

var saysWhere = regexp.MustCompile(`offset (\d+): (want|this is|the )`)

// namesOfFormats may stand in errors, because they are the format's and no record's.
var namesOfFormats = strings.NewReplacer("EncryptedDataKey", "", "KeyVersionId", "", "CipherText", "", "DataKeyIV", "",
	"client-side-encryption-", "", "cek-alg", "", "wrap-alg", "", "CiphertextBlob", "", "AES/CTR/NoPadding", "", "KMS/ALICLOUD", "", "encryption-sdk-stream", "", "encryption-sdk", "")

// requireSaysWhere checks that an error names an offset within the record and shows no six bytes of it.
func requireSaysWhere(t *testing.T, err, is error, record []byte, what string) int {
	t.Helper()
	require.ErrorIs(t, err, is, what)
	m := saysWhere.FindStringSubmatch(err.Error())
	require.NotNil(t, m, "%s: no offset, or not what was expected: %v", what, err)
	offset, aerr := strconv.Atoi(m[1])
	require.NoError(t, aerr)
	require.LessOrEqual(t, offset, len(record), "%s: %v", what, err)
	text := namesOfFormats.Replace(err.Error())
	rest := namesOfFormats.Replace(string(record))
	for i := 0; i+6 <= len(rest); i++ {
		if strings.Contains(text, rest[i:i+6]) {
			require.Fail(t, "it shows bytes of the record", "%s: %v", what, err)
		}
	}
	return offset
}

// named things of every layout: records of a world of two keys.
func layoutRecords(t *testing.T) map[string][]byte {
	t.Helper()
	l := func(region string) kmsmigrate.KeyRef { return kmsmigrate.KeyRef{Region: region, Account: "1001"} }
	w := newWorldOf(t, kmsmigrate.OldOnly, newMemoryKey(l("cn-hangzhou")), newMemoryKey(l("cn-beijing")))
	records := map[string][]byte{}
	for _, l := range allLayouts() {
		records[l.Name()] = seal(t, w.envelope(t, envelope.Config{Layout: l}), "planted plaintext", nil)
	}
	own := w.envelope(t, envelope.Config{})
	records["keyhaul"] = seal(t, own, "planted plaintext", nil)
	records["keyhaul stream"] = sealStream(t, own, []byte("planted plaintext"), nil)
	records["keyhaul table"] = seal(t, w.envelope(t, envelope.Config{Table: new(memoryTable)}), "planted plaintext", nil)
	return records
}

func TestEveryLayoutSaysWhereARecordIsWrong(t *testing.T) {
	t.Parallel()
	records := layoutRecords(t)
	for _, l := range allLayouts() {
		record := records[l.Name()]
		_, err := l.Parse(nil)
		require.Zero(t, requireSaysWhere(t, err, envelope.ErrFormat, nil, l.Name()+", empty"))
		for n := range record { // short: what still parses must not open, and that says where, too
			short := record[:n:n]
			if _, err := l.Parse(short); err != nil {
				requireSaysWhere(t, err, envelope.ErrFormat, short, fmt.Sprintf("%s, the first %d bytes", l.Name(), n))
			}
		}
		for name, foreign := range records {
			if name == l.Name() {
				continue
			}
			_, err := l.Parse(foreign)
			requireSaysWhere(t, err, envelope.ErrFormat, foreign, fmt.Sprintf("%s, a record of %s", l.Name(), name))
		}
		wrong := bytes.Clone(record)
		wrong[0] ^= 0x80 // no format begins like that
		if _, err := l.Parse(wrong); err != nil {
			requireSaysWhere(t, err, envelope.ErrFormat, wrong, l.Name()+", a wrong first byte")
		} else {
			require.Contains(t, "blob-raw", l.Name(), "a ciphertext of the KMS begins with an id that only the KMS knows")
		}
	}
}

func TestTheOwnFormatSaysWhereARecordIsWrong(t *testing.T) {
	t.Parallel()
	records := layoutRecords(t)
	e := newWorld(t, kmsmigrate.OldOnly).envelope(t, envelope.Config{})
	set := func(record []byte, at int, to byte) []byte {
		record = bytes.Clone(record)
		record[at] = to
		return record
	}
	for _, name := range []string{"keyhaul", "keyhaul stream", "keyhaul table"} {
		record := records[name]
		for what, c := range map[string]struct {
			record []byte
			offset int
		}{
			"empty": {nil, 0}, "a wrong magic": {set(record, 3, 'X'), 0}, "an unknown version": {set(record, 4, 2), 4},
			"an unknown suite": {set(record, 5, 3), 5}, "a header that ends": {record[:30], 30},
			"too many copies": {set(record, 38, 17), 38}, "a copy of no bytes": {set(set(set(record, 38, 1), 39, 0), 40, 0), 39},
			"a copy that is too long": {set(set(record, 38, 1), 39, 0xff), 39},
		} {
			_, err := e.Inspect(c.record)
			require.Equal(t, c.offset, requireSaysWhere(t, err, envelope.ErrFormat, c.record, name+", "+what), "%s, %s: %v", name, what, err)
			_, err = e.Open(t.Context(), c.record, nil)
			requireSaysWhere(t, err, envelope.ErrFormat, c.record, name+", "+what+", opened")
		}
		for n := range record {
			if _, err := e.Inspect(record[:n]); err != nil {
				requireSaysWhere(t, err, envelope.ErrFormat, record[:n], fmt.Sprintf("%s, the first %d bytes", name, n))
			}
		}
	}
}

// What is wrong is found where it stands, not where the record begins.
func TestOffsetsAreThoseOfTheRecord(t *testing.T) {
	t.Parallel()
	records := layoutRecords(t)
	for name, c := range map[string]struct {
		layout envelope.Layout
		record []byte
		at     []byte // the offset is that of these bytes
		add    int
	}{
		"a field that is a number":     {envelope.JSON{}, bytes.Replace(records["json"], []byte(`"iv":"`), []byte(`"iv":1,"x":"`), 1), []byte("}"), 0},
		"a nonce of 9 bytes":           {envelope.JSON{}, cutAfter(records["json"], `"iv":"`, 4), []byte(`"iv":`), 5},
		"an unknown algorithm":         {envelope.OSS{}, bytes.Replace(records["oss"], []byte("AES/CTR"), []byte("AES/CBC"), 1), []byte(`"AES/CBC`), 0},
		"a field of the sample":        {envelope.FourField{}, cutAfter(records["four-field"], `"Iv":"`, 4), []byte(`"Iv":`), 5},
		"a nonce of BlobInfo":          {envelope.BlobInfo{}, bytes.Replace(records["blobinfo"], []byte{0x12, 12}, []byte{0x1a, 12}, 1), nil, len(records["blobinfo"])},
		"a column that is not base64":  {envelope.Columns{}, replaceLast(records["columns"], '*'), nil, len(records["columns"]) - 5},
		"an algorithm of the SDK":      {envelope.EncryptionSDK{}, bytes.Replace(records["encryption-sdk"], []byte{2, 1, 1, 2, 1, 2}, []byte{2, 1, 1, 2, 1, 99}, 1), []byte{2, 1, 99}, 0},
		"a stream's number of keys":    {envelope.EncryptionSDK{Stream: true}, overwrite(records["encryption-sdk-stream"], 12, 17), nil, 12},
		"a stream's length of a nonce": {envelope.EncryptionSDK{Stream: true}, overwrite(records["encryption-sdk-stream"], 8, 1<<31), nil, 8},
	} {
		_, err := c.layout.Parse(c.record)
		want := c.add
		if c.at != nil {
			want += bytes.LastIndex(c.record, c.at)
		}
		require.Equal(t, want, requireSaysWhere(t, err, envelope.ErrFormat, c.record, name), "%s: %v", name, err)
	}
}

func cutAfter(record []byte, after string, n int) []byte {
	at := bytes.Index(record, []byte(after)) + len(after)
	return append(bytes.Clone(record[:at]), record[at+n:]...)
}

func replaceLast(record []byte, with byte) []byte {
	record = bytes.Clone(record)
	record[len(record)-1] = with
	record[len(record)-5] = with
	return record
}

func overwrite(record []byte, at int, n uint32) []byte {
	record = bytes.Clone(record)
	binary.BigEndian.PutUint32(record[at:], n)
	return record
}

func TestTooManyWrappedCopiesAreRefused(t *testing.T) {
	t.Parallel()
	var all []envelope.Wrapped
	for i := range envelope.MaxCopies + 1 {
		all = append(all, envelope.Wrapped{Ciphertext: []byte(fmt.Sprint("copy ", i)), Key: kmsmigrate.KeyRef{Region: "r", Account: "a", KeyID: fmt.Sprint(i)}})
	}
	records := layoutRecords(t)
	for _, l := range allLayouts() {
		values, err := l.NewValues([]byte("planted plaintext"))
		require.NoError(t, err)
		wrapped := make([][]envelope.Wrapped, len(values))
		for i := range wrapped {
			wrapped[i] = all
		}
		_, err = l.Seal([]byte("planted plaintext"), envelope.Sealing{Values: values, Wrapped: wrapped}, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, l.Name())
		_, err = l.Rewrap(records[l.Name()], envelope.Rewrap{Values: wrapped, Plain: values})
		require.Error(t, err, l.Name())
		require.NotContains(t, err.Error(), "planted")
	}
	// A record that says so itself.
	tooMany, err := json.Marshal(map[string]any{"encryptedDataKey": []string{"AAAA", "AAAA"}, "iv": "AAAAAAAAAAAAAAAA", "cipherText": strings.Repeat("A", 24)})
	require.NoError(t, err)
	_, err = envelope.JSON{}.Parse(tooMany)
	requireSaysWhere(t, err, envelope.ErrFormat, tooMany, "two data keys in JSON")
}
