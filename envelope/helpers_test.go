package envelope_test

import (
	"context"
	"testing"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/stretchr/testify/require"
)

// world is a migration in memory.
type world struct {
	old, new *keytest.Key
	phase    *kmsmigrate.PhaseSwitch
	client   *kmsmigrate.Client
}

func newWorld(t testing.TB, p kmsmigrate.Phase) *world {
	t.Helper()
	return newWorldOf(t, p, keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{}))
}

func newWorldOf(t testing.TB, p kmsmigrate.Phase, old, new *keytest.Key) *world {
	t.Helper()
	w := &world{old: old, new: new}
	var err error
	w.phase, err = kmsmigrate.NewPhaseSwitch(p)
	require.NoError(t, err)
	w.client = clientOf(t, w.phase, old, new)
	return w
}

func clientOf(t testing.TB, p kmsmigrate.PhaseSource, old, new kmsmigrate.Key) *kmsmigrate.Client {
	t.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: p, Old: old, New: new})
	require.NoError(t, err)
	return client
}

// envelope returns an Envelope with cold caches over the world's client.
func (w *world) envelope(t testing.TB, cfg envelope.Config) *envelope.Envelope {
	t.Helper()
	cfg.Keys = w.client
	return newEnvelope(t, cfg)
}

func newEnvelope(t testing.TB, cfg envelope.Config) *envelope.Envelope {
	t.Helper()
	e, err := envelope.New(cfg)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// calls returns how often both keys were called.
func (w *world) calls() int64 {
	oe, od := w.old.Calls()
	ne, nd := w.new.Calls()
	return oe + od + ne + nd
}

func seal(t testing.TB, e *envelope.Envelope, plaintext string, ec kmsmigrate.EncryptionContext) []byte {
	t.Helper()
	record, err := e.Seal(context.Background(), []byte(plaintext), ec)
	require.NoError(t, err)
	return record
}

func requireOpens(t testing.TB, e *envelope.Envelope, record []byte, ec kmsmigrate.EncryptionContext, want string) kmsmigrate.Opened {
	t.Helper()
	opened, err := e.Open(context.Background(), record, ec)
	require.NoError(t, err)
	require.Equal(t, want, string(opened.Plaintext))
	return opened
}

var customers = kmsmigrate.EncryptionContext{"table": "customers", "tenant": "north"}
