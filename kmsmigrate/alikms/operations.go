package alikms

import (
	"fmt"
	"log/slog"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Binding is what a ciphertext is bound to: it must be the same at decryption as at encryption. The zero value binds to
// nothing.
type Binding struct {
	// Context is the encryption context.
	Context kmsmigrate.EncryptionContext
	// Raw takes its place for data that was written with something else: at a Gateway it is sent as the
	// EncryptionContext string, at an Instance as the Aad bytes, in both cases as it is.
	Raw string
}

// String returns how much there is, and neither names nor values.
func (b Binding) String() string { return fmt.Sprintf("Binding(%d, %d)", len(b.Context), len(b.Raw)) }

// GoString returns what String returns, so that %#v does not leak either.
func (b Binding) GoString() string { return b.String() }

func (b Binding) json() (string, error) {
	if b.Raw != "" && len(b.Context) > 0 {
		return "", errTwoBindings
	}
	if b.Raw != "" {
		return b.Raw, nil
	}
	return contextJSON(b.Context)
}

func (b Binding) aad() ([]byte, error) {
	if b.Raw != "" && len(b.Context) > 0 {
		return nil, errTwoBindings
	}
	if b.Raw != "" {
		return []byte(b.Raw), nil
	}
	return contextAAD(b.Context)
}

var errTwoBindings = fmt.Errorf("a Binding has a Context and a Raw: %w", kmsmigrate.ErrInvalid)

// secrets returns the values that no error may show, and more.
func (b Binding) secrets(more ...string) secrets {
	values := append(secrets{b.Raw}, more...)
	for _, value := range b.Context {
		values = append(values, value)
	}
	return values
}

// Encrypted is the answer to an encryption.
type Encrypted struct {
	KeyID, VersionID string
	Ciphertext       []byte // raw; in the form of a CiphertextBlob where the key is symmetric
	RequestID        string
}

// Decrypted is the answer to a decryption. It does not print its Plaintext.
type Decrypted struct {
	KeyID, VersionID string
	Plaintext        []byte
	RequestID        string
}

// String returns the key and how long the plaintext is.
func (d Decrypted) String() string {
	return fmt.Sprintf("Decrypted(%s, %d bytes)", d.KeyID, len(d.Plaintext))
}

// GoString returns what String returns, so that %#v does not leak either.
func (d Decrypted) GoString() string { return d.String() }

// LogValue returns what String returns.
func (d Decrypted) LogValue() slog.Value { return slog.StringValue(d.String()) }

// DataKey is a data key and its wrapped form. It does not print its Plaintext.
type DataKey struct {
	KeyID, VersionID string
	Plaintext        []byte // the key itself; nil where it was not asked for
	Ciphertext       []byte // in the form of a CiphertextBlob
	// Text says what Ciphertext wraps: the base64 text of the key, as the OpenAPI does and as the plain SDKs expect at
	// decryption, or the raw bytes, as the instance API does. The two cannot be told apart by looking.
	Text      bool
	RequestID string
}

// String returns the key and how long the data key is.
func (k DataKey) String() string {
	return fmt.Sprintf("DataKey(%s, %d bytes)", k.KeyID, len(k.Plaintext))
}

// GoString returns what String returns, so that %#v does not leak either.
func (k DataKey) GoString() string { return k.String() }

// LogValue returns what String returns.
func (k DataKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Signature is the answer to a signing: for ECDSA and SM2 the DER sequence of r and s.
type Signature struct {
	KeyID, VersionID string // the version is empty where the face does not say
	Value            []byte
	RequestID        string
}

// PublicKey is a public key in PEM (PKIX).
type PublicKey struct {
	KeyID, VersionID string // the version is empty where the face does not say
	PEM              []byte
	RequestID        string
}

// Algorithms of asymmetric keys (API reference: AsymmetricEncrypt, AsymmetricSign).
const (
	RSAOAEPSHA256  = "RSAES_OAEP_SHA_256"
	RSAOAEPSHA1    = "RSAES_OAEP_SHA_1"
	SM2PKE         = "SM2PKE"
	RSAPSSSHA256   = "RSA_PSS_SHA_256" // salt of 32 bytes
	RSAPKCS1SHA256 = "RSA_PKCS1_SHA_256"
	ECDSASHA256    = "ECDSA_SHA_256"
	SM2DSA         = "SM2DSA" // over the SM3 digest of Z and the message
)

// maxDataKey is the longest data key that the service makes, in bytes (API reference, GenerateDataKey).
const maxDataKey = 1024
