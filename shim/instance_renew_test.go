package shim_test

import (
	"sync"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// renewals collects what OnStale is told.
type renewals struct {
	mu  sync.Mutex
	all [][2]shim.Stored
}

func (r *renewals) add(old, renewed shim.Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, [2]shim.Stored{old, renewed})
}

// wait returns the only renewal once it is there.
func (r *renewals) wait(t *testing.T) (old, renewed shim.Stored) {
	t.Helper()
	require.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.all) == 1 }, patience, time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.all[0]
	r.all = nil
	return last[0], last[1]
}

// TestStaleValuesOfAnInstanceAreMadeAnew reads every kind of value in phase Rewrite, and opens what OnStale is given with the official client of the
// new side.
func TestStaleValuesOfAnInstanceAreMadeAnew(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"by id", "by alias"} {
		w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
		if keys == "by alias" {
			w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/data": "alias/data-new", "alias/rsa": "alias/rsa-new"}}
		}
		var told renewals
		w.config.OnStale = told.add
		i := w.instance(t, kmsmigrate.Rewrite)
		aad := []byte("tenant 7")

		sealed := gcsMust[dkms.EncryptResponse](t, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello"), Aad: aad})
		fields := &dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: aad}
		opened, err := i.Decrypt(fields)
		require.NoError(t, err)
		clear(opened.Plaintext) // what was handed out is the caller's
		old, renewed := told.wait(t)
		require.Equal(t, shim.Stored{KeyID: *sealed.KeyId, IV: sealed.Iv, Ciphertext: sealed.CiphertextBlob, Algorithm: *sealed.Algorithm}, old)
		require.Equal(t, w.new.data.ID(), renewed.KeyID)
		direct, err := w.new.official.Decrypt(&dkms.DecryptRequest{KeyId: &renewed.KeyID, Iv: renewed.IV, CiphertextBlob: renewed.Ciphertext, Algorithm: &renewed.Algorithm, Aad: aad})
		require.NoError(t, err)
		require.Equal(t, "hello", string(direct.Plaintext))
		opened, err = i.Decrypt(&dkms.DecryptRequest{KeyId: &renewed.KeyID, Iv: renewed.IV, CiphertextBlob: renewed.Ciphertext, Algorithm: &renewed.Algorithm, Aad: aad})
		require.NoError(t, err)
		require.Empty(t, gcsHeader(opened, "x-keyhaul-stale"))

		back, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: aad})
		require.NoError(t, err)
		require.Equal(t, "true", gcsHeader(back, "x-keyhaul-stale"))
		_, renewed = told.wait(t)
		require.NotEqual(t, byte('$'), renewed.Ciphertext[0], "four fields stay four fields")

		whole := gcsMust[dkms.AdvanceEncryptResponse](t, w.old.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello"), Aad: aad})
		_, err = i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob, Aad: aad})
		require.NoError(t, err)
		old, renewed = told.wait(t)
		require.Equal(t, shim.Stored{Ciphertext: whole.CiphertextBlob}, old)
		again, err := w.new.official.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: renewed.Ciphertext, Aad: aad})
		require.NoError(t, err)
		require.Equal(t, "hello", string(again.Plaintext))
		require.NotContains(t, renewed.String(), string(renewed.Ciphertext))

		if keys == "by alias" {
			continue // one byte cannot be encrypted with an RSA key without an algorithm, so its alias stays unknown
		}
		bound := gcsMust[dkms.EncryptResponse](t, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.old.rsa.ID()), Algorithm: tea.String("RSAES_OAEP_SHA_256"), Plaintext: []byte("hello")})
		_, err = i.Decrypt(&dkms.DecryptRequest{KeyId: bound.KeyId, CiphertextBlob: bound.CiphertextBlob, Algorithm: bound.Algorithm})
		require.NoError(t, err)
		_, renewed = told.wait(t)
		direct, err = w.new.official.Decrypt(&dkms.DecryptRequest{KeyId: &renewed.KeyID, CiphertextBlob: renewed.Ciphertext, Algorithm: &renewed.Algorithm})
		require.NoError(t, err)
		require.Equal(t, "hello", string(direct.Plaintext))
		require.Equal(t, int64(4), i.Stats().Renewed)
		require.Equal(t, int64(4), i.Stats().Stale)
	}
}

// TestARenewalOfAnInstanceThatDoesNotOpenIsNotHandedOut breaks the new side between the two calls of a renewal.
func TestARenewalOfAnInstanceThatDoesNotOpenIsNotHandedOut(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	w.config.OnStale = func(shim.Stored, shim.Stored) { t.Error("handed out") }
	w.config.New.Limits.Attempts = 1
	i := w.instance(t, kmsmigrate.Rewrite)
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Instance: w.new.instance.ID, Action: "Decrypt"}, Status: 500, Code: "InternalFailure"})
	sealed := gcsMust[dkms.EncryptResponse](t, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, "hello", string(opened.Plaintext))
	require.Eventually(t, func() bool { return i.Stats().RenewFailed == 1 }, patience, time.Millisecond)
}
