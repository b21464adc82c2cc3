package shim_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// FuzzWhatAnInstanceIsGiven has anything for ciphertext, for the fields beside it and for a whole request. Nothing may panic, and every error is
// the SDK's, with a code.
func FuzzWhatAnInstanceIsGiven(f *testing.F) {
	w := newGCSWorld(f, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(f, kmsmigrate.Rewrite)
	whole := gcsMust[dkms.AdvanceEncryptResponse](f, w.old.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	sealed := gcsMust[dkms.EncryptResponse](f, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	f.Add(whole.CiphertextBlob, []byte{}, "")
	f.Add(sealed.CiphertextBlob, sealed.Iv, *sealed.KeyId)
	f.Add(whole.CiphertextBlob[:39], sealed.Iv, "alias/data")
	f.Add([]byte("$\x00\x02"), []byte{1}, "acs:kms:::key/")
	f.Add([]byte{0x0a, 0xff, 0xff}, []byte(nil), "\xff")
	f.Fuzz(func(t *testing.T, blob, iv []byte, key string) {
		for _, call := range []func() error{
			func() error {
				_, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: blob, Iv: iv, KeyId: &key})
				return err
			},
			func() error {
				_, err := i.Decrypt(&dkms.DecryptRequest{CiphertextBlob: blob, Iv: iv, KeyId: &key, Headers: map[string]*string{"x-kms-migrationkeyversionid": &key}})
				return err
			},
			func() error {
				_, err := i.DoRequest(tea.String("Decrypt"), nil, nil, nil, nil, blob, nil, nil)
				return err
			},
		} {
			if err := call(); err != nil {
				var typed *tea.SDKError
				require.ErrorAs(t, err, &typed)
				require.NotEmpty(t, tea.StringValue(typed.Code))
			}
		}
	})
}
