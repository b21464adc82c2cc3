package verify_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

const (
	keyID     = "key-hzz62f1cb66fa42qo0001"
	versionID = "key-hzz62f1cb66fa42qo0001-17kedv0001"
)

var until = time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)

func retain(tb testing.TB, v vector, keep time.Time) verify.Retained {
	tb.Helper()
	r, err := verify.Retain(keyID, versionID, v.PublicKey, keep)
	require.NoError(tb, err)
	return r
}

func request(tb testing.TB, v vector) verify.Request {
	tb.Helper()
	_, digest, signature := v.parts(tb)
	return verify.Request{KeyID: keyID, VersionID: versionID, Algorithm: v.Algorithm, Digest: digest, Signature: signature}
}

func TestSignaturesVerifyFromEveryStore(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		memory := new(verify.Memory)
		require.NoError(t, memory.Add(retain(t, v, until)))
		var text bytes.Buffer
		_, err := memory.WriteTo(&text)
		require.NoError(t, err)
		embedded, err := verify.ReadFS(fstest.MapFS{"keys/retained.json": {Data: text.Bytes()}}, "keys/retained.json")
		require.NoError(t, err)
		name := filepath.Join(t.TempDir(), "retained.json")
		require.NoError(t, memory.WriteFile(name))
		require.NoError(t, memory.WriteFile(name), "over the one that is there")
		file, err := verify.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, memory.Keys(), file.Keys())
		left, err := os.ReadDir(filepath.Dir(name))
		require.NoError(t, err)
		require.Len(t, left, 1, "no temporary file is left")
		for _, store := range []verify.Store{memory, embedded, file} {
			err := verify.Signature(t.Context(), store, request(t, v))
			if v.Valid {
				require.NoError(t, err, v.Name)
			} else {
				require.ErrorIs(t, err, verify.ErrBadSignature, v.Name)
			}
		}
	}
}

func TestAKeyIsFoundByIdAndVersionTogether(t *testing.T) {
	t.Parallel()
	v := vectors(t)[0]
	memory := new(verify.Memory)
	require.NoError(t, memory.Add(retain(t, v, until)))
	for _, at := range [][2]string{{keyID, "another"}, {"another", versionID}, {"", ""}, {versionID, keyID}} {
		r := request(t, v)
		r.KeyID, r.VersionID = at[0], at[1]
		require.ErrorIs(t, verify.Signature(t.Context(), memory, r), verify.ErrUnknownKey)
	}
	require.ErrorIs(t, verify.Signature(t.Context(), nil, request(t, v)), verify.ErrInvalid)
}

// table is an application's own store; it answers with whatever it holds.
type table struct {
	retained verify.Retained
	err      error
}

func (s table) Find(context.Context, string, string) (verify.Retained, error) {
	return s.retained, s.err
}

func TestAStoreThatAnswersWithAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	v := vectors(t)[0]
	other, err := verify.Retain(keyID, strings.Repeat("v", 36), v.PublicKey, until)
	require.NoError(t, err)
	require.ErrorIs(t, verify.Signature(t.Context(), table{retained: other}, request(t, v)), verify.ErrPinned)

	exchanged := retain(t, v, until)
	exchanged.PublicKey = vectors(t)[8].PublicKey
	require.ErrorIs(t, verify.Signature(t.Context(), table{retained: exchanged}, request(t, v)), verify.ErrPinned)

	down := errors.New("the table is down")
	err = verify.Signature(t.Context(), table{err: down}, request(t, v))
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, verify.ErrBadSignature)
}

func TestOnePublicKeyForOneVersion(t *testing.T) {
	t.Parallel()
	all := vectors(t)
	memory := new(verify.Memory)
	require.NoError(t, memory.Add(retain(t, all[0], until)))
	require.NoError(t, memory.Add(retain(t, all[0], until)), "again")
	other, err := verify.Retain("another", versionID, all[8].PublicKey, until)
	require.NoError(t, err)
	err = memory.Add(other, retain(t, all[8], until))
	require.ErrorIs(t, err, verify.ErrPinned)
	require.Len(t, memory.Keys(), 1, "all or none")
	require.NoError(t, verify.Signature(t.Context(), memory, request(t, all[0])))
}

func TestAKeyIsKeptUntilItsDate(t *testing.T) {
	t.Parallel()
	v := vectors(t)[0]
	memory := new(verify.Memory)
	require.ErrorIs(t, memory.Remove(keyID, versionID, until), verify.ErrUnknownKey)
	require.NoError(t, memory.Add(retain(t, v, until)))
	require.ErrorIs(t, memory.Remove(keyID, versionID, until), verify.ErrKept)

	require.NoError(t, memory.Add(retain(t, v, until.Add(-time.Hour))))
	require.ErrorIs(t, memory.Remove(keyID, versionID, until), verify.ErrKept, "adding it again made the date no earlier")
	require.NoError(t, memory.Add(retain(t, v, until.Add(time.Hour))))
	require.ErrorIs(t, memory.Remove(keyID, versionID, until.Add(time.Minute)), verify.ErrKept, "but later")
	require.NoError(t, memory.Remove(keyID, versionID, until.Add(2*time.Hour)))
	require.Empty(t, memory.Keys())

	require.NoError(t, memory.Add(retain(t, v, time.Time{})))
	require.NoError(t, memory.Add(retain(t, v, until)))
	require.ErrorIs(t, memory.Remove(keyID, versionID, until.AddDate(100, 0, 0)), verify.ErrKept, "for ever stays for ever")
}

func TestReadRefusesWhatIsNotAListOfKeys(t *testing.T) {
	t.Parallel()
	memory := new(verify.Memory)
	require.NoError(t, memory.Add(retain(t, vectors(t)[0], until)))
	var b strings.Builder
	_, err := memory.WriteTo(&b)
	require.NoError(t, err)
	good := b.String()
	for name, text := range map[string]string{
		"empty":           "",
		"cut off":         good[:len(good)/2],
		"two values":      good + "{}",
		"unknown field":   strings.Replace(good, `"key_id"`, `"keyid"`, 1),
		"no key id":       strings.Replace(good, keyID+`",`, `",`, 1),
		"a list":          "[]",
		"no pin":          strings.Replace(good, `"sha256"`, `"keep_forever"`, 1),
		"a malformed key": strings.Replace(good, "BEGIN PUBLIC KEY", "BEGIN", 1),
	} {
		_, err := verify.Read(strings.NewReader(text))
		require.ErrorIs(t, err, verify.ErrInvalid, name)
	}
	key, err := verify.ParsePublicKey(vectors(t)[0].PublicKey)
	require.NoError(t, err)
	_, err = verify.Read(strings.NewReader(strings.Replace(good, key.Fingerprint(), strings.Repeat("0", 64), 1)))
	require.ErrorIs(t, err, verify.ErrPinned)
	_, err = verify.ReadFile(filepath.Join(t.TempDir(), "none.json"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, memory.WriteFile(filepath.Join(t.TempDir(), "none", "f.json")))
}
