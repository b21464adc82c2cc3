package keytest_test

import (
	"context"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func ExampleNew() {
	ctx := context.Background()
	old, next := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.ReadBoth, Old: old, New: next})
	if err != nil {
		fmt.Println(err)
		return
	}
	blob, _ := next.Encrypt(ctx, []byte("written by a process that is one phase ahead"), nil)
	opened, err := client.Open(ctx, blob, nil)
	fmt.Println(opened.Side, string(opened.Plaintext), err)
	// Output: new written by a process that is one phase ahead <nil>
}

func ExampleTestKey() {
	err := keytest.TestKey(context.Background(), keytest.Empty(keytest.New(keytest.Config{})), keytest.New(keytest.Config{}))
	fmt.Println(err)
	// Output: keytest: Encrypt must return an error where it returns no bytes
}

func ExampleFail() {
	throttled := keytest.Fail(keytest.New(keytest.Config{}), kmsmigrate.ErrThrottled)
	_, err := throttled.Encrypt(context.Background(), []byte("x"), nil)
	fmt.Println(err)
	// Output: throttled
}
