package kmstest

import (
	"encoding/base64"
	"fmt"
)

// Mint makes a CiphertextBlob under the key's primary version from any bytes and any additional data, whatever the key's state. With it a
// test has the data that older programs left behind and no operation makes today:
//
//   - a data-key blob that wraps the raw key instead of its base64 text, 96 bytes long instead of 108: Mint(rawKey, nil);
//   - a blob whose additional data is the EncryptionContext's raw JSON instead of its hash: Mint(plaintext, []byte(json));
//   - a text that was base64-decoded before encryption: Mint(decoded, aad).
//
// Older versions of Alibaba's Java transfer SDK wrote all three (fixed there on 2023-01-06, 2023-03-10 and 2022-12-01).
func (k *Key) Mint(plaintext, aad []byte) (ciphertextBlob string, err error) {
	s, merr := k.door.Mint(k.id, plaintext, aad)
	if merr != nil {
		return "", fmt.Errorf("kmstest: mint: %w", merr)
	}
	return base64.StdEncoding.EncodeToString(s.Blob()), nil
}
