package bench_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"google.golang.org/protobuf/proto"
)

var sizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"4KiB", 4 << 10}, {"1MiB", 1 << 20}}

// kek wraps data keys in this process with AES-256-GCM: the same for everybody, and next to nothing.
type kek struct {
	gcm cipher.AEAD
	ref string
}

func newKEK() *kek {
	return &kek{gcm: newGCM(random(32)), ref: "0123abcd-0123-0123-0123-0123456789ab"}
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (k *kek) wrap(plaintext []byte) []byte {
	out := make([]byte, 36+12, 36+12+len(plaintext)+16)
	copy(out, k.ref)
	rand.Read(out[36:])
	return k.gcm.Seal(out, out[36:], plaintext, nil)
}

var errKEK = errors.New("not wrapped here")

func (k *kek) unwrap(wrapped []byte) ([]byte, error) {
	if len(wrapped) < 64 {
		return nil, errKEK
	}
	return k.gcm.Open(nil, wrapped[36:48], wrapped[48:], nil)
}

// kek as a kmsmigrate.Key, with no encryption context.
func (k *kek) Encrypt(_ context.Context, p []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	return k.wrap(p), nil
}

func (k *kek) Decrypt(_ context.Context, c []byte, _ kmsmigrate.EncryptionContext) ([]byte, error) {
	return k.unwrap(c)
}

func (k *kek) Owns([]byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	return kmsmigrate.KeyRef{KeyID: k.ref}, kmsmigrate.Mine
}

// tinkKEK is kek as tink.AEAD.
type tinkKEK struct{ *kek }

func (k tinkKEK) Encrypt(p, _ []byte) ([]byte, error) { return k.wrap(p), nil }
func (k tinkKEK) Decrypt(c, _ []byte) ([]byte, error) { return k.unwrap(c) }

// sealer is one competitor: a fresh data key for every record.
type sealer struct {
	name string
	seal func(plaintext []byte) ([]byte, error)
	open func(record []byte) ([]byte, error)
}

func sealers(tb testing.TB) []sealer {
	tb.Helper()
	return []sealer{floor(), keyhaul(tb), tink(), gkw(), awsESDK(tb)}
}

// floor is the least that a hand-written envelope with our binding can be: a data key, HKDF for key and commitment, one wrap.
func floor() sealer {
	k := newKEK()
	bound := make([]byte, 38+4)
	derive := func(dataKey []byte) (cipher.AEAD, []byte, error) {
		prk, err := hkdf.Extract(sha256.New, dataKey, []byte("floor"))
		if err != nil {
			return nil, nil, err
		}
		key, err := hkdf.Expand(sha256.New, prk, "key", 32)
		if err != nil {
			return nil, nil, err
		}
		commitment, err := hkdf.Expand(sha256.New, prk, "commitment", 32)
		return newGCM(key), commitment, err
	}
	return sealer{
		name: "floor",
		seal: func(plaintext []byte) ([]byte, error) {
			dataKey := random(32)
			gcm, commitment, err := derive(dataKey)
			if err != nil {
				return nil, err
			}
			wrapped := k.wrap(dataKey)
			out := make([]byte, 0, 32+2+len(wrapped)+12+len(plaintext)+16)
			out = append(out, commitment...)
			out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped)))
			out = append(out, wrapped...)
			nonce := out[len(out) : len(out)+12]
			rand.Read(nonce)
			return gcm.Seal(out[:len(out)+12], nonce, plaintext, append(bound[:0:0], bound...)), nil
		},
		open: func(record []byte) ([]byte, error) {
			n := int(binary.BigEndian.Uint16(record[32:]))
			dataKey, err := k.unwrap(record[34 : 34+n])
			if err != nil {
				return nil, err
			}
			gcm, commitment, err := derive(dataKey)
			if err != nil || string(commitment) != string(record[:32]) {
				return nil, errKEK
			}
			rest := record[34+n:]
			return gcm.Open(nil, rest[:12], rest[12:], bound)
		},
	}
}

func keyhaul(tb testing.TB) sealer {
	tb.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: newKEK()})
	require.NoError(tb, err)
	e, err := envelope.New(envelope.Config{Keys: client, FreshKeys: true, MaxAge: -1})
	require.NoError(tb, err)
	ctx := context.Background()
	return sealer{
		name: "keyhaul",
		seal: func(plaintext []byte) ([]byte, error) { return e.Seal(ctx, plaintext, nil) },
		open: func(record []byte) ([]byte, error) {
			opened, err := e.Open(ctx, record, nil)
			return opened.Plaintext, err
		},
	}
}

func tink() sealer {
	a := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), tinkKEK{newKEK()})
	return sealer{
		name: "tink",
		seal: func(plaintext []byte) ([]byte, error) { return a.Encrypt(plaintext, nil) },
		open: func(record []byte) ([]byte, error) { return a.Decrypt(record, nil) },
	}
}

// gkw is go-kms-wrapping's envelope as its KMS wrappers use it.
func gkw() sealer {
	k := newKEK()
	return sealer{
		name: "go-kms-wrapping",
		seal: func(plaintext []byte) ([]byte, error) {
			env, err := wrapping.EnvelopeEncrypt(plaintext)
			if err != nil {
				return nil, err
			}
			return proto.Marshal(&wrapping.BlobInfo{
				Ciphertext: env.Ciphertext, Iv: env.Iv, KeyInfo: &wrapping.KeyInfo{KeyId: k.ref, WrappedKey: k.wrap(env.Key)},
			})
		},
		open: func(record []byte) ([]byte, error) {
			var blob wrapping.BlobInfo
			if err := proto.Unmarshal(record, &blob); err != nil {
				return nil, err
			}
			key, err := k.unwrap(blob.KeyInfo.WrappedKey)
			if err != nil {
				return nil, err
			}
			return wrapping.EnvelopeDecrypt(&wrapping.EnvelopeInfo{Key: key, Iv: blob.Iv, Ciphertext: blob.Ciphertext})
		},
	}
}

// awsESDK is the AWS Encryption SDK with a raw AES keyring and key commitment, without signatures.
func awsESDK(tb testing.TB) sealer {
	tb.Helper()
	ctx := context.Background()
	client, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{})
	require.NoError(tb, err)
	matProv, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	require.NoError(tb, err)
	keyring, err := matProv.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyName: "kek", KeyNamespace: "bench", WrappingKey: random(32), WrappingAlg: mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
	})
	require.NoError(tb, err)
	suite := mpltypes.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey
	return sealer{
		name: "aws-esdk",
		seal: func(plaintext []byte) ([]byte, error) {
			out, err := client.Encrypt(ctx, esdktypes.EncryptInput{Plaintext: plaintext, Keyring: keyring, AlgorithmSuiteId: &suite})
			if err != nil {
				return nil, err
			}
			return out.Ciphertext, nil
		},
		open: func(record []byte) ([]byte, error) {
			out, err := client.Decrypt(ctx, esdktypes.DecryptInput{Ciphertext: record, Keyring: keyring})
			if err != nil {
				return nil, err
			}
			return out.Plaintext, nil
		},
	}
}

func BenchmarkSealFresh(b *testing.B) { benchSeal(b, sealers(b)) }

func BenchmarkOpenFresh(b *testing.B) { benchOpen(b, sealers(b)) }

func benchSeal(b *testing.B, all []sealer) {
	b.Helper()
	for _, size := range sizes {
		plaintext := make([]byte, size.n)
		for _, s := range all {
			b.Run(s.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for b.Loop() {
					if _, err := s.seal(plaintext); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func benchOpen(b *testing.B, all []sealer) {
	b.Helper()
	for _, size := range sizes {
		for _, s := range all {
			record, err := s.seal(make([]byte, size.n))
			require.NoError(b, err)
			b.Run(s.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for b.Loop() {
					if _, err := s.open(record); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestEveryCompetitorDoesTheWork(t *testing.T) {
	t.Parallel()
	for _, s := range append(sealers(t), cached(t)...) {
		record, err := s.seal([]byte("the same for all"))
		require.NoError(t, err, s.name)
		plaintext, err := s.open(record)
		require.NoError(t, err, s.name)
		require.Equal(t, "the same for all", string(plaintext), s.name)
		record[len(record)-1] ^= 1
		_, err = s.open(record)
		require.Error(t, err, s.name)
	}
}
