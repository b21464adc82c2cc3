package kmsmigrate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func ExampleNewClient() {
	ctx := context.Background()
	old, next := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{}) // or alikms' Gateway.Key and Instance.Key
	var phase kmsmigrate.PhaseSwitch                                                    // starts at OldOnly: nothing changes
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: &phase, Old: old, New: next})
	if err != nil {
		fmt.Println(err)
		return
	}
	ciphertext, _ := client.Encrypt(ctx, []byte("4111 1111 1111 1111"), nil)

	_ = phase.Set(kmsmigrate.ReadBoth) // on every process, before the next step
	_ = phase.Set(kmsmigrate.WriteNew)
	_ = phase.Set(kmsmigrate.Rewrite)
	opened, err := client.Open(ctx, ciphertext, nil)
	fmt.Println(opened.Side, opened.Stale, err)
	renewed, err := client.Renew(ctx, ciphertext, nil) // store renewed.Ciphertext, with a compare-and-swap
	fmt.Println(renewed.To == next.Ref(), err)
	// Output:
	// old true <nil>
	// true <nil>
}

func ExampleKeyMap_Pairs() {
	m, err := kmsmigrate.ParseKeyMap([]byte(`{"keys": {"alias/app": "key-hzz62f1cb66fa42qopd9s", "alias/mail": "key-hzz62f1cb66fa42qopd9s"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	inMemory := func(string) (kmsmigrate.Key, error) { return keytest.New(keytest.Config{}), nil } // or gateway.Key, instance.Key
	pairs, _ := m.Pairs(inMemory, inMemory)
	client, _ := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.WriteNew, Pairs: pairs})
	mail, err := client.For("alias/mail") // writes with the new key of alias/mail, reads them all
	fmt.Println(mail != nil, err)
	// Output: true <nil>
}

func ExamplePhaseSwitch() {
	var phase kmsmigrate.PhaseSwitch
	fmt.Println(phase.Set(kmsmigrate.WriteNew))
	fmt.Println(phase.Set(kmsmigrate.ReadBoth), phase.Current())
	// Output:
	// kmsmigrate: from old-only to write-new jumps over a phase: go one step at a time, and let every process arrive before the next: the phase does not allow it
	// <nil> read-both
}

func ExampleError() {
	old := keytest.New(keytest.Config{})
	client, _ := kmsmigrate.NewClient(kmsmigrate.Config{Old: old})
	ciphertext, _ := client.Encrypt(context.Background(), []byte("x"), nil)
	old.Disable()
	_, err := client.Open(context.Background(), ciphertext, nil)
	var e *kmsmigrate.Error
	if errors.Is(err, kmsmigrate.ErrKeyState) && errors.As(err, &e) {
		fmt.Println(e.Side, e.Code, e.HTTPStatus)
	}
	// Output: old Rejected.Disabled 409
}
