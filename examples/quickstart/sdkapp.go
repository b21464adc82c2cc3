package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
)

// sdkApp is an application as many have it today: the official SDK, AES-GCM, and the three lines of Alibaba's sample
// (wrapped data key, nonce, ciphertext, each in base64). It knows nothing of Keyhaul. The quickstart has two: the old
// application before the migration, and a plain one after it, which shows that Keyhaul can be taken out again.
type sdkApp struct {
	perKey int    // records that share a data key
	keyID  string // what GenerateDataKey is asked for

	mu      sync.Mutex // *kms.Client is not safe for concurrent use
	client  *kms.Client
	opened  map[string]cipher.AEAD // by first line; an application that keeps no data keys would call the KMS for every read
	writing cipher.AEAD
	wrapped string
	written int
}

func newSDKApp(client *kms.Client, keyID string, perKey int) *sdkApp {
	return &sdkApp{client: client, keyID: keyID, perKey: perKey, opened: map[string]cipher.AEAD{}}
}

func (a *sdkApp) seal(_ context.Context, plaintext []byte) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writing == nil || a.written == a.perKey {
		request := kms.CreateGenerateDataKeyRequest()
		request.Scheme = "https"
		request.KeyId = a.keyID
		answer, err := a.client.GenerateDataKey(request)
		if err != nil {
			return nil, fmt.Errorf("GenerateDataKey: %w", err)
		}
		if a.writing, err = aeadOf(answer.Plaintext); err != nil {
			return nil, err
		}
		a.wrapped, a.written = answer.CiphertextBlob, 0
	}
	a.written++
	nonce := make([]byte, a.writing.NonceSize())
	_, _ = rand.Read(nonce)
	b64 := base64.StdEncoding.EncodeToString
	return []byte(a.wrapped + "\n" + b64(nonce) + "\n" + b64(a.writing.Seal(nil, nonce, plaintext, nil))), nil
}

func (a *sdkApp) open(_ context.Context, _ int64, record []byte) ([]byte, error) {
	lines := strings.Split(string(record), "\n")
	if len(lines) != 3 {
		return nil, errors.New("a record has three lines")
	}
	nonce, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		return nil, errors.New("the nonce is not base64")
	}
	ciphertext, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		return nil, errors.New("the ciphertext is not base64")
	}
	aead, err := a.unwrap(lines[0])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nonce, ciphertext, nil)
}

func (a *sdkApp) unwrap(wrapped string) (cipher.AEAD, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if aead, ok := a.opened[wrapped]; ok {
		return aead, nil
	}
	request := kms.CreateDecryptRequest()
	request.Scheme = "https"
	request.CiphertextBlob = wrapped
	answer, err := a.client.Decrypt(request)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	aead, err := aeadOf(answer.Plaintext)
	if err == nil {
		a.opened[wrapped] = aead
	}
	return aead, err
}

// aeadOf makes a cipher of a data key as the KMS returns it: its base64 text.
func aeadOf(text string) (cipher.AEAD, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, errors.New("the KMS returned no 32-byte data key")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
