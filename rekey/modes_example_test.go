package rekey_test

import (
	"context"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// sealed is a store with three records that one data key of the old side seals, and an Envelope in phase Rewrite.
func sealed(ctx context.Context, cfg envelope.Config) (*envelope.Envelope, *rekeytest.Memory) {
	client, store, keys := exampleKeys(ctx)
	before, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keys.Old})
	if err != nil {
		log.Fatal(err)
	}
	writer, err := envelope.New(envelope.Config{Keys: before})
	if err != nil {
		log.Fatal(err)
	}
	for i, name := range []string{"Ada", "Grace", "Barbara"} {
		record, err := writer.Seal(ctx, []byte(name), nil)
		if err != nil {
			log.Panic(err)
		}
		store.Put(rekey.Record{ID: fmt.Sprint(i), Value: record})
	}
	writer.Close()
	cfg.Keys = client
	env, err := envelope.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return env, store
}

// Wrapping anew leaves payloads alone, and costs three calls to the KMS for all records of a data key.
func ExampleSweep_wrapAnew() {
	ctx := context.Background()
	env, store := sealed(ctx, envelope.Config{})
	defer env.Close()
	rehearsal, err := rekey.Sweep(ctx, env, store, rekey.Options{DryRun: true})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("to renew:", rehearsal.Stale, "data keys:", rehearsal.DataKeys)
	report, err := rekey.Sweep(ctx, env, store, rekey.Options{})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("renewed:", report.Renewed)
	// Output:
	// to renew: 3 data keys: 1
	// renewed: 3
}

// Sealing anew gives every record a fresh data key: FreshKeys makes one for each.
func ExampleSweep_sealAnew() {
	ctx := context.Background()
	env, store := sealed(ctx, envelope.Config{FreshKeys: true})
	defer env.Close()
	report, err := rekey.Sweep(ctx, env.Reencrypting(), store, rekey.Options{})
	if err != nil {
		fmt.Println(err)
	}
	rehearsal, err := rekey.Sweep(ctx, env.Reencrypting(), store, rekey.Options{DryRun: true})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("renewed:", report.Renewed, "left:", rehearsal.Stale)
	// Output: renewed: 3 left: 0
}

// dataKeys is a key table in memory; envelope.NewSQLKeyTable makes one in a database.
type dataKeys struct{ *rekeytest.Memory }

func (k dataKeys) Get(ctx context.Context, id envelope.KeyID) ([]byte, error) {
	rec, err := k.Memory.Get(ctx, id.String())
	if err != nil {
		return nil, envelope.ErrNoDataKey
	}
	return rec.Value, nil
}

func (k dataKeys) Add(ctx context.Context, id envelope.KeyID, entry []byte) error {
	if _, err := k.Memory.Get(ctx, id.String()); err != nil {
		k.Put(rekey.Record{ID: id.String(), Value: entry})
	}
	return nil
}

// Records that moved into a key table need a sweep of the table only, the next time. Its entries are a store of their own.
func ExampleSweep_keyTable() {
	ctx := context.Background()
	table := dataKeys{new(rekeytest.Memory)}
	env, store := sealed(ctx, envelope.Config{Table: table})
	defer env.Close()
	for _, place := range []rekey.Place{
		{Name: "customers.name", Store: store, Codec: env},
		{Name: "data_keys.entry", Store: table.Memory, Codec: env},
	} {
		report, err := place.Sweep(ctx, rekey.Options{})
		if err != nil {
			fmt.Println(err)
		}
		census, err := place.Census(ctx, rekey.CensusOptions{})
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println(place.Name, "renewed:", report.Renewed, "old:", census.Held(kmsmigrate.SideOld), "new:", census.Held(kmsmigrate.SideNew))
	}
	// Output:
	// customers.name renewed: 3 old: 0 new: 3
	// data_keys.entry renewed: 0 old: 0 new: 1
}
