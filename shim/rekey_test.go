package shim_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
	"github.com/keyhaul/keyhaul/shim"
)

// table is an application's: CiphertextBlob strings that the official SDK returned, each bound to its tenant.
func table(t *testing.T) (*sql.DB, *rekeysql.Store) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE customers (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, secret TEXT NOT NULL)")
	require.NoError(t, err)
	store, err := rekeysql.Open(t.Context(), db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"})
	require.NoError(t, err)
	return db, store
}

func keyOf(t *testing.T, cfg alikms.GatewayConfig, id string) kmsmigrate.Key {
	t.Helper()
	gateway, err := alikms.NewGateway(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	key, err := gateway.Key(id)
	require.NoError(t, err)
	return key
}

// TestARekeyerRewritesWhatTheShimMarks has an application that reads with the official client over a Transport, and a table.
func TestARekeyerRewritesWhatTheShimMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db, store := table(t)
	const rows = 12
	tenant := func(id int) string { return fmt.Sprintf("tenant-%d", id%3) }
	for id := range rows {
		blob := encryptOld(t, w, fmt.Sprintf("secret %d", id), fmt.Sprintf(`{"tenant":%q}`, tenant(id)))
		_, err := db.ExecContext(t.Context(), "INSERT INTO customers VALUES (?, ?, ?)", id, tenant(id), blob)
		require.NoError(t, err)
	}
	phase := new(kmsmigrate.PhaseSwitch)
	require.NoError(t, phase.Jump(kmsmigrate.WriteNew))
	transport := w.transport(t, phase)
	client := w.client(t, transport)
	migrating, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: keyOf(t, w.config.Old, w.old.ID()), New: keyOf(t, w.config.New, w.new.ID())})
	require.NoError(t, err)
	rekeyer, err := rekey.New(rekey.Config{Codec: rekey.Base64(migrating), Store: store})
	require.NoError(t, err)

	stored := func(id int) (blob string) {
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT secret FROM customers WHERE id = ?", id).Scan(&blob))
		return blob
	}
	// open is the application's function, with three lines added.
	open := func(client *kms.Client, id int) string {
		request := kms.CreateDecryptRequest()
		request.CiphertextBlob, request.EncryptionContext = stored(id), fmt.Sprintf(`{"tenant":%q}`, tenant(id))
		opened, err := client.Decrypt(request)
		require.NoError(t, err)
		if shim.IsStale(opened) {
			name, err := store.ID(id)
			require.NoError(t, err)
			rekeyer.Enqueue(rekey.Record{ID: name, Value: []byte(request.CiphertextBlob), Context: kmsmigrate.EncryptionContext{"tenant": tenant(id)}})
		}
		return opened.Plaintext
	}

	before := stored(0)
	require.Equal(t, "secret 0", open(client, 0))
	require.NoError(t, rekeyer.Wait(t.Context()))
	require.Equal(t, before, stored(0), "nothing is rewritten before phase rewrite")

	require.NoError(t, phase.Set(kmsmigrate.Rewrite))
	for id := range rows {
		require.Equal(t, fmt.Sprintf("secret %d", id), open(client, id))
	}
	require.NoError(t, rekeyer.Wait(t.Context()))
	require.Equal(t, int64(rows), rekeyer.Stats().Rewritten)

	// Nothing is left for the old side: the shim finds nothing stale, and the plain SDK opens all with the new side's credentials.
	stale := transport.Stats().Stale
	official := sdkClient(t, w.newAt)
	for id := range rows {
		require.Equal(t, fmt.Sprintf("secret %d", id), open(client, id))
		require.Equal(t, fmt.Sprintf("secret %d", id), open(official, id))
	}
	require.Equal(t, stale, transport.Stats().Stale)
	require.NoError(t, rekeyer.Close(t.Context()))
}

// TestAWriterWinsOverTheRewriteOfAMarkedRead has the application write between its read and the rewrite.
func TestAWriterWinsOverTheRewriteOfAMarkedRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db, store := table(t)
	blob := encryptOld(t, w, "before", "")
	_, err := db.ExecContext(t.Context(), "INSERT INTO customers VALUES (1, 'a', ?)", "what a writer put there meanwhile")
	require.NoError(t, err)
	migrating, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: keyOf(t, w.config.Old, w.old.ID()), New: keyOf(t, w.config.New, w.new.ID())})
	require.NoError(t, err)
	rekeyer, err := rekey.New(rekey.Config{Codec: rekey.Base64(migrating), Store: store})
	require.NoError(t, err)
	name, err := store.ID(1)
	require.NoError(t, err)
	rekeyer.Enqueue(rekey.Record{ID: name, Value: []byte(blob)})
	require.NoError(t, rekeyer.Close(t.Context()))
	require.Equal(t, int64(1), rekeyer.Stats().Conflicts)
	var there string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT secret FROM customers").Scan(&there))
	require.Equal(t, "what a writer put there meanwhile", there)
}
