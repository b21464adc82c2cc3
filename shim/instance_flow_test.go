package shim_test

import (
	"encoding/base64"
	"sync"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// TestWhatAnInstanceWroteOpensWithoutIt takes the shim out again in every phase, with the official client of the side that was written.
func TestWhatAnInstanceWroteOpensWithoutIt(t *testing.T) {
	t.Parallel()
	for _, hardware := range []bool{false, true} {
		spec := kmstest.InstanceSpec{Hardware: hardware}
		w := newGCSWorld(t, spec, spec)
		for _, phase := range phases {
			i, official := w.instance(t, phase), w.side(phase.Writes()).official
			for _, aad := range [][]byte{nil, []byte("tenant 7")} {
				sealed, err := i.Encrypt(&dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte{0, 0xff, 'x'}, Aad: aad})
				require.NoError(t, err)
				opened, err := official.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: aad})
				require.NoError(t, err)
				require.Equal(t, []byte{0, 0xff, 'x'}, opened.Plaintext)

				key, err := i.GenerateDataKey(&dkms.GenerateDataKeyRequest{KeyId: tea.String(w.old.data.ARN()), NumberOfBytes: tea.Int32(32), Aad: aad})
				require.NoError(t, err)
				opened, err = official.Decrypt(&dkms.DecryptRequest{KeyId: key.KeyId, Iv: key.Iv, CiphertextBlob: key.CiphertextBlob, Algorithm: key.Algorithm, Aad: aad})
				require.NoError(t, err)
				require.Equal(t, key.Plaintext, opened.Plaintext)

				pair, err := i.GenerateDataKeyPair(&dkms.GenerateDataKeyPairRequest{KeyId: tea.String(w.old.data.ID()), KeyPairSpec: tea.String("EC_P256"), KeyFormat: tea.String("DER"), Aad: aad})
				require.NoError(t, err)
				opened, err = official.Decrypt(&dkms.DecryptRequest{KeyId: pair.KeyId, Iv: pair.Iv, CiphertextBlob: pair.PrivateKeyCiphertextBlob, Algorithm: pair.Algorithm, Aad: aad})
				require.NoError(t, err)
				require.Equal(t, pair.PrivateKeyPlaintext, opened.Plaintext)
				if hardware {
					continue
				}
				whole, err := i.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello"), Aad: aad})
				require.NoError(t, err)
				back, err := official.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob, Aad: aad})
				require.NoError(t, err)
				require.Equal(t, "hello", string(back.Plaintext))
			}
		}
	}
}

// TestAdvanceBlobsCannotMoveToHardware has the new instance's refusal passed on, and nothing lost.
func TestAdvanceBlobsCannotMoveToHardware(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{Hardware: true})
	whole := gcsMust[dkms.AdvanceEncryptResponse](t, w.old.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	i := w.instance(t, kmsmigrate.WriteNew)
	_, err := i.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")})
	require.Equal(t, "UnsupportedOperation", tea.StringValue(gcsError(t, err).Code))
	opened, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, "hello", string(opened.Plaintext))
}

// TestOneInstanceServesManyGoroutines is for the race detector; they share the requests, too.
func TestOneInstanceServesManyGoroutines(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	phase := new(kmsmigrate.PhaseSwitch)
	require.NoError(t, phase.Jump(kmsmigrate.ReadBoth))
	i := w.instance(t, phase)
	seal := &dkms.EncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello"), Aad: []byte("aad")}
	whole := &dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")}
	runtime := &gcsutil.RuntimeOptions{Headers: []*string{tea.String("x-kms-migrationkeyversionid")}}
	var wait sync.WaitGroup
	for n := range 64 {
		wait.Go(func() {
			if n == 32 {
				if err := phase.Set(kmsmigrate.WriteNew); err != nil {
					t.Errorf("%v", err)
				}
			}
			sealed, err := i.EncryptWithOptions(seal, runtime)
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Aad: []byte("aad")})
			if err != nil || string(opened.Plaintext) != "hello" {
				t.Errorf("%v", err)
			}
			blob, err := i.AdvanceEncrypt(whole)
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			back, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: blob.CiphertextBlob})
			if err != nil || string(back.Plaintext) != "hello" {
				t.Errorf("%v", err)
			}
		})
	}
	wait.Wait()
	stats := i.Stats()
	require.Equal(t, int64(256), stats.Old+stats.New)
}

// TestAnApplicationThatGoesOnNamingTheOldKey ignores the KeyId that Encrypt returns, and names the key of its configuration for ever.
func TestAnApplicationThatGoesOnNamingTheOldKey(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	for _, named := range []string{w.old.data.ID(), "alias/data"} {
		var values []*dkms.EncryptResponse
		for _, phase := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
			i := w.instance(t, phase)
			sealed, err := i.Encrypt(&dkms.EncryptRequest{KeyId: &named, Plaintext: []byte("hello")})
			require.NoError(t, err)
			values = append(values, sealed)
			for _, value := range values {
				opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: &named, Iv: value.Iv, CiphertextBlob: value.CiphertextBlob})
				require.NoError(t, err, phase)
				require.Equal(t, "hello", string(opened.Plaintext))
				require.Equal(t, tea.StringValue(value.KeyId), tea.StringValue(opened.KeyId))
			}
		}
		last := w.instance(t, kmsmigrate.NewOnly)
		opened, err := last.Decrypt(&dkms.DecryptRequest{KeyId: &named, Iv: values[3].Iv, CiphertextBlob: values[3].CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, "hello", string(opened.Plaintext))
		_, err = last.Decrypt(&dkms.DecryptRequest{KeyId: &named, Iv: values[0].Iv, CiphertextBlob: values[0].CiphertextBlob})
		require.Contains(t, tea.StringValue(gcsError(t, err).Message), "new-only")
	}
}

// TestKeysThatAreKnownByAliasAlone has a process that starts afresh and reads ids it has never seen.
func TestKeysThatAreKnownByAliasAlone(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/data": "alias/data-new"}}
	for _, side := range []kmsmigrate.Side{kmsmigrate.SideOld, kmsmigrate.SideNew} {
		s := w.side(side)
		sealed := gcsMust[dkms.EncryptResponse](t, s.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(s.data.ID()), Plaintext: []byte("hello")})
		whole := gcsMust[dkms.AdvanceEncryptResponse](t, s.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(s.data.ID()), Plaintext: []byte("hello")})
		for _, phase := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.NewOnly} {
			if !phase.Reads(side) {
				continue
			}
			i := w.instance(t, phase)
			first := 1
			if phase.Writes() != side {
				first = 2 // the likelier side is asked first
			}
			for _, calls := range []int{first, 1} { // and what it says is remembered
				w.cloud.ResetEvidence()
				opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob})
				require.NoError(t, err)
				require.Equal(t, "hello", string(opened.Plaintext))
				require.Equal(t, calls, w.cloud.Count(kmstest.Match{}), "%s, of the %s side", phase, side)
			}
			back, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob})
			require.NoError(t, err)
			require.Equal(t, "hello", string(back.Plaintext))
		}
	}
}

// TestTwoKeysOfOneInstance migrates within an instance, where either side opens everything and only the key id tells.
func TestTwoKeysOfOneInstance(t *testing.T) {
	t.Parallel()
	for _, alias := range []bool{false, true} {
		w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
		key, err := w.old.instance.CreateKey(kmstest.KeySpec{Alias: "alias/next"})
		require.NoError(t, err)
		w.config.New = w.config.Old
		to := key.ID()
		if alias {
			to = "alias/next"
		}
		w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/data": to, w.old.data.ID(): to}}
		sealed, err := w.instance(t, kmsmigrate.WriteNew).AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")})
		require.NoError(t, err)
		require.Equal(t, key.ID(), tea.StringValue(sealed.KeyId))
		old := gcsMust[dkms.AdvanceEncryptResponse](t, w.old.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String("alias/data"), Plaintext: []byte("hello")})

		both, last := w.instance(t, kmsmigrate.Rewrite), w.instance(t, kmsmigrate.NewOnly)
		opened, err := both.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: old.CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, "true", gcsHeader(opened, "x-keyhaul-stale"))
		opened, err = both.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err)
		require.Empty(t, gcsHeader(opened, "x-keyhaul-stale"))

		opened, err = last.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err)
		require.Equal(t, "hello", string(opened.Plaintext))
		_, err = last.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: old.CiphertextBlob})
		require.Equal(t, "Forbidden.KeyNotFound", tea.StringValue(gcsError(t, err).Code))
	}
}

// TestARestoredCloneIsTheNewSides has the same key id in both instances.
func TestARestoredCloneIsTheNewSides(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	backup, err := w.old.instance.Backup()
	require.NoError(t, err)
	region, err := w.cloud.Region("cn-beijing")
	require.NoError(t, err)
	clone, err := region.CreateInstance(kmstest.InstanceSpec{Name: "clone"})
	require.NoError(t, err)
	require.NoError(t, clone.Restore(backup))
	clientKey, err := clone.CreateClientKey()
	require.NoError(t, err)
	w.config.New = clone.InstanceConfig(clientKey)
	id := w.old.data.ID()
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{id: id, w.old.signs.ID(): w.old.signs.ID()}}
	sealed := gcsMust[dkms.EncryptResponse](t, w.old.official, "Encrypt", &dkms.EncryptRequest{KeyId: &id, Plaintext: []byte("hello")})
	for _, phase := range phases {
		w.cloud.ResetEvidence()
		i := w.instance(t, phase)
		opened, err := i.Decrypt(&dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob})
		require.NoError(t, err, phase)
		require.Equal(t, "hello", string(opened.Plaintext))
		require.Empty(t, gcsHeader(opened, "x-keyhaul-stale"))
		require.Equal(t, phase != kmsmigrate.OldOnly, w.cloud.Count(clone.Match()) == 1, phase)
		public, err := i.GetPublicKey(&dkms.GetPublicKeyRequest{KeyId: tea.String(w.old.signs.ID())})
		require.NoError(t, err, phase)
		require.Equal(t, phase == kmsmigrate.NewOnly, gcsHeader(public, "x-keyhaul-side") == "new")
	}
}

func TestAnInstanceAnswersWithOldIDsWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	version := w.old.data.VersionID()
	w.config.AnswerOldIDs = true
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{w.old.data.ID(): w.new.data.ID()}}
	w.config.Old.Versions = map[string][]string{w.old.data.ID(): {version}}
	i := w.instance(t, kmsmigrate.WriteNew)
	whole, err := i.AdvanceEncrypt(&dkms.AdvanceEncryptRequest{KeyId: tea.String(w.old.data.ID()), Plaintext: []byte("hello")})
	require.NoError(t, err)
	require.Equal(t, w.new.data.ID(), tea.StringValue(whole.KeyId), "it is stored, and must be the real one")
	opened, err := i.AdvanceDecrypt(&dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob})
	require.NoError(t, err)
	require.Equal(t, []string{w.old.data.ID(), version}, []string{tea.StringValue(opened.KeyId), tea.StringValue(opened.KeyVersionId)})
	require.Equal(t, int64(1), i.Stats().AnsweredOldID)
}

func TestDoRequestIsRoutedToo(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	i := w.instance(t, kmsmigrate.WriteNew)
	do := func(client interface {
		DoRequest(apiName, apiVersion, protocol, method, signatureMethod *string, body []byte, runtime *gcsutil.RuntimeOptions, headers map[string]*string) (map[string]any, error)
	}, name string, request proto.Message, answer proto.Message) (map[string]any, error) {
		body, err := proto.Marshal(request)
		require.NoError(t, err)
		got, err := client.DoRequest(&name, tea.String("dkms-gcs-0.2"), tea.String("https"), tea.String("POST"), tea.String("RSA_PKCS1_SHA_256"), body,
			&gcsutil.RuntimeOptions{Headers: []*string{tea.String("x-kms-migrationkeyversionid")}}, nil)
		if err != nil {
			return nil, err
		}
		text, ok := got["bodyBytes"].(string)
		require.True(t, ok)
		raw, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(raw, answer))
		headers, ok := got["responseHeaders"].(map[string]any)
		require.True(t, ok)
		return headers, nil
	}
	var ours, theirs api.EncryptResponse
	headers, err := do(i, "Encrypt", &api.EncryptRequest{KeyId: w.old.data.ID(), Plaintext: []byte("hello")}, &ours)
	require.NoError(t, err)
	require.Equal(t, w.new.data.ID(), ours.KeyId)
	direct, err := do(w.new.official, "Encrypt", &api.EncryptRequest{KeyId: w.new.data.ID(), Plaintext: []byte("hello")}, &theirs)
	require.NoError(t, err)
	require.Equal(t, direct["x-kms-migrationkeyversionid"], headers["x-kms-migrationkeyversionid"])
	require.Equal(t, "new", headers["x-keyhaul-side"])

	_, err = do(i, "Hmac", &api.HmacRequest{}, &api.HmacResponse{})
	require.Equal(t, "InvalidApiName", tea.StringValue(gcsError(t, err).Code))
	_, err = i.DoRequest(tea.String("Encrypt"), nil, nil, nil, nil, []byte{0xff, 0xff}, nil, nil)
	require.Equal(t, "InvalidParam", tea.StringValue(gcsError(t, err).Code))
}

func TestASecretOfAnInstanceIsSwitchedOnceItsCopyIsRight(t *testing.T) {
	t.Parallel()
	w := newGCSWorld(t, kmstest.InstanceSpec{}, kmstest.InstanceSpec{})
	_, err := w.old.instance.CreateSecret(kmstest.SecretSpec{Name: "other", Value: "one s3cret", Key: w.old.data})
	require.NoError(t, err)
	_, err = w.new.instance.CreateSecret(kmstest.SecretSpec{Name: "other", Value: "another s3cret", Key: w.new.data})
	require.NoError(t, err)
	require.ErrorIs(t, w.instance(t, kmsmigrate.WriteNew).SwitchSecret(t.Context(), "db"), kmsmigrate.ErrInvalid)
	w.config.Secrets = new(shim.Secrets)
	i := w.instance(t, kmsmigrate.WriteNew)
	require.NoError(t, i.SwitchSecret(t.Context(), "db"))
	for _, c := range []struct{ name, holds string }{{"other", "SecretData"}, {"nothing", "Forbidden.ResourceNotFound"}} {
		err := i.SwitchSecret(t.Context(), c.name)
		require.ErrorContains(t, err, c.holds)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for name, side := range map[string]string{"db": "new", "other": "old"} {
		got, err := i.GetSecretValue(&dkms.GetSecretValueRequest{SecretName: &name})
		require.NoError(t, err)
		require.Equal(t, side, gcsHeader(got, "x-keyhaul-side"))
		require.NotEmpty(t, got.VersionStages)
	}
}
