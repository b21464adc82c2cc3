package kmstest_test

import (
	"fmt"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// must keeps the examples short. In a test it is require.NoError.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encrypt(client *kms.Client, key, plaintext string) string {
	q := kms.CreateEncryptRequest()
	q.KeyId, q.Plaintext = key, plaintext
	return must(client.Encrypt(q)).CiphertextBlob
}

func decrypt(client *kms.Client, blob string) (string, error) {
	q := kms.CreateDecryptRequest()
	q.CiphertextBlob = blob
	out, err := client.Decrypt(q)
	if err != nil {
		return "", err
	}
	return out.Plaintext, nil
}

// The commonest test: the official SDK encrypts and decrypts, and the evidence says who was asked.
func Example() {
	cloud := must(kmstest.Start(kmstest.Config{}))
	defer func() { _ = cloud.Close() }()
	region := must(cloud.Region("cn-hangzhou"))
	must(region.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	client := must(region.SDKClient())

	blob := encrypt(client, "alias/app", "aGVsbG8=")
	fmt.Println(must(decrypt(client, blob)))
	fmt.Println(cloud.Count(kmstest.Match{Region: "cn-hangzhou", Action: "Decrypt", OK: true}))
	// Output:
	// aGVsbG8=
	// 1
}

// An outage: does the code under test survive an answer that is 200 and empty, which the SDK takes for success?
func ExampleCloud_Inject() {
	cloud := must(kmstest.Start(kmstest.Config{}))
	defer func() { _ = cloud.Close() }()
	region := must(cloud.Region("cn-hangzhou"))
	must(region.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	client := must(region.SDKClient())
	blob := encrypt(client, "alias/app", "aGVsbG8=")

	remove := cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "Decrypt"}, Body: kmstest.BodyEmpty, Times: 1})
	defer remove()
	fmt.Printf("%q\n", must(decrypt(client, blob)))
	fmt.Printf("%q\n", must(decrypt(client, blob)))
	// Output:
	// ""
	// "aGVsbG8="
}

// A migration between sides: two calls, both to the new one, and no plaintext at the old one.
func ExampleCloud_Count() {
	cloud := must(kmstest.Start(kmstest.Config{}))
	defer func() { _ = cloud.Close() }()
	old := must(cloud.Region("cn-hangzhou"))
	region := must(cloud.Region("cn-shanghai"))
	instance := must(region.CreateInstance(kmstest.InstanceSpec{}))
	must(instance.CreateKey(kmstest.KeySpec{Alias: "alias/app"}))
	client := must(instance.RPCClient())

	must(decrypt(client, encrypt(client, "alias/app", "aGVsbG8=")))
	fmt.Println(cloud.Count(old.Match()), cloud.PlaintextBytes(old.Match()))
	fmt.Println(cloud.Count(instance.Match()), cloud.PlaintextBytes(instance.Match()))
	// Output:
	// 0 0
	// 2 16
}

// An instance with a ClientKey: AdvanceEncrypt follows the rotation, Encrypt does not.
func ExampleInstance_SDKClient() {
	cloud := must(kmstest.Start(kmstest.Config{}))
	defer func() { _ = cloud.Close() }()
	region := must(cloud.Region("cn-shanghai"))
	instance := must(region.CreateInstance(kmstest.InstanceSpec{}))
	key := must(instance.CreateKey(kmstest.KeySpec{}))
	client := must(instance.SDKClient(must(instance.CreateClientKey())))

	must(0, key.Rotate())
	must(client.Encrypt(&dkms.EncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x")}))
	must(client.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(key.ID()), Plaintext: []byte("x")}))
	for _, r := range cloud.Requests(instance.Match()) {
		fmt.Println(r.Action, r.KeyVersionID == key.VersionIDs()[0], r.KeyVersionID == key.VersionID())
	}
	// Output:
	// Encrypt true false
	// AdvanceEncrypt false true
}

// Time: a key that was scheduled for deletion is gone when its window has passed.
func ExampleCloud_Advance() {
	cloud := must(kmstest.Start(kmstest.Config{}))
	defer func() { _ = cloud.Close() }()
	region := must(cloud.Region("cn-hangzhou"))
	key := must(region.CreateKey(kmstest.KeySpec{}))
	client := must(region.SDKClient())
	q := kms.CreateScheduleKeyDeletionRequest()
	q.KeyId, q.PendingWindowInDays = key.ID(), "7"
	must(client.ScheduleKeyDeletion(q))

	fmt.Println(key.State())
	cloud.Advance(7 * 24 * time.Hour)
	fmt.Printf("%q\n", key.State())
	// Output:
	// PendingDeletion
	// ""
}
