package shim_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
	"github.com/keyhaul/keyhaul/shim"
)

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
