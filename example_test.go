package keyhaul_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// The code blocks of the README stand in this file line for line; TestReadmeCompiles sees to it.

func Example() {
	ctx := context.Background()
	cloud, gatewayConfig, instanceConfig, oldKeyID, newKeyID := ends()
	defer func() { _ = cloud.Close() }()
	db := database(ctx)
	defer func() { _ = db.Close() }()
	oldRecord := previously(ctx, gatewayConfig, oldKeyID)
	if _, err := db.ExecContext(ctx, `INSERT INTO customers (id, secret) VALUES (42, ?)`, string(oldRecord)); err != nil {
		log.Fatal(err)
	}

	// Once, when the application starts:
	gateway, err := alikms.NewGateway(gatewayConfig) // region, access key
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = gateway.Close() }()
	instance, err := alikms.NewInstance(instanceConfig) // address, ClientKey and its password, CA
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = instance.Close() }()
	oldKey, err := gateway.Key(oldKeyID)
	if err != nil {
		log.Fatal(err)
	}
	newKey, err := instance.Key(newKeyID)
	if err != nil {
		log.Fatal(err)
	}
	current, err := kmsmigrate.ParsePhase(os.Getenv("KEYHAUL_PHASE")) // of the fleet, from where your configuration is
	if err != nil {
		current = kmsmigrate.OldOnly // an example has no fleet
	}
	phase, err := kmsmigrate.NewPhaseSwitch(current)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: oldKey, New: newKey})
	if err != nil {
		log.Fatal(err)
	}
	records, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}}) // the format you have
	if err != nil {
		log.Fatal(err)
	}
	defer records.Close()
	store, err := rekeysql.Open(ctx, db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	rekeyer, err := rekey.New(rekey.Config{Codec: records, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = rekeyer.Close(ctx) }()

	for _, next := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		if err := phase.Set(next); err != nil { // on every process, before the next step
			log.Fatal(err)
		}
	}

	// Where it read and decrypted:
	var secret []byte
	if err := db.QueryRowContext(ctx, `SELECT secret FROM customers WHERE id = ?`, 42).Scan(&secret); err != nil {
		log.Fatal(err)
	}
	id, err := store.ID(42) // of the row's key
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := rekeyer.Open(ctx, rekey.Record{ID: id, Value: secret}) // rewritten afterwards, if it was the old key's
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))

	// Where it encrypted and wrote:
	secret, err = records.Seal(ctx, []byte("4000 0000 0000 0002"), nil) // store it as string(secret) in a text column
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO customers (id, secret) VALUES (?, ?)`, 43, string(secret)); err != nil {
		log.Fatal(err)
	}

	if err := rekeyer.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(rekeyer.Stats().Rewritten, "record rewritten after a read")
	// Output:
	// 4000 0000 0000 0001
	// 1 record rewritten after a read
}

func Example_theRest() {
	ctx := context.Background()
	cloud, gatewayConfig, instanceConfig, oldKeyID, newKeyID := ends()
	defer func() { _ = cloud.Close() }()
	db := database(ctx)
	defer func() { _ = db.Close() }()
	for i := range 3 {
		if _, err := db.ExecContext(ctx, `INSERT INTO customers (id, secret) VALUES (?, ?)`, i, string(previously(ctx, gatewayConfig, oldKeyID))); err != nil {
			log.Fatal(err)
		}
	}
	gateway, err := alikms.NewGateway(gatewayConfig)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = gateway.Close() }()
	instance, err := alikms.NewInstance(instanceConfig)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = instance.Close() }()
	oldKey, err := gateway.Key(oldKeyID)
	if err != nil {
		log.Fatal(err)
	}
	newKey, err := instance.Key(newKeyID)
	if err != nil {
		log.Fatal(err)
	}
	phase, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Rewrite)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: oldKey, New: newKey})
	if err != nil {
		log.Fatal(err)
	}
	records, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}})
	if err != nil {
		log.Fatal(err)
	}
	defer records.Close()
	store, err := rekeysql.Open(ctx, db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	allProcessesWroteNew := time.Now().Add(-time.Hour)

	// What nobody reads, in phase rewrite:
	if err := client.Refresh(ctx); err != nil { // so that old ids are known for what they are
		log.Fatal(err)
	}
	report, err := rekey.Sweep(ctx, records, store, rekey.Options{Name: "customers.secret"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Renewed, "renewed,", report.Quarantined, "quarantined")

	// The end, on evidence:
	census, err := rekey.TakeCensus(ctx, records, store)
	if err != nil {
		log.Fatal(err)
	}
	if err := phase.SetProven(kmsmigrate.NewOnly, allProcessesWroteNew, census); err != nil {
		log.Fatal(err)
	}
	fmt.Println(phase.Current())
	// Output:
	// 3 renewed, 0 quarantined
	// new-only
}

// ends starts a fake cloud and returns what leads to both ends of a migration in it.
func ends() (*kmstest.Cloud, alikms.GatewayConfig, alikms.InstanceConfig, string, string) {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	hangzhou, err := cloud.Region("cn-hangzhou")
	if err != nil {
		log.Fatal(err)
	}
	oldKey, err := hangzhou.CreateKey(kmstest.KeySpec{UUID: true})
	if err != nil {
		log.Fatal(err)
	}
	shanghai, err := cloud.Region("cn-shanghai")
	if err != nil {
		log.Fatal(err)
	}
	instance, err := shanghai.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		log.Fatal(err)
	}
	newKey, err := instance.CreateKey(kmstest.KeySpec{})
	if err != nil {
		log.Fatal(err)
	}
	clientKey, err := instance.CreateClientKey()
	if err != nil {
		log.Fatal(err)
	}
	accessKeyID, secret := cloud.Credentials()
	return cloud, alikms.GatewayConfig{
			Region: "cn-hangzhou", Endpoint: hangzhou.HTTPS, CAPEM: hangzhou.CA(), AccessKeyID: accessKeyID, AccessKeySecret: secret,
		}, alikms.InstanceConfig{
			Endpoint: instance.Addr, ClientKey: clientKey.JSON, Password: clientKey.Password, CAPEM: instance.CA(),
		}, oldKey.ID(), newKey.ID()
}

// database makes an empty table of customers.
func database(ctx context.Context) *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	if _, err := db.ExecContext(ctx, `CREATE TABLE customers (id INTEGER PRIMARY KEY, secret TEXT NOT NULL)`); err != nil {
		log.Fatal(err)
	}
	return db
}

// previously is what the application wrote before the migration.
func previously(ctx context.Context, gatewayConfig alikms.GatewayConfig, oldKeyID string) []byte {
	gateway, err := alikms.NewGateway(gatewayConfig)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = gateway.Close() }()
	oldKey, err := gateway.Key(oldKeyID)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: oldKey})
	if err != nil {
		log.Fatal(err)
	}
	records, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}})
	if err != nil {
		log.Fatal(err)
	}
	defer records.Close()
	record, err := records.Seal(ctx, []byte("4000 0000 0000 0001"), nil)
	if err != nil {
		log.Fatal(err)
	}
	return record
}
