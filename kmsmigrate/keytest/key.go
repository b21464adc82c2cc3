package keytest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// MaxPlaintext is the longest plaintext that Encrypt takes, in bytes (KMS API reference, Encrypt: 6 KB).
const MaxPlaintext = 6 << 10

// Config says what kind of key [New] makes. The zero value is a key of KMS 3.0 with a random id.
type Config struct {
	// KMS1 gives the key the UUIDs of KMS 1.0 as key id and version ids, from which nobody can tell what belongs together.
	KMS1 bool
	// Blind makes Owns answer Unknown for every version that no successful call has shown to be the key's, as a client does
	// which may not list versions. Without it the key knows its own versions and calls everything else Foreign.
	Blind bool
	// Ref is what the key says of where it is. KeyID and VersionID are filled in by New.
	Ref kmsmigrate.KeyRef
}

// Key is a KMS key in memory, outside of any service. Make it with [New]. It is safe for concurrent use.
type Key struct {
	blind bool

	mu       sync.Mutex
	ref      kmsmigrate.KeyRef // VersionID is the primary version's
	kms1     bool
	versions map[string]cipher.AEAD
	known    map[string]bool // versions that Owns may call its own
	disabled bool
	encrypts int64
	decrypts int64
}

// New makes a key with one version and random material.
func New(cfg Config) *Key {
	k := &Key{blind: cfg.Blind, kms1: cfg.KMS1, ref: cfg.Ref, versions: map[string]cipher.AEAD{}, known: map[string]bool{}}
	k.ref.KeyID = "key-" + random(21)
	if cfg.KMS1 {
		k.ref.KeyID = uuid()
	}
	k.Rotate()
	return k
}

// Clone returns a key that a backup restored at another place: the same key id, versions and material, with ref saying
// where. It counts its own calls, and is enabled.
func (k *Key) Clone(ref kmsmigrate.KeyRef) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	ref.KeyID, ref.VersionID = k.ref.KeyID, k.ref.VersionID
	return &Key{blind: k.blind, kms1: k.kms1, ref: ref, versions: maps.Clone(k.versions), known: maps.Clone(k.known)}
}

// Ref returns the key's identity with its primary version.
func (k *Key) Ref() kmsmigrate.KeyRef {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ref
}

// Versions returns the ids of all versions, sorted.
func (k *Key) Versions() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.versions))
}

// Rotate adds a version and makes it the primary one: what Encrypt uses from now on. Earlier ones go on decrypting.
func (k *Key) Rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := k.ref.KeyID + "-" + random(10)
	if k.kms1 {
		id = uuid()
	}
	k.versions[id] = newAEAD()
	k.known[id] = !k.blind
	k.ref.VersionID = id
}

// Disable makes every call fail with ErrKeyState, as for a key disabled in the console: 409 Rejected.Disabled.
func (k *Key) Disable() { k.setDisabled(true) }

// Enable takes Disable back.
func (k *Key) Enable() { k.setDisabled(false) }

func (k *Key) setDisabled(disabled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.disabled = disabled
}

// Calls returns how often Encrypt and Decrypt were called, failures included.
func (k *Key) Calls() (encrypts, decrypts int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.encrypts, k.decrypts
}

// Encrypt implements kmsmigrate.Key with the primary version.
func (k *Key) Encrypt(ctx context.Context, plaintext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.encrypts++
	if err := k.usable(ctx, "encrypt"); err != nil {
		return nil, err
	}
	if len(plaintext) == 0 || len(plaintext) > MaxPlaintext {
		return nil, k.fail("encrypt", "InvalidParameter", 400, fmt.Errorf("a plaintext of %d bytes, where 1 to %d are allowed: %w", len(plaintext), MaxPlaintext, kmsmigrate.ErrInvalid))
	}
	aead := k.versions[k.ref.VersionID]
	blob := make([]byte, 0, kmsmigrate.BlobOverhead+len(plaintext))
	blob = append(blob, k.ref.VersionID...)
	blob = append(blob, randomBytes(aead.NonceSize())...)
	nonce := blob[kmsmigrate.VersionIDSize:]
	k.known[k.ref.VersionID] = true
	return aead.Seal(blob, nonce, plaintext, AAD(ec)), nil
}

// GenerateDataKey implements kmsmigrate.DataKeyGenerator as the KMS does: what is encrypted is the base64 text of n random
// bytes. It counts as a call of Encrypt.
func (k *Key) GenerateDataKey(ctx context.Context, n int, ec kmsmigrate.EncryptionContext) (plaintext, ciphertext []byte, err error) {
	if n < 1 || n > 1024 {
		return nil, nil, k.fail("generate data key", "InvalidParameter", 400, fmt.Errorf("a data key of %d bytes, where 1 to 1024 are allowed: %w", n, kmsmigrate.ErrInvalid))
	}
	plaintext = base64.StdEncoding.AppendEncode(nil, randomBytes(n))
	if ciphertext, err = k.Encrypt(ctx, plaintext, ec); err != nil {
		return nil, nil, err
	}
	return plaintext, ciphertext, nil
}

// Decrypt implements kmsmigrate.Key. A version that is not the key's is ErrForeign; a tag that does not fit, for a damaged
// blob or another encryption context, is ErrInvalid.
func (k *Key) Decrypt(ctx context.Context, ciphertext []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.decrypts++
	if err := k.usable(ctx, "decrypt"); err != nil {
		return nil, err
	}
	id, ok := kmsmigrate.BlobVersion(ciphertext)
	if !ok {
		return nil, k.fail("decrypt", "InvalidParameter", 400, fmt.Errorf("%d bytes that are no ciphertext: %w", len(ciphertext), kmsmigrate.ErrInvalid))
	}
	aead := k.versions[id]
	if aead == nil {
		return nil, k.fail("decrypt", "Forbidden.KeyNotFound", 404, kmsmigrate.ErrForeign)
	}
	body := ciphertext[kmsmigrate.VersionIDSize:]
	plaintext, err := aead.Open(nil, body[:aead.NonceSize()], body[aead.NonceSize():], AAD(ec))
	if err != nil {
		return nil, k.fail("decrypt", "InvalidParameter", 400, kmsmigrate.ErrInvalid)
	}
	k.known[id] = true
	return plaintext, nil
}

// Owns implements kmsmigrate.Key.
func (k *Key) Owns(ciphertext []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	id, ok := kmsmigrate.BlobVersion(ciphertext)
	if !ok {
		return kmsmigrate.KeyRef{}, kmsmigrate.Unknown
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[id] {
		ref := k.ref
		ref.VersionID = id
		return ref, kmsmigrate.Mine
	}
	of, _ := kmsmigrate.KeyOfVersion(id)
	ref := kmsmigrate.KeyRef{KeyID: of, VersionID: id}
	if k.blind && (of == "" || of == k.ref.KeyID) {
		return ref, kmsmigrate.Unknown
	}
	return ref, kmsmigrate.Foreign
}

// usable is called with mu held.
func (k *Key) usable(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return &kmsmigrate.Error{Op: op, Key: k.ref, Err: err}
	}
	if k.disabled {
		return k.fail(op, "Rejected.Disabled", 409, kmsmigrate.ErrKeyState)
	}
	return nil
}

func (k *Key) fail(op, code string, status int, err error) error {
	return &kmsmigrate.Error{Op: op, Key: k.ref, Code: code, HTTPStatus: status, Err: err}
}

// AAD returns what the KMS authenticates for an encryption context: nothing for none, else the SHA-256 of "k=v" pairs,
// sorted by name and joined by "&", with no escaping (read in Alibaba's transfer SDKs). It is not injective: that is the
// service's doing.
func AAD(ec kmsmigrate.EncryptionContext) []byte {
	if len(ec) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + ec[name])
	}
	sum := sha256.Sum256(b.Bytes())
	return sum[:]
}

func newAEAD() cipher.AEAD {
	block, err := aes.NewCipher(randomBytes(32))
	if err != nil {
		panic(err) // 32 bytes are an AES key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM needs
	}
	return aead
}

func random(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567" // 32, so that a byte picks without bias
	b := randomBytes(n)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

func uuid() string {
	h := hex.EncodeToString(randomBytes(16))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}
