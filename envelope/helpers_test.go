package envelope_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// world is a migration in memory.
type world struct {
	old, new *keytest.Key
	phase    *kmsmigrate.PhaseSwitch
	client   *kmsmigrate.Client
}

func newWorld(tb testing.TB, p kmsmigrate.Phase) *world {
	tb.Helper()
	return newWorldOf(tb, p, keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{}))
}

func newWorldOf(tb testing.TB, p kmsmigrate.Phase, old, new *keytest.Key) *world {
	tb.Helper()
	w := &world{old: old, new: new}
	var err error
	w.phase, err = kmsmigrate.NewPhaseSwitch(p)
	require.NoError(tb, err)
	w.client = clientOf(tb, w.phase, old, new)
	return w
}

func clientOf(tb testing.TB, p kmsmigrate.PhaseSource, old, new kmsmigrate.Key) *kmsmigrate.Client {
	tb.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: p, Old: old, New: new})
	require.NoError(tb, err)
	return client
}

// envelope returns an Envelope with cold caches over the world's client.
func (w *world) envelope(tb testing.TB, cfg envelope.Config) *envelope.Envelope {
	tb.Helper()
	cfg.Keys = w.client
	return newEnvelope(tb, cfg)
}

func newEnvelope(tb testing.TB, cfg envelope.Config) *envelope.Envelope {
	tb.Helper()
	e, err := envelope.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(e.Close)
	return e
}

// calls returns how often both keys were called.
func (w *world) calls() int64 {
	oe, od := w.old.Calls()
	ne, nd := w.new.Calls()
	return oe + od + ne + nd
}

func seal(tb testing.TB, e *envelope.Envelope, plaintext string, ec kmsmigrate.EncryptionContext) []byte {
	tb.Helper()
	record, err := e.Seal(context.Background(), []byte(plaintext), ec)
	require.NoError(tb, err)
	return record
}

func requireOpens(tb testing.TB, e *envelope.Envelope, record []byte, ec kmsmigrate.EncryptionContext, want string) kmsmigrate.Opened {
	tb.Helper()
	opened, err := e.Open(context.Background(), record, ec)
	require.NoError(tb, err)
	require.Equal(tb, want, string(opened.Plaintext))
	return opened
}

var customers = kmsmigrate.EncryptionContext{"table": "customers", "tenant": "north"}
