package shim_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// TestBadInputToAnInstanceIsAnErrorOfTheSDK goes through what applications get wrong. In phase OldOnly an official client's code comes back.
func TestBadInputToAnInstanceIsAnErrorOfTheSDK(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	sealed := gcsMust[dkms.EncryptResponse](t, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello"), Aad: []byte("aad")})
	whole := gcsMust[dkms.AdvanceEncryptResponse](t, w.old.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	id, nobody := tea.String(w.old.data.ID()), tea.String("key-hzz000000000000000000")
	damaged := append([]byte(nil), whole.CiphertextBlob...)
	damaged[len(damaged)-1] ^= 1
	stranger := append([]byte("$\x00\x02key-hzz000000000000000000-0123456789"), whole.CiphertextBlob[3+36:]...)
	short := whole.CiphertextBlob[:40]
	for _, c := range []struct {
		name, operation string
		request         any
		code, says      string
		calls           int // in phase WriteNew; -1: it does not matter
	}{
		{"a key of neither side", "Encrypt", &dkms.EncryptRequest{KeyId: nobody, Plaintext: []byte("p")}, "Forbidden.KeyNotFound", "Add it, or set Keys.Default", 0},
		{"no key", "Encrypt", &dkms.EncryptRequest{Plaintext: []byte("p")}, "", "", 1},
		{"no plaintext", "Encrypt", &dkms.EncryptRequest{KeyId: id}, "MissingParameter", "", 1},
		{"ciphertext of neither side's key", "Decrypt", &dkms.DecryptRequest{KeyId: nobody, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob}, "Forbidden.KeyNotFound", "Neither side opens", 2},
		{"no key and no version", "Decrypt", &dkms.DecryptRequest{Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob}, "InvalidParam", "there is no KeyId with it", 0},
		{"no iv", "Decrypt", &dkms.DecryptRequest{KeyId: id, CiphertextBlob: sealed.CiphertextBlob, Aad: []byte("aad")}, "", "", -1},
		{"short iv", "Decrypt", &dkms.DecryptRequest{KeyId: id, Iv: sealed.Iv[:3], CiphertextBlob: sealed.CiphertextBlob, Aad: []byte("aad")}, "", "", -1},
		{"short ciphertext", "Decrypt", &dkms.DecryptRequest{KeyId: id, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob[:3], Aad: []byte("aad")}, "InvalidParam", "Neither side opens", 2},
		{"wrong algorithm", "Decrypt", &dkms.DecryptRequest{KeyId: id, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Aad: []byte("aad"), Algorithm: tea.String("ROT13")}, "", "", -1},
		{"other aad", "Decrypt", &dkms.DecryptRequest{KeyId: id, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Aad: []byte("other")}, "InvalidParam", "Neither side opens", 2},
		{"no ciphertext", "Decrypt", &dkms.DecryptRequest{KeyId: id, Iv: sealed.Iv}, "MissingParameter", "", 1},
		{"damaged blob", "AdvanceDecrypt", &dkms.AdvanceDecryptRequest{CiphertextBlob: damaged}, "InvalidParam", "", 1},
		{"short blob", "AdvanceDecrypt", &dkms.AdvanceDecryptRequest{CiphertextBlob: short}, "InvalidParam", "names no key", 0},
		{"bytes that are no blob", "AdvanceDecrypt", &dkms.AdvanceDecryptRequest{CiphertextBlob: []byte("abc")}, "InvalidParam", "names no key", 0},
		{"blob of neither side", "AdvanceDecrypt", &dkms.AdvanceDecryptRequest{CiphertextBlob: stranger}, "Forbidden.KeyNotFound", "Neither side opens", 2},
		{"a secret that is none", "GetSecretValue", &dkms.GetSecretValueRequest{SecretName: tea.String("none")}, "Forbidden.ResourceNotFound", "", 1},
		{"a size that is none", "GenerateRandom", &dkms.GenerateRandomRequest{Length: tea.Int32(-1)}, "", "", 1},
		{"a digest that is none", "Sign", &dkms.SignRequest{KeyId: tea.String(w.old.signs.ID()), Algorithm: tea.String("ECDSA_SHA_256"), Message: []byte("short"), MessageType: tea.String("DIGEST")}, "", "", 1},
	} {
		_, directly := gcs(t, w.old.official, c.operation, c.request, nil)
		_, err := gcs(t, w.instance(t, kmsmigrate.OldOnly), c.operation, c.request, nil)
		require.Equal(t, tea.StringValue(gcsError(t, directly).Code), tea.StringValue(gcsError(t, err).Code), c.name)

		i := w.instance(t, kmsmigrate.WriteNew)
		w.cloud.ResetEvidence()
		response, err := gcs(t, i, c.operation, c.request, nil)
		require.NotNil(t, response, "with an error, the plain form returns an empty response")
		got := gcsError(t, err)
		if c.code != "" {
			require.Equal(t, c.code, tea.StringValue(got.Code), c.name)
		}
		require.Contains(t, tea.StringValue(got.Message), c.says, c.name)
		if c.calls >= 0 {
			require.Equal(t, c.calls, w.cloud.Count(kmstest.Match{}), c.name)
		}
		response, err = gcs(t, i, c.operation, c.request, &gcsutil.RuntimeOptions{})
		require.Error(t, err)
		require.Nil(t, response)
	}
}

func TestARequestThatIsNilAndAClientThatWasNotMade(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(t, kmsmigrate.WriteNew)
	_, err := i.Encrypt(nil)
	_ = gcsError(t, err)
	_, err = i.DecryptWithOptions(nil, nil)
	_ = gcsError(t, err)
	var unmade shim.Instance
	_, err = unmade.Encrypt(&dkms.EncryptRequest{})
	_ = gcsError(t, err)
	require.Zero(t, unmade.Stats())
	require.Error(t, unmade.SwitchSecret(t.Context(), "db"))
	require.NoError(t, unmade.Close())
}

// TestAnOutageOfAnInstanceNeverLeadsToTheOther has ciphertext that nobody knows, and a side in trouble.
func TestAnOutageOfAnInstanceNeverLeadsToTheOther(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/data": "alias/data-new"}}
	sealed := gcsMust[dkms.EncryptResponse](t, w.new.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(w.new.data.ID()), Plaintext: []byte("hello")})
	request := &dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob}
	i := w.instance(t, kmsmigrate.ReadBoth)
	once := &gcsutil.RuntimeOptions{Autoretry: tea.Bool(false)}
	for _, code := range []string{"Rejected.Throttling", "InternalFailure", "ServiceUnavailableTemporary", "Forbidden.NoPermission", "Rejected.Disabled", "Unauthorized"} {
		remove := w.cloud.Inject(kmstest.Fault{Match: w.old.instance.Match(), Status: 503, Code: code})
		w.cloud.ResetEvidence()
		_, err := i.DecryptWithOptions(request, once)
		remove()
		require.Equal(t, code, tea.StringValue(gcsError(t, err).Code))
		require.Contains(t, tea.StringValue(gcsError(t, err).Data), `"httpCode":503`)
		require.Equal(t, 1, w.cloud.Count(w.old.instance.Match()), code)
		require.Zero(t, w.cloud.Count(w.new.instance.Match()), code)
	}
	_, err := i.DecryptWithOptions(request, once)
	require.NoError(t, err)
}

// TestWhatIsNoAnswerOfAnInstanceIsAnError has the bodies that load balancers send, where the original returns an empty plaintext and no error.
func TestWhatIsNoAnswerOfAnInstanceIsAnError(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(t, kmsmigrate.ReadBoth)
	request := &dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("pl4nted"), Aad: []byte("b0und")}
	once := &gcsutil.RuntimeOptions{Autoretry: tea.Bool(false)}
	for _, body := range []kmstest.Body{kmstest.BodyEmpty, kmstest.BodyObject, kmstest.BodyNull, kmstest.BodyHTML, kmstest.BodyXMLError, kmstest.BodyTruncated} {
		for _, status := range []int{200, 204, 302, 404, 502, 503} {
			remove := w.cloud.Inject(kmstest.Fault{Body: body, Status: status})
			_, err := i.EncryptWithOptions(request, once)
			remove()
			got := gcsError(t, err)
			require.NotContains(t, err.Error(), "pl4nted")
			require.NotContains(t, err.Error(), "b0und")
			if status >= 502 && body != kmstest.BodyXMLError && body != kmstest.BodyTruncated {
				require.Equal(t, "ServiceUnavailableTemporary", tea.StringValue(got.Code), "%s %d", body, status)
			}
		}
	}
	for _, fault := range []kmstest.Fault{{Outage: true}, {WrongCertificate: true}, {Reset: kmstest.ResetBefore}} {
		remove := w.cloud.Inject(fault)
		fresh := w.instance(t, kmsmigrate.ReadBoth)
		_, err := fresh.EncryptWithOptions(request, once)
		remove()
		require.Equal(t, "ServiceUnavailableTemporary", tea.StringValue(gcsError(t, err).Code))
		require.NotContains(t, err.Error(), "pl4nted")
	}
}

// TestRuntimeOptionsOfAnInstance are those that count.
func TestRuntimeOptionsOfAnInstance(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(t, kmsmigrate.ReadBoth)
	request := &dkms.GenerateRandomRequest{Length: tea.Int32(8)}
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "GenerateRandom"}, Status: 500, Code: "InternalFailure"})
	for _, c := range []struct {
		options gcsutil.RuntimeOptions
		calls   int
	}{
		{gcsutil.RuntimeOptions{Autoretry: tea.Bool(false), MaxAttempts: tea.Int(5)}, 1},
		{gcsutil.RuntimeOptions{MaxAttempts: tea.Int(0)}, 1},
		{gcsutil.RuntimeOptions{MaxAttempts: tea.Int(1)}, 2},
	} {
		w.cloud.ResetEvidence()
		_, err := i.GenerateRandomWithOptions(request, &c.options)
		require.Equal(t, "InternalFailure", tea.StringValue(gcsError(t, err).Code))
		require.Equal(t, c.calls, w.cloud.Count(kmstest.Match{}))
	}
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "GetPublicKey"}, Hang: true})
	_, err := i.GetPublicKeyWithOptions(&dkms.GetPublicKeyRequest{KeyId: tea.String(w.old.signs.ID())}, &gcsutil.RuntimeOptions{ReadTimeout: tea.Int(50)})
	require.Equal(t, "ServiceUnavailableTemporary", tea.StringValue(gcsError(t, err).Code))
}

func TestAConfigOfAnInstanceThatCannotWork(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	for _, c := range []struct {
		change func(*shim.InstanceConfig)
		says   string
	}{
		{func(c *shim.InstanceConfig) { c.Old = alikms.InstanceConfig{} }, "Old is not configured"},
		{func(c *shim.InstanceConfig) { c.New = alikms.InstanceConfig{} }, "New is not configured"},
		{func(c *shim.InstanceConfig) { c.New.CAPEM = []byte("none") }, "new side"},
		{func(c *shim.InstanceConfig) { c.Old.Password = "wrong" }, "does not open"},
		{func(c *shim.InstanceConfig) { c.Keys = kmsmigrate.KeyMap{} }, "key map is empty"},
		{func(c *shim.InstanceConfig) {
			c.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"key-a": "key-b", "key-b": "key-c"}}
		}, "name the last one"},
		{func(c *shim.InstanceConfig) { c.Phase = kmsmigrate.Phase(9) }, "phase"},
	} {
		cfg := w.config
		cfg.Phase = kmsmigrate.WriteNew
		c.change(&cfg)
		_, err := shim.NewMigratingInstance(cfg)
		require.ErrorContains(t, err, c.says)
	}
	for phase, keep := range map[kmsmigrate.Phase]func(*shim.InstanceConfig){
		kmsmigrate.OldOnly: func(c *shim.InstanceConfig) { c.New = alikms.InstanceConfig{} },
		kmsmigrate.NewOnly: func(c *shim.InstanceConfig) { c.Old = alikms.InstanceConfig{} },
	} {
		cfg := w.config
		cfg.Phase = phase
		keep(&cfg)
		i, err := shim.NewMigratingInstance(cfg)
		require.NoError(t, err)
		sealed, err := i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")})
		require.NoError(t, err)
		opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, "hello", string(opened.Plaintext))
		require.NoError(t, i.Close())
		_, err = i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")})
		_ = gcsError(t, err)
	}
}

// TestWhatCannotBeSentIsFoundOutWithoutACall has texts that are not UTF-8, and a header that no request can have.
func TestWhatCannotBeSentIsFoundOutWithoutACall(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(t, kmsmigrate.ReadBoth)
	w.cloud.ResetEvidence()
	_, err := i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String("\xff"), Plaintext: []byte("hello")})
	require.Equal(t, "InvalidParameter", tea.StringValue(gcsError(t, err).Code))
	_, err = i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello"), Headers: map[string]*string{"x-mine": tea.String("a\nb")}})
	require.Equal(t, "InvalidParameter", tea.StringValue(gcsError(t, err).Code))
	require.Zero(t, w.cloud.Count(kmstest.Match{}))
}
