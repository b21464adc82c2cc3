package kmsmigrate_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// ledger is a Ledger in memory.
type ledger struct {
	mu      sync.Mutex
	entries map[[32]byte][]byte
	fail    error
}

func (l *ledger) Find(_ context.Context, id [32]byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.entries[id]), l.fail
}

func (l *ledger) Add(_ context.Context, id [32]byte, ciphertext []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if l.entries == nil {
		l.entries = map[[32]byte][]byte{}
	}
	l.entries[id] = bytes.Clone(ciphertext)
	return nil
}

func withLedger(t *testing.T, phase kmsmigrate.PhaseSource, l kmsmigrate.Ledger, old, next kmsmigrate.Key) *kmsmigrate.Client {
	t.Helper()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: next, Ledger: l})
	require.NoError(t, err)
	return c
}

var anything = func([]byte) error { return nil }

func TestWhatWasRenewedOpensWithTheNewKeyAloneThroughTheLedger(t *testing.T) {
	t.Parallel()
	old, next := pair()
	l := &ledger{}
	ec := kmsmigrate.EncryptionContext{"tenant": "7"}
	backup, err := old.Encrypt(t.Context(), []byte("record"), ec)
	require.NoError(t, err)
	renewed, err := withLedger(t, kmsmigrate.Rewrite, l, old, next).Renew(t.Context(), backup, ec)
	require.NoError(t, err)

	old.Disable()
	e, d := old.Calls()
	c := withLedger(t, kmsmigrate.NewOnly, l, nil, next)
	opened, err := c.Open(t.Context(), backup, ec)
	require.NoError(t, err)
	require.Equal(t, "record", string(opened.Plaintext))
	require.Equal(t, kmsmigrate.SideNew, opened.Side)
	require.Equal(t, renewed.To, opened.Key)
	require.False(t, opened.Stale)
	require.Equal(t, [2]int64{e, d}, calls(old), "the old key must not be asked")

	_, err = c.Open(t.Context(), backup, kmsmigrate.EncryptionContext{"tenant": "8"})
	require.Error(t, err, "the entry is bound to the encryption context, as the ciphertext was")
	_, err = client(t, kmsmigrate.NewOnly, nil, next).Open(t.Context(), backup, ec)
	require.ErrorIs(t, err, kmsmigrate.ErrRetired, "without the ledger")
	another := encrypt(t, keytest.New(keytest.Config{KMS1: true}), "x")
	_, err = c.Open(t.Context(), another, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrRetired, "what the ledger does not know")
}

func TestTheLedgerIsReadInNewOnlyAlone(t *testing.T) {
	t.Parallel()
	for _, phase := range phases[:4] {
		old, next := pair()
		l := &ledger{fail: errors.New("the ledger was asked")}
		blob := encrypt(t, old, "record")
		opened, err := withLedger(t, phase, l, old, next).Open(t.Context(), blob, nil)
		require.NoError(t, err, phase)
		require.Equal(t, kmsmigrate.SideOld, opened.Side)
	}
}

func TestARenewalThatTheLedgerDoesNotTakeFails(t *testing.T) {
	t.Parallel()
	old, next := pair()
	down := errors.New("the database is down")
	c := withLedger(t, kmsmigrate.Rewrite, &ledger{fail: down}, old, next)
	renewed, err := c.Renew(t.Context(), encrypt(t, old, "record"), nil)
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable, "a sweep must wait, and not quarantine the record")
	require.Nil(t, renewed.Ciphertext)
	_, err = withLedger(t, kmsmigrate.NewOnly, &ledger{fail: down}, old, next).Open(t.Context(), encrypt(t, old, "record"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable, "not ErrRetired: the ledger may hold it")
}

func TestARestoredBackupIsRenewedWithoutTheOldKey(t *testing.T) {
	t.Parallel()
	old, next := pair()
	l := &ledger{}
	c := withLedger(t, kmsmigrate.Rewrite, l, old, next)
	backup := encrypt(t, old, "record")
	first, err := c.RenewIf(t.Context(), backup, nil, anything)
	require.NoError(t, err)
	old.Disable()

	again, err := c.RenewIf(t.Context(), backup, nil, anything)
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = c.Renew(t.Context(), backup, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrKeyState, "where nothing else can tell what the plaintext was, the old key must")
	_, err = c.RenewIf(t.Context(), backup, nil, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestAnEntryThatDoesNotFitIsAsGoodAsNone(t *testing.T) {
	t.Parallel()
	wrong := errors.New("not this record's")
	fits := func(plaintext []byte) error {
		if string(plaintext) != "record" {
			return wrong
		}
		return nil
	}
	for name, entry := range map[string]func(old, next *keytest.Key) []byte{
		"of another plaintext": func(_, next *keytest.Key) []byte { return encrypt(t, next, "another") },
		"of the old key":       func(old, _ *keytest.Key) []byte { return encrypt(t, old, "record") },
		"of nobody":            func(_, _ *keytest.Key) []byte { return encrypt(t, keytest.New(keytest.Config{}), "record") },
		"no ciphertext":        func(_, _ *keytest.Key) []byte { return []byte("x") },
		"a damaged one": func(_, next *keytest.Key) []byte {
			blob := encrypt(t, next, "record")
			blob[len(blob)-1] ^= 1
			return blob
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := pair()
			l := &ledger{}
			blob := encrypt(t, old, "record")
			require.NoError(t, l.Add(t.Context(), kmsmigrate.LedgerID(blob), entry(old, next)))
			renewed, err := withLedger(t, kmsmigrate.Rewrite, l, old, next).RenewIf(t.Context(), blob, nil, fits)
			require.NoError(t, err)
			opened, err := next.Decrypt(t.Context(), renewed.Ciphertext, nil)
			require.NoError(t, err)
			require.Equal(t, "record", string(opened))
		})
	}
}

func TestTheLedgerFollowsToTheKeyThatTookOverInTheEnd(t *testing.T) {
	t.Parallel()
	old, next := pair()
	abandoned := keytest.New(keytest.Config{})
	l := &ledger{}
	blob := encrypt(t, old, "record")
	_, err := withLedger(t, kmsmigrate.Rewrite, l, old, abandoned).RenewIf(t.Context(), blob, nil, anything)
	require.NoError(t, err)
	_, err = withLedger(t, kmsmigrate.Rewrite, l, old, next).RenewIf(t.Context(), blob, nil, anything)
	require.NoError(t, err)
	opened, err := withLedger(t, kmsmigrate.NewOnly, l, nil, next).Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, "record", string(opened.Plaintext))
}

func TestTheLedgerLeadsThroughSeveralMigrations(t *testing.T) {
	t.Parallel()
	first, second := pair()
	third := keytest.New(keytest.Config{})
	l := &ledger{}
	backup := encrypt(t, first, "record")
	one, err := withLedger(t, kmsmigrate.Rewrite, l, first, second).Renew(t.Context(), backup, nil)
	require.NoError(t, err)
	_, err = withLedger(t, kmsmigrate.Rewrite, l, second, third).Renew(t.Context(), one.Ciphertext, nil)
	require.NoError(t, err)
	opened, err := withLedger(t, kmsmigrate.NewOnly, l, nil, third).Open(t.Context(), backup, nil)
	require.NoError(t, err)
	require.Equal(t, "record", string(opened.Plaintext))

	// Entries that name each other come to an end.
	circle := &ledger{}
	a, b := encrypt(t, first, "a"), encrypt(t, first, "b")
	require.NoError(t, circle.Add(t.Context(), kmsmigrate.LedgerID(a), b))
	require.NoError(t, circle.Add(t.Context(), kmsmigrate.LedgerID(b), a))
	_, err = withLedger(t, kmsmigrate.NewOnly, circle, nil, third).Open(t.Context(), a, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrRetired)
}
