package rekeyfile_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeyfile"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "documents")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	old, fresh := keytest.New(keytest.Config{}), keytest.New(keytest.Config{})
	ciphertext, err := old.Encrypt(ctx, []byte("a letter"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "letter.enc"), ciphertext, 0o600); err != nil {
		log.Fatal(err)
	}

	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: fresh})
	if err != nil {
		log.Fatal(err)
	}
	store, err := rekeyfile.Open(dir, rekeyfile.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	report, err := rekey.Sweep(ctx, client, store, rekey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed:", report.Renewed)
	// Output: renewed: 1
}
