package rekey_test

import (
	"context"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// exampleStore is a store with three records of an old key, and a client in phase Rewrite.
func exampleStore(ctx context.Context) (*kmsmigrate.Client, *rekeytest.Memory) {
	client, store, _ := exampleKeys(ctx)
	return client, store
}

func exampleKeys(ctx context.Context) (*kmsmigrate.Client, *rekeytest.Memory, kmsmigrate.Config) {
	old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	cfg := kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh}
	client, err := kmsmigrate.NewClient(cfg)
	if err != nil {
		log.Fatal(err)
	}
	store := new(rekeytest.Memory)
	for i, name := range []string{"Ada", "Grace", "Barbara"} {
		ciphertext, err := old.Encrypt(ctx, []byte(name), nil)
		if err != nil {
			log.Fatal(err)
		}
		store.Put(rekey.Record{ID: fmt.Sprint(i), Value: ciphertext})
	}
	return client, store, cfg
}

func ExampleRekeyer_Open() {
	ctx := context.Background()
	client, store := exampleStore(ctx)
	rekeyer, err := rekey.New(rekey.Config{Codec: client, Store: store})
	if err != nil {
		log.Fatal(err)
	}

	record, err := store.Get(ctx, "1") // the application's own query
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := rekeyer.Open(ctx, record)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))

	if err := rekeyer.Close(ctx); err != nil { // when the application ends
		log.Fatal(err)
	}
	fmt.Println("rewritten:", rekeyer.Stats().Rewritten)
	// Output:
	// Grace
	// rewritten: 1
}

func ExampleSweep() {
	ctx := context.Background()
	client, store := exampleStore(ctx)
	report, err := rekey.Sweep(ctx, client, store, rekey.Options{Name: "customers.name"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed:", report.Renewed, "quarantined:", report.Quarantined)
	// Output: renewed: 3 quarantined: 0
}

func ExampleTakeCensus() {
	ctx := context.Background()
	client, store := exampleStore(ctx)
	census, err := rekey.TakeCensus(ctx, client, store)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("old:", census.Held(kmsmigrate.SideOld), "new:", census.Held(kmsmigrate.SideNew), "complete:", census.Complete)
	// Output: old: 3 new: 0 complete: true
}
