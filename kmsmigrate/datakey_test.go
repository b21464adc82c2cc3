package kmsmigrate_test

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestGenerateDataKeyUsesTheKeyThatThePhaseWritesWith(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		old, next := pair()
		c := client(t, phase, old, next)
		plaintext, blob, err := c.GenerateDataKey(t.Context(), 32, nil)
		require.NoError(t, err)
		raw, err := base64.StdEncoding.DecodeString(string(plaintext))
		require.NoError(t, err)
		require.Len(t, raw, 32)
		writer := old
		if grid[phase].writes == kmsmigrate.SideNew {
			writer = next
		}
		opened, err := writer.Decrypt(t.Context(), blob, nil)
		require.NoError(t, err, phase)
		require.Equal(t, plaintext, opened)
	}
}

// generator answers with what it holds.
type generator struct {
	kmsmigrate.Key
	plaintext, blob []byte
}

func (g generator) GenerateDataKey(context.Context, int, kmsmigrate.EncryptionContext) ([]byte, []byte, error) {
	return g.plaintext, g.blob, nil
}

func TestADataKeyThatIsShortOrAnothersIsRefused(t *testing.T) {
	t.Parallel()
	old, next := pair()
	theirs := encrypt(t, next, "x")
	own := encrypt(t, old, "x")
	text := []byte(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	for name, g := range map[string]generator{
		"no plaintext":         {old, nil, own},
		"a short plaintext":    {old, text[:31], own},
		"no ciphertext":        {old, text, nil},
		"another's ciphertext": {old, text, theirs},
	} {
		plaintext, blob, err := client(t, kmsmigrate.OldOnly, g, next).GenerateDataKey(t.Context(), 32, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, name)
		require.Nil(t, plaintext)
		require.Nil(t, blob)
	}
}

func TestGenerateDataKeyRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.OldOnly, old, next)
	for _, n := range []int{-1, 0, 1025} {
		_, _, err := c.GenerateDataKey(t.Context(), n, nil)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	require.Equal(t, [2]int64{}, calls(old), "before any call")
	plain := client(t, kmsmigrate.OldOnly, keytest.Slow(old, 0), next)
	_, _, err := plain.GenerateDataKey(t.Context(), 32, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, "have them made locally")
	old.Disable()
	_, _, err = c.GenerateDataKey(t.Context(), 32, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState)
}
