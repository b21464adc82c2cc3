package shim_test

import (
	"fmt"
	"log"

	"github.com/alibabacloud-go/tea/tea"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
	"github.com/keyhaul/keyhaul/shim/gcs/client"
)

// An application of the instance SDK that stores four fields a value, with its import path and its constructor changed.
func ExampleInstance() {
	cloud, err := kmstest.Start(kmstest.Config{}) // in place of the real one
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	region := must(cloud.Region("cn-hangzhou"))
	oldAt, newAt := must(region.CreateInstance(kmstest.InstanceSpec{})), must(region.CreateInstance(kmstest.InstanceSpec{Hardware: true}))
	oldKey, newKey := must(oldAt.CreateKey(kmstest.KeySpec{})), must(newAt.CreateKey(kmstest.KeySpec{}))

	phase := new(kmsmigrate.PhaseSwitch) // old-only: nothing changes
	instance := must(client.NewMigratingClient(shim.InstanceConfig{
		Phase: phase,
		Old:   oldAt.InstanceConfig(must(oldAt.CreateClientKey())), // alikms.InstanceConfig{Endpoint: …, ClientKeyFile: …}
		New:   newAt.InstanceConfig(must(newAt.CreateClientKey())),
		Keys:  kmsmigrate.KeyMap{Keys: map[string]string{oldKey.ID(): newKey.ID()}},
	}))
	defer func() { _ = instance.Close() }()

	var stored []*client.EncryptResponse
	for _, to := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew} {
		if err := phase.Set(to); err != nil {
			log.Fatal(err)
		}
		stored = append(stored, must(instance.Encrypt(&client.EncryptRequest{KeyId: tea.String(oldKey.ID()), Plaintext: []byte("hello")})))
		for _, value := range stored {
			opened := must(instance.Decrypt(&client.DecryptRequest{KeyId: value.KeyId, Iv: value.Iv, CiphertextBlob: value.CiphertextBlob, Algorithm: value.Algorithm}))
			fmt.Println(to, string(opened.Plaintext), "from the", *opened.Headers["x-keyhaul-side"], "side")
		}
	}
	// Output:
	// old-only hello from the old side
	// read-both hello from the old side
	// read-both hello from the old side
	// write-new hello from the old side
	// write-new hello from the old side
	// write-new hello from the new side
}
