package kms_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/kms"
)

// An application in which the import path of the SDK is all that was changed.
func Example() {
	cloud, err := kmstest.Start(kmstest.Config{}) // in place of the real one
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	oldAt, newAt := must(cloud.Region("cn-hangzhou")), must(cloud.Region("cn-shanghai"))
	must(oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	next := must(newAt.CreateKey(kmstest.KeySpec{}))
	defer operate(oldAt, newAt, next)()

	id, secret := cloud.Credentials()
	client, err := kms.NewClientWithAccessKey("cn-hangzhou", id, secret)
	if err != nil {
		log.Fatal(err)
	}
	request := kms.CreateEncryptRequest()
	request.Scheme = "https"
	request.KeyId = "alias/app"
	request.Plaintext = "hello"
	response, err := client.Encrypt(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the new key encrypted:", response.KeyId == next.ID())
	// Output:
	// the new key encrypted: true
}

// operate is what whoever runs the application does: a file, and an environment variable that names it.
func operate(oldAt, newAt *kmstest.Region, next *kmstest.Key) (end func()) {
	folder := must(os.MkdirTemp("", "migration"))
	for name, content := range map[string]string{
		"old.pem": string(oldAt.CA()), "new.pem": string(newAt.CA()), // the real ones need neither endpoint nor caFile
		"migration.json": fmt.Sprintf(`{
			"phase": "write-new",
			"keyMap": {"keys": {"alias/app": %q}},
			"old": {"endpoint": %q, "caFile": "old.pem"},
			"new": {"region": "cn-shanghai", "endpoint": %q, "caFile": "new.pem"}
		}`, next.ID(), oldAt.HTTPS, newAt.HTTPS),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.Setenv(shim.MigrationVariable, filepath.Join(folder, "migration.json")); err != nil {
		log.Fatal(err)
	}
	return func() { _ = os.RemoveAll(folder) }
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
