package alikms_test

import (
	"context"
	"fmt"
	"log"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func ExampleNewGateway() {
	cloud, err := kmstest.Start(kmstest.Config{}) // stands in for the real service
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := region.CreateKey(kmstest.KeySpec{Alias: "alias/customers"}); err != nil {
		log.Fatal(err)
	}
	id, secret := cloud.Credentials()

	gateway, err := alikms.NewGateway(alikms.GatewayConfig{
		Region: "cn-hangzhou", AccessKeyID: id, AccessKeySecret: secret,
		Endpoint: region.HTTPS, CAPEM: region.CA(), // the real gateway needs neither
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = gateway.Close() }()
	key, err := gateway.Key("alias/customers")
	if err != nil {
		log.Fatal(err)
	}
	ec := kmsmigrate.EncryptionContext{"table": "customers"}
	ciphertext, err := key.Encrypt(context.Background(), []byte("text"), ec)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := key.Decrypt(context.Background(), ciphertext, ec)
	fmt.Println(string(plaintext), err)
	// Output: text <nil>
}

func ExampleNewInstance() {
	cloud, err := kmstest.Start(kmstest.Config{}) // stands in for the real service
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		log.Fatal(err)
	}
	kst, err := region.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		log.Fatal(err)
	}
	clientKey, err := kst.CreateClientKey()
	if err != nil {
		log.Fatal(err)
	}
	made, err := kst.CreateKey(kmstest.KeySpec{})
	if err != nil {
		log.Fatal(err)
	}

	instance, err := alikms.NewInstance(alikms.InstanceConfig{
		Endpoint: kst.Addr, ClientKey: clientKey.JSON, Password: clientKey.Password, CAPEM: kst.CA(), Region: region.ID, Instance: kst.ID,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = instance.Close() }()
	key, err := instance.Key(made.ID())
	if err != nil {
		log.Fatal(err)
	}
	ciphertext, err := key.Encrypt(context.Background(), []byte{0xff, 0x00}, nil)
	if err != nil {
		log.Fatal(err)
	}
	_, owned := key.Owns(ciphertext)
	fmt.Println(owned)
	// Output: mine
}
