package bench_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"testing"

	osscrypto "github.com/aliyun/aliyun-oss-go-sdk/oss/crypto"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"
)

// move opens a record of the original software, and returns it renewed, and re-wrapped as after a rotation.
func move(t *testing.T, old, new kmsmigrate.Key, l envelope.Layout, record []byte) (moved [][]byte) {
	t.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: new})
	require.NoError(t, err)
	e, err := envelope.New(envelope.Config{Keys: client, Layout: l})
	require.NoError(t, err)
	defer e.Close()
	opened, err := e.Open(t.Context(), record, nil)
	require.NoError(t, err)
	require.Equal(t, "from the original", string(opened.Plaintext))
	renewed, err := e.Renew(t.Context(), record, nil)
	require.NoError(t, err)
	rewrapped, err := e.Rewrap(t.Context(), bytes.Clone(renewed.Ciphertext), nil)
	require.NoError(t, err)
	require.NotEqual(t, renewed.Ciphertext, rewrapped)
	return [][]byte{renewed.Ciphertext, rewrapped}
}

// write seals with the new key.
func write(t *testing.T, new kmsmigrate.Key, l envelope.Layout) []byte {
	t.Helper()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.NewOnly, New: new})
	require.NoError(t, err)
	e, err := envelope.New(envelope.Config{Keys: client, Layout: l})
	require.NoError(t, err)
	defer e.Close()
	record, err := e.Seal(t.Context(), []byte("from the original"), nil)
	require.NoError(t, err)
	return record
}

func keys() (old, new *keytest.Key) {
	return keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
}

// tinkKey is a kmsmigrate.Key as the KEK of Tink.
type tinkKey struct {
	t *testing.T
	k kmsmigrate.Key
}

func (k tinkKey) Encrypt(p, _ []byte) ([]byte, error) { return k.k.Encrypt(k.t.Context(), p, nil) }
func (k tinkKey) Decrypt(c, _ []byte) ([]byte, error) { return k.k.Decrypt(k.t.Context(), c, nil) }

func TestTinkOpensWhatWasRewrapped(t *testing.T) {
	t.Parallel()
	old, new := keys()
	for _, template := range []struct {
		name string
		make func() *aead.KMSEnvelopeAEAD
	}{
		{"AES-256", func() *aead.KMSEnvelopeAEAD {
			return aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), tinkKey{t, old})
		}},
		{"AES-128", func() *aead.KMSEnvelopeAEAD {
			return aead.NewKMSEnvelopeAEAD2(aead.AES128GCMKeyTemplate(), tinkKey{t, old})
		}},
	} {
		record, err := template.make().Encrypt([]byte("from the original"), nil)
		require.NoError(t, err)
		plain := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), tinkKey{t, new})
		for _, r := range append(move(t, old, new, envelope.Tink{}, record), write(t, new, envelope.Tink{})) {
			plaintext, err := plain.Decrypt(r, nil)
			require.NoError(t, err, template.name)
			require.Equal(t, "from the original", string(plaintext))
		}
	}
}

// Data keys of other kinds are renewed without being opened, and associated data stays Tink's.
func TestTinkOpensWhatWasRewrappedOfOtherKinds(t *testing.T) {
	t.Parallel()
	old, new := keys()
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: new})
	require.NoError(t, err)
	bound := func(kmsmigrate.EncryptionContext) []byte { return []byte("associated data") }
	e, err := envelope.New(envelope.Config{Keys: client, Layout: envelope.Tink{OtherKeys: true, Bound: bound}})
	require.NoError(t, err)
	defer e.Close()
	for _, template := range []*tinkpb.KeyTemplate{aead.XChaCha20Poly1305KeyTemplate(), aead.ChaCha20Poly1305KeyTemplate(), aead.AES128CTRHMACSHA256KeyTemplate(), aead.AES256GCMKeyTemplate()} {
		record, err := aead.NewKMSEnvelopeAEAD2(template, tinkKey{t, old}).Encrypt([]byte("from the original"), bound(nil))
		require.NoError(t, err)
		renewed, err := e.Renew(t.Context(), record, nil)
		require.NoError(t, err, template.TypeUrl)
		plaintext, err := aead.NewKMSEnvelopeAEAD2(template, tinkKey{t, new}).Decrypt(renewed.Ciphertext, bound(nil))
		require.NoError(t, err, template.TypeUrl)
		require.Equal(t, "from the original", string(plaintext))
	}
}

// The alicloudkms wrapper's Encrypt and Decrypt, with a Key in the place of its client, which takes no other endpoint.
func TestGoKMSWrappingOpensWhatWasRewrapped(t *testing.T) {
	t.Parallel()
	old, new := keys()
	env, err := wrapping.EnvelopeEncrypt([]byte("from the original"))
	require.NoError(t, err)
	blob, err := old.Encrypt(t.Context(), []byte(base64.StdEncoding.EncodeToString(env.Key)), nil)
	require.NoError(t, err)
	record, err := proto.Marshal(&wrapping.BlobInfo{
		Ciphertext: env.Ciphertext, Iv: env.Iv, ValuePath: "kept", KeyInfo: &wrapping.KeyInfo{KeyId: old.Ref().KeyID, WrappedKey: []byte(kmsmigrate.EncodeBlob(blob))},
	})
	require.NoError(t, err)
	moved := move(t, old, new, envelope.BlobInfo{}, record)
	for _, r := range append(moved, write(t, new, envelope.BlobInfo{})) {
		var in wrapping.BlobInfo
		require.NoError(t, proto.Unmarshal(r, &in))
		require.Equal(t, new.Ref().KeyID, in.KeyInfo.KeyId)
		wrapped, err := kmsmigrate.DecodeBlob(string(in.KeyInfo.WrappedKey))
		require.NoError(t, err)
		text, err := new.Decrypt(t.Context(), wrapped, nil)
		require.NoError(t, err)
		key, err := base64.StdEncoding.DecodeString(string(text))
		require.NoError(t, err)
		plaintext, err := wrapping.EnvelopeDecrypt(&wrapping.EnvelopeInfo{Key: key, Iv: in.Iv, Ciphertext: in.Ciphertext})
		require.NoError(t, err)
		require.Equal(t, "from the original", string(plaintext))
	}
	var in wrapping.BlobInfo
	require.NoError(t, proto.Unmarshal(moved[0], &in))
	require.Equal(t, "kept", in.ValuePath)
}

// ossKey is a kmsmigrate.Key as the OSS SDK's master cipher: what CreateMasterAliKms makes, but for its client.
type ossKey struct {
	t *testing.T
	k kmsmigrate.Key
}

func (m ossKey) Encrypt(p []byte) ([]byte, error) {
	return m.k.Encrypt(m.t.Context(), []byte(base64.StdEncoding.EncodeToString(p)), nil)
}

func (m ossKey) Decrypt(c []byte) ([]byte, error) {
	text, err := m.k.Decrypt(m.t.Context(), c, nil)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(string(text))
}

func (ossKey) GetWrapAlgorithm() string { return osscrypto.KmsAliCryptoWrap }
func (ossKey) GetMatDesc() string       { return "" }

func TestTheOSSSDKOpensWhatWasRewrapped(t *testing.T) {
	t.Parallel()
	old, new := keys()
	content, err := osscrypto.CreateAesCtrCipher(ossKey{t, old}).ContentCipher()
	require.NoError(t, err)
	sealed, err := content.EncryptContent(bytes.NewReader([]byte("from the original")))
	require.NoError(t, err)
	body, err := io.ReadAll(sealed)
	require.NoError(t, err)
	cd, prefix := content.GetCipherData(), "x-oss-meta-client-side-encryption-"
	metadata, err := json.Marshal(map[string]string{
		prefix + "key": base64.StdEncoding.EncodeToString(cd.EncryptedKey), prefix + "start": base64.StdEncoding.EncodeToString(cd.EncryptedIV),
		prefix + "cek-alg": cd.CEKAlgorithm, prefix + "wrap-alg": cd.WrapAlgorithm,
	})
	require.NoError(t, err)
	for _, object := range append(move(t, old, new, envelope.OSS{}, kmsmigrate.Pack(metadata, body)), write(t, new, envelope.OSS{})) {
		parts, err := kmsmigrate.Unpack(object, 2)
		require.NoError(t, err)
		var headers map[string]string
		require.NoError(t, json.Unmarshal(parts[0], &headers))
		decode := func(name string) string {
			value, err := base64.StdEncoding.DecodeString(headers[prefix+name])
			require.NoError(t, err)
			return string(value)
		}
		reader, err := osscrypto.CreateAesCtrCipher(ossKey{t, new}).ContentCipherEnv(osscrypto.Envelope{
			IV: decode("start"), CipherKey: decode("key"), WrapAlg: headers[prefix+"wrap-alg"], CEKAlg: headers[prefix+"cek-alg"],
		})
		require.NoError(t, err)
		plain, err := reader.DecryptContent(bytes.NewReader(parts[1]))
		require.NoError(t, err)
		plaintext, err := io.ReadAll(plain)
		require.NoError(t, err)
		require.Equal(t, "from the original", string(plaintext))
	}
}
