package envelope_test

import (
	"context"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

// A record is sealed under the old key, moved to the new one, and opens when the old key is gone.
func Example() {
	ctx := context.Background()
	oldKey, newKey := keytest.New(keytest.Config{}), keytest.New(keytest.Config{}) // alikms makes real ones
	phase := switchAt(kmsmigrate.ReadBoth)
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: oldKey, New: newKey})
	if err != nil {
		log.Fatal(err)
	}
	e, err := envelope.New(envelope.Config{Keys: client})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	record, err := e.Seal(ctx, []byte("Ada Lovelace"), ec)
	if err != nil {
		log.Fatal(err)
	}

	if err := phase.Jump(kmsmigrate.Rewrite); err != nil {
		log.Fatal(err)
	}
	renewed, err := e.Renew(ctx, record, ec)
	if err != nil {
		log.Fatal(err)
	}

	if err := phase.Jump(kmsmigrate.NewOnly); err != nil {
		log.Fatal(err)
	}
	oldKey.Disable()
	opened, err := e.Open(ctx, renewed.Ciphertext, ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, from the %s side\n", opened.Plaintext, opened.Side)
	// Output: Ada Lovelace, from the new side
}

func switchAt(p kmsmigrate.Phase) *kmsmigrate.PhaseSwitch {
	s, err := kmsmigrate.NewPhaseSwitch(p)
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// An application that has three-line records goes on writing them, and its other readers go on reading them.
func ExampleThreeLine() {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{KMS1: true})})
	if err != nil {
		log.Fatal(err)
	}
	e, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.ThreeLine{}})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	record, err := e.Seal(context.Background(), []byte("Ada Lovelace"), nil)
	if err != nil {
		log.Fatal(err)
	}
	info, err := e.Inspect(record)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Layout, info.Copies[0].Side)
	// Output: three-line old
}

func exampleEnvelope() (*envelope.Envelope, func()) {
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{})})
	if err != nil {
		log.Fatal(err)
	}
	e, err := envelope.New(envelope.Config{Keys: client})
	if err != nil {
		log.Fatal(err)
	}
	return e, e.Close
}
