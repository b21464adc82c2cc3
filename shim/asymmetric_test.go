package shim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/verify"
)

func bodyOf(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return string(body)
}

// signer is a signing key on either side.
type signer struct {
	old, new             *kmstest.Key
	algorithm            string
	oldFields, newFields map[string]string
}

func newSigner(t *testing.T, w *world, spec, algorithm string) signer {
	t.Helper()
	return newPair(t, w, kmstest.KeySpec{Spec: spec, Usage: "SIGN/VERIFY"}, algorithm)
}

// newPair makes an asymmetric key on either side, of which the new one takes the place of the old one.
func newPair(t *testing.T, w *world, spec kmstest.KeySpec, algorithm string) signer {
	t.Helper()
	old, err := w.oldAt.CreateKey(spec)
	require.NoError(t, err)
	next, err := w.newAt.CreateKey(spec)
	require.NoError(t, err)
	w.config.Keys.Keys[old.ID()] = next.ID()
	if w.config.KeyVersions == nil {
		w.config.KeyVersions = map[string]string{}
	}
	w.config.KeyVersions[next.ID()] = next.VersionIDs()[0]
	s := signer{old: old, new: next, algorithm: algorithm}
	s.oldFields = map[string]string{"KeyId": old.ID(), "KeyVersionId": old.VersionIDs()[0], "Algorithm": algorithm}
	s.newFields = map[string]string{"KeyId": next.ID(), "KeyVersionId": next.VersionIDs()[0], "Algorithm": algorithm}
	return s
}

func plus(fields map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range fields {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func TestOldSignaturesVerifyWithoutTheOldKey(t *testing.T) {
	t.Parallel()
	for spec, algorithms := range map[string][]string{
		"RSA_2048": {"RSA_PSS_SHA_256", "RSA_PKCS1_SHA_256"}, "EC_P256": {"ECDSA_SHA_256"}, "EC_P256K": {"ECDSA_SHA_256"}, "EC_SM2": {"SM2DSA"},
	} {
		for _, algorithm := range algorithms {
			w := newWorld(t)
			s := newSigner(t, w, spec, algorithm)
			official := sdkClient(t, w.oldAt)
			public, err := plain(t, official, "GetPublicKey", "JSON", s.oldFields)
			require.NoError(t, err)
			kept, err := verify.Retain(s.old.ID(), s.old.VersionIDs()[0], text(t, public, "PublicKey"), time.Time{})
			require.NoError(t, err)
			parsed, err := kept.Parse()
			require.NoError(t, err)
			raw, err := parsed.Digest([]byte("message"))
			require.NoError(t, err)
			digest := base64.StdEncoding.EncodeToString(raw)
			signed, err := plain(t, official, "AsymmetricSign", "JSON", plus(s.oldFields, "Digest", digest))
			require.NoError(t, err)
			value := text(t, signed, "Value")

			retained := new(verify.Memory)
			require.NoError(t, retained.Add(kept))
			w.config.Retained = retained
			require.NoError(t, s.old.Disable())
			for _, phase := range phases {
				transport := w.transport(t, phase)
				client := w.client(t, transport)
				for _, format := range []string{"JSON", "XML"} {
					w.cloud.ResetEvidence()
					got, err := plain(t, client, "AsymmetricVerify", format, plus(s.oldFields, "Digest", digest, "Value", value))
					require.NoError(t, err)
					require.True(t, got.(*kms.AsymmetricVerifyResponse).Value)
					require.Equal(t, s.old.ID(), got.(*kms.AsymmetricVerifyResponse).KeyId)
					other := sha256.Sum256([]byte("another"))
					got, err = plain(t, client, "AsymmetricVerify", format, plus(s.oldFields, "Digest", base64.StdEncoding.EncodeToString(other[:]), "Value", value))
					require.NoError(t, err)
					require.False(t, got.(*kms.AsymmetricVerifyResponse).Value)
					got, err = plain(t, client, "GetPublicKey", format, s.oldFields)
					require.NoError(t, err)
					require.Equal(t, kept.PublicKey, got.(*kms.GetPublicKeyResponse).PublicKey)
					require.Zero(t, w.cloud.Count(kmstest.Match{}), "without a call")
					_, err = plain(t, client, "AsymmetricVerify", format, plus(s.oldFields, "Digest", "c2hvcnQ=", "Value", value))
					require.Equal(t, "InvalidParameter", serverError(t, err).ErrorCode())
					_, err = plain(t, client, "AsymmetricVerify", format, plus(s.oldFields, "Digest", "***", "Value", value))
					require.Equal(t, "InvalidParameter", serverError(t, err).ErrorCode())
				}
				require.EqualValues(t, 6, transport.Stats().Local)
			}
		}
	}
}

func TestWithoutARetainedKeyTheOldSideIsAskedUntilTheLastPhase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, w, "EC_P256", "ECDSA_SHA_256")
	for _, phase := range phases {
		client := w.client(t, w.transport(t, phase))
		toOldSide, toNewSide := w.calls(func() {
			for _, action := range []string{"GetPublicKey", "AsymmetricVerify"} {
				_, err := plain(t, client, action, "JSON", plus(s.oldFields, "Digest", base64.StdEncoding.EncodeToString(make([]byte, 32)), "Value", "MAYCAQECAQE="))
				if phase == kmsmigrate.NewOnly {
					require.Contains(t, serverError(t, err).Message(), "Retained")
				} else {
					require.NoError(t, err)
				}
			}
		})
		require.Zero(t, toNewSide)
		require.Equal(t, phase == kmsmigrate.NewOnly, toOldSide == 0)
	}
}

func TestAsymmetricCiphertextOpensOnItsSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, err := w.oldAt.CreateKey(kmstest.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"})
	require.NoError(t, err)
	next, err := w.newAt.CreateKey(kmstest.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"})
	require.NoError(t, err)
	w.config.Keys.Keys[old.ID()] = next.ID()
	w.config.KeyVersions = map[string]string{next.ID(): next.VersionIDs()[0]}
	named := map[string]string{"KeyId": old.ID(), "KeyVersionId": old.VersionIDs()[0], "Algorithm": "RSAES_OAEP_SHA_256"}
	var blobs []string
	for _, phase := range phases {
		client := w.client(t, w.transport(t, phase))
		made, err := plain(t, client, "AsymmetricEncrypt", "JSON", plus(named, "Plaintext", "aGVsbG8="))
		require.NoError(t, err)
		key := old
		if phase.Writes() == kmsmigrate.SideNew {
			key = next
		}
		require.Equal(t, key.ID(), text(t, made, "KeyId"))
		blobs = append(blobs, text(t, made, "CiphertextBlob"))
	}
	for i, phase := range phases {
		client := w.client(t, w.transport(t, phase))
		for j, blob := range blobs {
			got, err := plain(t, client, "AsymmetricDecrypt", "XML", plus(named, "CiphertextBlob", blob))
			if phase.Reads(phases[j].Writes()) {
				require.NoError(t, err, "%d %d", i, j)
				require.Equal(t, "aGVsbG8=", got.(*kms.AsymmetricDecryptResponse).Plaintext)
			} else {
				require.NotEmpty(t, serverError(t, err).ErrorCode())
			}
		}
		if phase > kmsmigrate.OldOnly {
			got, err := plain(t, client, "AsymmetricDecrypt", "JSON", plus(named, "KeyId", next.ID(), "KeyVersionId", next.VersionIDs()[0], "CiphertextBlob", blobs[2]))
			require.NoError(t, err)
			require.Equal(t, next.ID(), text(t, got, "KeyId"))
		}
	}
}
