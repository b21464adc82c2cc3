package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

// What the KMS answered while the old key was there: GetPublicKey's PublicKey, and AsymmetricSign's Value, decoded.
const oldPublicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
`

func Example() {
	store := new(verify.Memory) // or verify.ReadFile, or verify.ReadFS with go:embed
	old, err := verify.Retain("key-hzz62f1cb66fa42qo0001", "key-hzz62f1cb66fa42qo0001-17kedv0001", oldPublicKey, time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC))
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Add(old); err != nil {
		log.Fatal(err)
	}

	key, err := old.Parse()
	if err != nil {
		log.Fatal(err)
	}
	digest, err := key.Digest([]byte("sample"))
	if err != nil {
		log.Fatal(err)
	}
	request := verify.Request{KeyID: old.KeyID, VersionID: old.VersionID, Algorithm: verify.ECDSASHA256, Digest: digest, Signature: signatureOfSample}
	fmt.Println(key.Spec(), verify.Signature(context.Background(), store, request) == nil)

	request.Digest, err = key.Digest([]byte("another message"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(verify.Signature(context.Background(), store, request), verify.ErrBadSignature))
	fmt.Println(store.Remove(old.KeyID, old.VersionID, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
	// Output:
	// EC_P256 true
	// true
	// verify: key key-hzz62f1cb66fa42qo0001 version key-hzz62f1cb66fa42qo0001-17kedv0001: until 2031-01-02T00:00:00Z: the public key must be kept
}

var signatureOfSample = []byte{
	0x30, 0x46, 0x02, 0x21, 0x00,
	0xEF, 0xD4, 0x8B, 0x2A, 0xAC, 0xB6, 0xA8, 0xFD, 0x11, 0x40, 0xDD, 0x9C, 0xD4, 0x5E, 0x81, 0xD6,
	0x9D, 0x2C, 0x87, 0x7B, 0x56, 0xAA, 0xF9, 0x91, 0xC3, 0x4D, 0x0E, 0xA8, 0x4E, 0xAF, 0x37, 0x16,
	0x02, 0x21, 0x00,
	0xF7, 0xCB, 0x1C, 0x94, 0x2D, 0x65, 0x7C, 0x41, 0xD4, 0x36, 0xC7, 0xA1, 0xB6, 0xE2, 0x9F, 0x65,
	0xF3, 0xE9, 0x00, 0xDB, 0xB9, 0xAF, 0xF4, 0x06, 0x4D, 0xC4, 0xAB, 0x2F, 0x84, 0x3A, 0xCD, 0xA8,
}
