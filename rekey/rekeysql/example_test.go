package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func ExampleOpen() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // a SQLite database in memory belongs to one connection
	if _, err := db.ExecContext(ctx, "CREATE TABLE customers (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, secret TEXT, updated_at TEXT)"); err != nil {
		log.Fatal(err)
	}

	old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	ciphertext, err := old.Encrypt(ctx, []byte("4111 1111 1111 1111"), kmsmigrate.EncryptionContext{"tenant": "acme"})
	if err != nil {
		log.Fatal(err)
	}
	// The old application stores the CiphertextBlob string, as the SDK returns it.
	if _, err := db.ExecContext(ctx, "INSERT INTO customers VALUES (1, 'acme', ?, '2020-01-01')", kmsmigrate.EncodeBlob(ciphertext)); err != nil {
		log.Fatal(err)
	}

	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh})
	if err != nil {
		log.Fatal(err)
	}
	store, err := rekeysql.Open(ctx, db, rekeysql.Table{
		Name: "customers", Key: []string{"id"}, Value: "secret", Keep: []string{"updated_at"},
		Columns: []string{"tenant"},
		Context: func(row map[string]string) kmsmigrate.EncryptionContext {
			return kmsmigrate.EncryptionContext{"tenant": row["tenant"]}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	report, err := rekey.Sweep(ctx, rekey.Base64(client), store, rekey.Options{Name: "customers.secret"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed:", report.Renewed)
	// Output: renewed: 1
}
