package kmstest_test

import (
	"fmt"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// The commonest test: the official SDK encrypts, something else decrypts, and the evidence says who was asked.
func Example() {
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		panic(err)
	}
	defer cloud.Close()
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		panic(err)
	}
	if _, err := region.CreateKey(kmstest.KeySpec{Alias: "alias/app"}); err != nil {
		panic(err)
	}
	client, err := region.SDKClient()
	if err != nil {
		panic(err)
	}

	encrypt := kms.CreateEncryptRequest()
	encrypt.KeyId, encrypt.Plaintext = "alias/app", "aGVsbG8="
	sealed, err := client.Encrypt(encrypt)
	if err != nil {
		panic(err)
	}
	decrypt := kms.CreateDecryptRequest()
	decrypt.CiphertextBlob = sealed.CiphertextBlob
	opened, err := client.Decrypt(decrypt)
	if err != nil {
		panic(err)
	}
	fmt.Println(opened.Plaintext)
	fmt.Println(cloud.Count(kmstest.Match{Region: "cn-hangzhou", Action: "Decrypt", OK: true}))
	// Output:
	// aGVsbG8=
	// 1
}
