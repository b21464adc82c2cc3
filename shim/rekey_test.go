package shim_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"path/filepath"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
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

// An application of the official client whose table is rewritten as it is read: a Rekeyer beside the client, and three lines where it reads.
func ExampleIsStale() {
	ctx := context.Background()
	cloud := must(kmstest.Start(kmstest.Config{})) // in place of the real one
	defer func() { _ = cloud.Close() }()
	oldAt, newAt := must(cloud.Region("cn-hangzhou")), must(cloud.Region("cn-shanghai"))
	oldKey, newKey := must(oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"})), must(newAt.CreateKey(kmstest.KeySpec{}))
	client := must(oldAt.SDKClient())
	request := kms.CreateEncryptRequest()
	request.KeyId, request.Plaintext = "alias/app", "4111 1111 1111 1111"
	db := must(sql.Open("sqlite", ":memory:"))
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // a SQLite database in memory belongs to one connection
	must(db.ExecContext(ctx, "CREATE TABLE customers (id INTEGER PRIMARY KEY, secret TEXT)"))
	must(db.ExecContext(ctx, "INSERT INTO customers VALUES (7, ?)", must(client.Encrypt(request)).CiphertextBlob))

	// What is added where the client is made.
	phase := kmsmigrate.Rewrite
	transport := must(shim.NewTransport(shim.Config{
		Phase: phase, Old: oldAt.GatewayConfig(), New: newAt.GatewayConfig(), Keys: kmsmigrate.KeyMap{Keys: map[string]string{oldKey.ID(): newKey.ID()}},
	}))
	client.SetTransport(transport)
	old, fresh := must(alikms.NewGateway(oldAt.GatewayConfig())), must(alikms.NewGateway(newAt.GatewayConfig()))
	codec := must(kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: must(old.Key(oldKey.ID())), New: must(fresh.Key(newKey.ID()))}))
	store := must(rekeysql.Open(ctx, db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"}))
	rekeyer := must(rekey.New(rekey.Config{Codec: rekey.Base64(codec), Store: store}))

	// Where it reads.
	read := kms.CreateDecryptRequest()
	if err := db.QueryRowContext(ctx, "SELECT secret FROM customers WHERE id = 7").Scan(&read.CiphertextBlob); err != nil {
		log.Fatal(err)
	}
	opened := must(client.Decrypt(read))
	if shim.IsStale(opened) { // added
		rekeyer.Enqueue(rekey.Record{ID: must(store.ID(7)), Value: []byte(read.CiphertextBlob)})
	}
	fmt.Println(opened.Plaintext)

	// When the process ends.
	for _, end := range []error{rekeyer.Close(ctx), transport.Close(), old.Close(), fresh.Close()} {
		if end != nil {
			log.Fatal(end)
		}
	}
	var blob string
	if err := db.QueryRowContext(ctx, "SELECT secret FROM customers WHERE id = 7").Scan(&blob); err != nil {
		log.Fatal(err)
	}
	version, _ := kmsmigrate.BlobVersion(must(kmsmigrate.DecodeBlob(blob)))
	fmt.Println("stored under the new key:", version == newKey.VersionID())
	// Output:
	// 4111 1111 1111 1111
	// stored under the new key: true
}
