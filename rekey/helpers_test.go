package rekey_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an application in the middle of a migration.
type world struct {
	old, new *keytest.Key
	phase    *kmsmigrate.PhaseSwitch
	client   *kmsmigrate.Client
	store    *rekeytest.Memory
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOver(t, func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key) { return old, new })
}

// newWorldOver puts faults around the two keys.
func newWorldOver(t *testing.T, faults func(old, new kmsmigrate.Key) (kmsmigrate.Key, kmsmigrate.Key)) *world {
	t.Helper()
	phase, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Rewrite)
	require.NoError(t, err)
	w := &world{old: keytest.New(keytest.Config{}), new: keytest.New(keytest.Config{}), phase: phase, store: new(rekeytest.Memory)}
	old, fresh := faults(w.old, w.new)
	w.client, err = kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: fresh})
	require.NoError(t, err)
	return w
}

// secret is what no error, event or report may hold.
func secret(i int) []byte { return fmt.Appendf(nil, "sEcReT-plaintext-%05d", i) }

func contextOf(i int) kmsmigrate.EncryptionContext {
	return kmsmigrate.EncryptionContext{"customer": fmt.Sprintf("sEcReT-context-%05d", i)}
}

func idOf(i int) string { return fmt.Sprintf("%05d", i) }

// fill stores n records of the old key.
func (w *world) fill(t *testing.T, n int) []rekey.Record {
	t.Helper()
	recs := make([]rekey.Record, n)
	for i := range recs {
		value, err := w.old.Encrypt(t.Context(), secret(i), contextOf(i))
		require.NoError(t, err)
		recs[i] = rekey.Record{ID: idOf(i), Value: value, Context: contextOf(i)}
		w.store.Put(recs[i])
	}
	return recs
}

// mustHold opens record i as the plain application with the new key does.
func (w *world) mustHold(t *testing.T, i int) {
	t.Helper()
	rec, err := w.store.Get(t.Context(), idOf(i))
	require.NoError(t, err)
	plaintext, err := w.new.Decrypt(t.Context(), rec.Value, contextOf(i))
	require.NoError(t, err, "record %d is not the new key's", i)
	require.Equal(t, string(secret(i)), string(plaintext))
}

func (w *world) census(t *testing.T) kmsmigrate.Census {
	t.Helper()
	census, err := rekey.TakeCensus(t.Context(), w.client, w.store)
	require.NoError(t, err)
	return census
}

// swapFunc is a store whose Swap is something else.
type swapFunc struct {
	*rekeytest.Memory
	swap func(ctx context.Context, id string, prev, next []byte) error
}

func (s swapFunc) Swap(ctx context.Context, id string, prev, next []byte) error {
	return s.swap(ctx, id, prev, next)
}

// rewrites collects what a Rekeyer notifies of.
type rewrites struct {
	mu  sync.Mutex
	all []rekey.Rewrite
}

func (r *rewrites) add(w rekey.Rewrite) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, w)
}

func (r *rewrites) list() []rekey.Rewrite {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]rekey.Rewrite(nil), r.all...)
}

// mustKeepSecrets searches whatever can be printed for what was planted.
func mustKeepSecrets(t *testing.T, printed ...any) {
	t.Helper()
	for _, p := range printed {
		for _, form := range []string{"%v", "%+v", "%#v"} {
			require.NotContains(t, fmt.Sprintf(form, p), "sEcReT")
		}
	}
}
