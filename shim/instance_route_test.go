package shim_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	dkms "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

func TestInstanceHasEveryMethodOfTheOriginal(t *testing.T) {
	t.Parallel()
	original, ours := reflect.TypeFor[*dkms.Client](), reflect.TypeFor[*shim.Instance]()
	require.Equal(t, 32, original.NumMethod())
	for n := range original.NumMethod() {
		want := original.Method(n)
		got, found := ours.MethodByName(want.Name)
		require.True(t, found, want.Name)
		require.Equal(t, signature(want), signature(got), want.Name)
	}
}

// gcsRow is a call of an application.
type gcsRow struct {
	operation, variant string
	request            any
	rule               string
	key                func(*gcsSide) *kmstest.Key // that does the work; nil where none does
}

const (
	ofOld   = "the old side, while it is read"
	ofNew   = "the new side, once it is read"
	onlyNew = "the new side in any phase"
)

func dataKey(s *gcsSide) *kmstest.Key { return s.data }
func rsaKey(s *gcsSide) *kmstest.Key  { return s.rsa }
func signKey(s *gcsSide) *kmstest.Key { return s.signs }

// gcsRows is every operation in its variants. software says that both instances do Advance operations.
func gcsRows(t *testing.T, w *gcsWorld, software bool) []gcsRow {
	t.Helper()
	var rows []gcsRow
	add := func(operation, variant, rule string, key func(*gcsSide) *kmstest.Key, request any) {
		rows = append(rows, gcsRow{operation, variant, request, rule, key})
	}
	writes := func(key string) map[string]any {
		id := tea.String(key)
		spec, format := tea.String("EC_P256"), tea.String("PEM")
		all := map[string]any{
			"Encrypt":                             &dkms.EncryptRequest{KeyId: id, Plaintext: []byte("hello"), Aad: []byte("aad")},
			"GenerateDataKey":                     &dkms.GenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(32), Aad: []byte("aad")},
			"GenerateDataKeyPair":                 &dkms.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format},
			"GenerateDataKeyPairWithoutPlaintext": &dkms.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format},
		}
		if software {
			all["AdvanceEncrypt"] = &dkms.AdvanceEncryptRequest{KeyId: id, Plaintext: []byte("hello"), Aad: []byte("aad")}
			all["AdvanceGenerateDataKey"] = &dkms.AdvanceGenerateDataKeyRequest{KeyId: id, NumberOfBytes: tea.Int32(16)}
			all["AdvanceGenerateDataKeyPair"] = &dkms.AdvanceGenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format}
			all["AdvanceGenerateDataKeyPairWithoutPlaintext"] = &dkms.AdvanceGenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: spec, KeyFormat: format}
		}
		return all
	}
	for variant, key := range map[string]string{"old id": w.old.data.ID(), "old alias": "alias/data", "old ARN": w.old.data.ARN()} {
		for operation, request := range writes(key) {
			add(operation, variant, byPhase, dataKey, request)
		}
	}
	for operation, request := range writes(w.new.data.ID()) {
		add(operation, "new id", onlyNew, dataKey, request)
	}
	rsa := tea.String("RSAES_OAEP_SHA_256")
	add("Encrypt", "RSA", byPhase, rsaKey, &dkms.EncryptRequest{KeyId: tea.String(w.old.rsa.ID()), Algorithm: rsa, Plaintext: []byte("hello")})
	add("GenerateRandom", "", byPhase, nil, &dkms.GenerateRandomRequest{Length: tea.Int32(24)})
	for rule, s := range map[string]*gcsSide{ofOld: &w.old, ofNew: &w.new} {
		sealed := gcsMust[dkms.EncryptResponse](t, s.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(s.data.ID()), Plaintext: []byte("hello"), Aad: []byte("aad")})
		add("Decrypt", "four fields", rule, dataKey, &dkms.DecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: []byte("aad")})
		bound := gcsMust[dkms.EncryptResponse](t, s.official, "Encrypt", &dkms.EncryptRequest{KeyId: tea.String(s.rsa.ID()), Algorithm: rsa, Plaintext: []byte("hello")})
		add("Decrypt", "RSA", rule, rsaKey, &dkms.DecryptRequest{KeyId: bound.KeyId, CiphertextBlob: bound.CiphertextBlob, Algorithm: bound.Algorithm})
		version := map[string]*string{"x-kms-migrationkeyversionid": tea.String(s.data.VersionID())}
		add("Decrypt", "by version", rule, dataKey, &dkms.DecryptRequest{Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: []byte("aad"), Headers: version})
		if software {
			add("AdvanceDecrypt", "four fields", rule, dataKey, &dkms.AdvanceDecryptRequest{KeyId: sealed.KeyId, Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob, Algorithm: sealed.Algorithm, Aad: []byte("aad")})
			whole := gcsMust[dkms.AdvanceEncryptResponse](t, s.official, "AdvanceEncrypt", &dkms.AdvanceEncryptRequest{KeyId: tea.String(s.data.ID()), Plaintext: []byte("hello")})
			add("AdvanceDecrypt", "blob", rule, dataKey, &dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob})
			add("AdvanceDecrypt", "blob and name", rule, dataKey, &dkms.AdvanceDecryptRequest{CiphertextBlob: whole.CiphertextBlob, KeyId: tea.String(w.old.data.ID())})
		}
		signed := gcsMust[dkms.SignResponse](t, s.official, "Sign", &dkms.SignRequest{KeyId: tea.String(s.signs.ID()), Algorithm: tea.String("ECDSA_SHA_256"), Message: []byte("message"), MessageType: tea.String("RAW")})
		kept := ofOld
		if rule == ofNew {
			kept = onlyNew
		}
		add("Verify", "", kept, signKey, &dkms.VerifyRequest{KeyId: tea.String(s.signs.ID()), Algorithm: tea.String("ECDSA_SHA_256"), Message: []byte("message"), MessageType: tea.String("RAW"), Signature: signed.Signature})
		add("GetPublicKey", "", kept, signKey, &dkms.GetPublicKeyRequest{KeyId: tea.String(s.signs.ID())})
	}
	add("Sign", "", "old signs", signKey, &dkms.SignRequest{KeyId: tea.String(w.old.signs.ID()), Algorithm: tea.String("ECDSA_SHA_256"), Message: []byte("message"), MessageType: tea.String("RAW")})
	add("GetSecretValue", "", "secrets", nil, &dkms.GetSecretValueRequest{SecretName: tea.String("db"), FetchExtendedConfig: tea.Bool(true)})
	return rows
}

// owner is the side that must be called, or SideUnknown where nobody may be.
func (row gcsRow) owner(phase kmsmigrate.Phase) kmsmigrate.Side {
	switch row.rule {
	case byPhase:
		return phase.Writes()
	case ofOld:
		if !phase.Reads(kmsmigrate.SideOld) {
			return kmsmigrate.SideUnknown
		}
		return kmsmigrate.SideOld
	case ofNew:
		if phase == kmsmigrate.OldOnly {
			return kmsmigrate.SideOld // as it is, and refused there
		}
		return kmsmigrate.SideNew
	case onlyNew:
		return kmsmigrate.SideNew
	case "secrets":
		if phase == kmsmigrate.NewOnly {
			return kmsmigrate.SideNew
		}
		return kmsmigrate.SideOld
	default:
		return kmsmigrate.SideOld
	}
}

func TestEveryOperationOfAnInstanceGoesToItsSide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ oldHardware, newHardware bool }{{false, false}, {true, true}, {false, true}, {true, false}} {
		t.Run(fmt.Sprintf("hardware %t to %t", c.oldHardware, c.newHardware), func(t *testing.T) {
			t.Parallel()
			w := newGCSWorld(t, kmstest.InstanceSpec{Hardware: c.oldHardware}, kmstest.InstanceSpec{Hardware: c.newHardware})
			rows := gcsRows(t, w, !c.oldHardware && !c.newHardware)
			done, direct := map[string]bool{}, map[string]string{}
			for _, phase := range phases {
				if c.oldHardware != c.newHardware && !phase.Rewrites() {
					continue // of a mix, the phase with most in it will do
				}
				i := w.instance(t, phase)
				for _, row := range rows {
					for _, runtime := range []*gcsutil.RuntimeOptions{nil, {Headers: []*string{tea.String("x-kms-migrationkeyversionid")}}} {
						what := strings.Join([]string{phase.String(), row.operation, row.variant, row.rule}, ", ")
						goesThere(t, w, i, phase, row, runtime, what, direct)
					}
					done[row.operation] = true
				}
			}
			if !c.oldHardware && !c.newHardware {
				require.Len(t, done, 15)
			}
		})
	}
}

// goesThere carries out a row and looks at which side was called, how often, with which key, and what came of it.
func goesThere(t *testing.T, w *gcsWorld, i *shim.Instance, phase kmsmigrate.Phase, row gcsRow, runtime *gcsutil.RuntimeOptions, what string, official map[string]string) {
	t.Helper()
	w.cloud.ResetEvidence()
	got, err := gcs(t, i, row.operation, row.request, runtime)
	called := w.cloud.Requests(kmstest.Match{})
	owner := row.owner(phase)
	if owner == kmsmigrate.SideUnknown {
		if row.variant == "four fields" || row.variant == "RSA" {
			// The new key of the old one that is named has been tried, for who goes on naming the old one.
			require.Len(t, called, 1, what)
			require.Equal(t, row.key(&w.new).ID(), called[0].KeyID, what)
		} else {
			require.Empty(t, called, what)
		}
		require.Equal(t, "Forbidden.KeyNotFound", tea.StringValue(gcsError(t, err).Code), what)
		return
	}
	require.Len(t, called, 1, what)
	s := w.side(owner)
	require.Equal(t, s.instance.ID, called[0].Instance, what)
	require.Equal(t, row.operation, called[0].Action, what)
	require.True(t, called[0].TLS, what)
	if phase == kmsmigrate.OldOnly && row.rule == ofNew {
		_ = gcsError(t, err)
		return
	}
	require.NoError(t, err, what)
	if row.key != nil {
		require.Equal(t, row.key(s).ID(), called[0].KeyID, what)
		require.Equal(t, row.key(s).ID(), gcsField(got, "KeyId"), what)
	}
	require.Equal(t, owner.String(), gcsHeader(got, "x-keyhaul-side"), what)
	stale := ""
	if phase == kmsmigrate.Rewrite && row.rule == ofOld && strings.Contains(row.operation, "Decrypt") {
		stale = "true"
	}
	require.Equal(t, stale, gcsHeader(got, "x-keyhaul-stale"), what)

	// The same call through the official client of that side gives an equal answer.
	same := fmt.Sprint(row.operation, row.variant, row.rule, owner, runtime != nil)
	if official[same] == "" {
		direct := reflect.New(reflect.TypeOf(row.request).Elem())
		direct.Elem().Set(reflect.ValueOf(row.request).Elem())
		if id := direct.Elem().FieldByName("KeyId"); id.IsValid() && !id.IsNil() && row.key != nil {
			id.Set(reflect.ValueOf(tea.String(row.key(s).ID())))
		}
		want, err := gcs(t, s.official, row.operation, direct.Interface(), runtime)
		require.NoError(t, err, what)
		official[same] = gcsBlank(t, want)
	}
	require.Equal(t, official[same], gcsBlank(t, got), what)
}
