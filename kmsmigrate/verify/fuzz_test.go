package verify_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

func FuzzParsePublicKey(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.PublicKey)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := verify.ParsePublicKey(text)
		if err != nil {
			require.ErrorIs(t, err, verify.ErrInvalid)
			return
		}
		require.NotEmpty(t, key.Spec())
		_, err = key.Digest([]byte("m"))
		require.NoError(t, err)
		for _, a := range key.Algorithms() {
			require.ErrorIs(t, key.Verify(a, make([]byte, verify.DigestSize), nil), verify.ErrBadSignature)
		}
	})
}

// FuzzVerify finds no second signature: of RSA there is one for one key and digest that anybody can make, and the DER of the others is strict.
func FuzzVerify(f *testing.F) {
	all := vectors(f)
	for i, v := range all {
		raw, err := base64.StdEncoding.DecodeString(v.Signature)
		require.NoError(f, err)
		f.Add(uint8(i), raw)
	}
	f.Fuzz(func(t *testing.T, which uint8, signature []byte) {
		v := all[int(which)%len(all)]
		key, digest, known := v.parts(t)
		err := key.Verify(v.Algorithm, digest, signature)
		if err == nil {
			require.True(t, v.Valid)
			if v.Algorithm == verify.RSAPKCS1SHA256 {
				require.Equal(t, known, signature)
			}
			return
		}
		require.ErrorIs(t, err, verify.ErrBadSignature)
	})
}

func FuzzRead(f *testing.F) {
	m := new(verify.Memory)
	require.NoError(f, m.Add(retain(f, vectors(f)[8], until)))
	var b strings.Builder
	_, err := m.WriteTo(&b)
	require.NoError(f, err)
	f.Add(b.String())
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := verify.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var again strings.Builder
		_, err = read.WriteTo(&again)
		require.NoError(t, err)
		back, err := verify.Read(strings.NewReader(again.String()))
		require.NoError(t, err)
		require.Len(t, back.Keys(), len(read.Keys()))
	})
}
