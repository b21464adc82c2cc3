package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

func ExampleCreateLedger() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // a SQLite database in memory belongs to one connection
	old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	queued, err := old.Encrypt(ctx, []byte("hello"), nil) // a message that waits in a queue
	if err != nil {
		log.Fatal(err)
	}

	ledger, err := rekeysql.CreateLedger(ctx, db, "") // once; OpenLedger after that
	if err != nil {
		log.Fatal(err)
	}
	moving, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh, Ledger: ledger})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := moving.Renew(ctx, queued, nil); err != nil { // as sweeps and lazy rewrites do
		log.Fatal(err)
	}

	old.Disable()
	moved, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.NewOnly, New: fresh, Ledger: ledger})
	if err != nil {
		log.Fatal(err)
	}
	opened, err := moved.Open(ctx, queued, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(opened.Plaintext))
	// Output: hello
}
