package kmsmigrate_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestAKeyMapFindsKeysUnderAllTheirNames(t *testing.T) {
	t.Parallel()
	m, err := kmsmigrate.ParseKeyMap([]byte(`{"default": "key-default", "keys": {
		"alias/app": "key-app",
		"acs:kms:cn-hangzhou:1234:key/0b30658a-ed1a-4922-b8f7-a673ca9c9c1c": "key-arn",
		"acs:kms:cn-hangzhou:1234:alias/mail": "key-mail"}}`))
	require.NoError(t, err)
	for old, want := range map[string]string{
		"alias/app":                            "key-app",
		"acs:kms:cn-hangzhou:1234:alias/app":   "key-app",
		"0b30658a-ed1a-4922-b8f7-a673ca9c9c1c": "key-arn",
		"acs:kms:cn-hangzhou:1234:key/0b30658a-ed1a-4922-b8f7-a673ca9c9c1c": "key-arn",
		"alias/mail":  "key-mail",
		"alias/other": "key-default",
	} {
		got, err := m.New(old)
		require.NoError(t, err)
		require.Equal(t, want, got, old)
	}
	_, err = m.New("acs:kms:cn-beijing:999:alias/mail")
	require.NoError(t, err, "the default")
	m.Keys["acs:kms:cn-beijing:999:alias/mail"] = "key-other"
	require.NoError(t, m.Validate(), "two accounts may have an alias of one name")
	got, err := m.New("acs:kms:cn-beijing:999:alias/mail")
	require.NoError(t, err)
	require.Equal(t, "key-other", got)
	_, err = m.New("alias/mail")
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "which of the two?")
	delete(m.Keys, "acs:kms:cn-beijing:999:alias/mail")
	_, err = m.New("")
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	m.Default = ""
	_, err = m.New("alias/other")
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)

	text, err := json.Marshal(m)
	require.NoError(t, err)
	again, err := kmsmigrate.ParseKeyMap(text)
	require.NoError(t, err)
	require.Equal(t, m, again)
}

func TestAKeyMapThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                  "key map",
		`{}`:                                "empty",
		`[]`:                                "key map",
		`{"keys": {"": "key-x"}}`:           "empty old key",
		`{"keys": {"alias/a": " "}}`:        `no new key for "alias/a"`,
		`{"kees": {"alias/a": "key-x"}}`:    "kees",
		`{"default": "k"} {"default": "l"}`: "more than one",
		`{"default": "k"}}`:                 "more than one",
		`{"default": "k"}]`:                 "more than one",
		`{"keys": {"a": "x"}, "KEYS": {"a": "y"}}`:                                 "KEYS",
		`{"default": "k", "Default": "l"}`:                                         "Default",
		`{"keys": {"alias/a": "key-x", "alias/a": "key-y"}}`:                       `"alias/a" twice`,
		`{"keys": {"alias/a": "key-x", "acs:kms:cn-hangzhou:1:alias/a": "key-y"}}`: "two ways",
		`{"default": "k", "default": "l"}`:                                         "twice",
		`{"keys": {"alias/a": 7}}`:                                                 "key map",
	} {
		_, err := kmsmigrate.ParseKeyMap([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, text)
	}
}

func TestAKeyMapMakesPairs(t *testing.T) {
	t.Parallel()
	m := kmsmigrate.KeyMap{Keys: map[string]string{"alias/a": "n1", "alias/b": "n1", "alias/c": "n2"}}
	made := map[string]int{}
	open := func(id string) (kmsmigrate.Key, error) { made[id]++; return keytest.New(keytest.Config{}), nil }
	pairs, err := m.Pairs(open, open)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"alias/a": 1, "alias/b": 1, "alias/c": 1, "n1": 1, "n2": 1}, made)
	require.Len(t, pairs, 3)
	require.Same(t, pairs[0].New, pairs[1].New, "a new key that two share is made once")
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Pairs: pairs})
	require.NoError(t, err)
	_, err = c.For("alias/b")
	require.NoError(t, err)

	bad := errors.New("no such key")
	_, err = m.Pairs(open, func(string) (kmsmigrate.Key, error) { return nil, bad })
	require.ErrorIs(t, err, bad)
	require.ErrorContains(t, err, `new key "n1"`)
	_, err = m.Pairs(func(string) (kmsmigrate.Key, error) { return nil, bad }, open)
	require.ErrorContains(t, err, `old key "alias/a"`)
	_, err = kmsmigrate.KeyMap{}.Pairs(open, open)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func FuzzParseKeyMap(f *testing.F) {
	f.Add([]byte(`{"default": "k", "keys": {"alias/a": "b"}}`))
	f.Add([]byte(`{"keys": {"acs:kms:r:1:key/x": "b", "x": "c"}}`))
	f.Add([]byte(`{"keys": [[{}]]}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := kmsmigrate.ParseKeyMap(text)
		if err != nil {
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
			return
		}
		for old, to := range m.Keys {
			got, err := m.New(old)
			require.NoError(t, err)
			require.Equal(t, to, got)
		}
	})
}
