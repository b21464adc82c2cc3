package shim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

var phases = []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly}

const (
	toOld    = "old"
	toNew    = "new"
	byPhase  = "writes"   // old until WriteNew
	refused  = "refused"  // no call
	oldBlob  = "old blob" // old, refused in NewOnly
	newBlob  = "new blob" // new, and old in OldOnly
	bySecret = "secret"   // old until NewOnly
)

// expect says who is called for what, independently of the code.
func expect(rule string, phase kmsmigrate.Phase) string {
	switch rule {
	case byPhase:
		if phase >= kmsmigrate.WriteNew {
			return toNew
		}
		return toOld
	case oldBlob:
		if phase == kmsmigrate.NewOnly {
			return refused
		}
		return toOld
	case newBlob:
		if phase == kmsmigrate.OldOnly {
			return toOld
		}
		return toNew
	case bySecret:
		if phase == kmsmigrate.NewOnly {
			return toNew
		}
		return toOld
	default:
		return rule
	}
}

// operation is one row: an action with parameters, and who is called with which key.
type operation struct {
	action, variant string
	fields          map[string]string
	rule            string
	oldKey, newKey  string // that did the work on either side; empty: not looked at
}

func operations(t *testing.T, w *world) []operation {
	t.Helper()
	onOld, onNew := sdkClient(t, w.oldAt), sdkClient(t, w.newAt)
	encrypt := func(client any, id string) string {
		got, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": id, "Plaintext": "cGxhaW4="})
		require.NoError(t, err)
		return text(t, got, "CiphertextBlob")
	}
	ofOld, ofNew := encrypt(onOld, w.old.ID()), encrypt(onNew, w.new.ID())
	rows := []operation{
		{"Decrypt", "old", map[string]string{"CiphertextBlob": ofOld}, oldBlob, w.old.ID(), ""},
		{"Decrypt", "new", map[string]string{"CiphertextBlob": ofNew}, newBlob, "", w.new.ID()},
		{"GetSecretValue", "", map[string]string{"SecretName": "db"}, bySecret, "", ""},
		{"DescribeSecret", "", map[string]string{"SecretName": "db"}, bySecret, "", ""},
		{"PutSecretValue", "", map[string]string{"SecretName": "db", "VersionId": "v1", "SecretData": "s3cret"}, bySecret, "", ""},
		{"ListSecretVersionIds", "", map[string]string{"SecretName": "db"}, bySecret, "", ""},
		{"DescribeKey", "old", map[string]string{"KeyId": w.old.ID()}, toOld, w.old.ID(), ""},
		{"DescribeKey", "old alias", map[string]string{"KeyId": "alias/app"}, toOld, w.old.ID(), ""},
		{"DescribeKey", "old ARN", map[string]string{"KeyId": w.old.ARN()}, toOld, w.old.ID(), ""},
		{"DescribeKey", "new", map[string]string{"KeyId": w.new.ID()}, toNew, "", w.new.ID()},
		{"DescribeKey", "new ARN", map[string]string{"KeyId": w.new.ARN()}, toNew, "", w.new.ID()},
		{"UpdateKeyDescription", "new", map[string]string{"KeyId": w.new.ID(), "Description": "d"}, toNew, "", w.new.ID()},
		{"EnableKey", "old", map[string]string{"KeyId": w.old.ID()}, toOld, w.old.ID(), ""},
		{"SetDeletionProtection", "new", map[string]string{"ProtectedResourceArn": w.new.ARN(), "EnableDeletionProtection": "false"}, toNew, "", ""},
		{"UpdateAlias", "old", map[string]string{"AliasName": "alias/app", "KeyId": w.old.ID()}, toOld, "", ""},
		{"ListAliasesByKeyId", "new", map[string]string{"KeyId": w.new.ID()}, toNew, "", ""},
	}
	for _, action := range []string{"Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"} {
		for _, name := range []string{w.old.ID(), w.old.ARN(), "alias/app"} {
			fields := map[string]string{"KeyId": name}
			if action == "Encrypt" {
				fields["Plaintext"] = "cGxhaW4="
			}
			rows = append(rows, operation{action, name, fields, byPhase, w.old.ID(), w.new.ID()})
		}
		fields := map[string]string{"KeyId": w.new.ID(), "Plaintext": "cGxhaW4="}
		rows = append(rows, operation{action, "a new key", fields, toNew, "", w.new.ID()})
	}
	done := map[string]bool{"ReEncrypt": true}
	for _, row := range rows {
		done[row.action] = true
	}
	for _, action := range actions() {
		switch {
		case done[action]:
		case strings.HasPrefix(action, "Asymmetric"), action == "GetPublicKey", action == "ExportDataKey", action == "GenerateAndExportDataKey":
			// They have tests of their own below.
		default:
			rule := toOld
			if action == "AdvanceEncrypt" {
				rule = byPhase
			}
			rows = append(rows, operation{action: action, variant: "names nothing", rule: rule})
		}
	}
	return rows
}

// text returns a field of an answer in either format.
func text(t *testing.T, got interface{ GetHttpContentBytes() []byte }, field string) string {
	t.Helper()
	body := string(got.GetHttpContentBytes())
	if strings.HasPrefix(body, "<") {
		_, rest, ok := strings.Cut(body, "<"+field+">")
		require.True(t, ok, "no %s", field)
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	return fmt.Sprint(fields[field])
}

func TestEveryOperationGoesToItsSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, region := range []*kmstest.Region{w.oldAt, w.newAt} {
		_, err := region.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "s3cret"})
		require.NoError(t, err)
	}
	rows := operations(t, w)
	require.Greater(t, len(rows), 90)
	for _, phase := range phases {
		unmodified := w.client(t, w.transport(t, phase))
		unmodified.EnableAsync(2, 10)
		goesToItsSide(t, w, phase, rows, unmodified)
		unmodified.Shutdown()
		goesToItsSide(t, w, phase, rows, w.migrating(t, phase))
	}
}

// goesToItsSide calls every operation by every form in both formats.
func goesToItsSide(t *testing.T, w *world, phase kmsmigrate.Phase, rows []operation, client any) {
	t.Helper()
	for n, row := range rows {
		for i, f := range forms {
			if row.variant == "names nothing" && (n+int(phase))%len(forms) != i {
				continue // they take one path; over the phases each form has its turn
			}
			for k, format := range []string{"JSON", "XML"} {
				if _, ours := client.(*shim.Client); ours && (n+i+k)%2 == 0 {
					continue // below the methods it is what the Transport is
				}
				what := strings.Join([]string{fmt.Sprintf("%T", client), phase.String(), row.action, row.variant, f.name, format}, ", ")
				var failure error
				toOldSide, toNewSide := w.calls(func() { _, failure = f.call(t, client, row.action, format, row.fields) })
				want := expect(row.rule, phase)
				if row.rule == toNew && phase == kmsmigrate.OldOnly {
					want = toNew // who names a new key means it
				}
				wanted := map[string][2]int{toOld: {1, 0}, toNew: {0, 1}, refused: {0, 0}}[want]
				require.Equal(t, wanted, [2]int{toOldSide, toNewSide}, what)
				if failure != nil {
					var typed *sdkerrors.ServerError
					require.ErrorAs(t, failure, &typed, what)
					require.NotEmpty(t, typed.ErrorCode(), what)
					continue
				}
				requests := w.cloud.Requests(kmstest.Match{})
				require.Len(t, requests, 1, what)
				require.Equal(t, row.action, requests[0].Action, what)
				require.True(t, requests[0].TLS, what)
				if key := map[string]string{toOld: row.oldKey, toNew: row.newKey}[want]; key != "" {
					require.Equal(t, key, requests[0].KeyID, what)
				}
			}
		}
	}
}

// TestAnswersAreTheOfficialClients compares what the application sees with and without the shim.
func TestAnswersAreTheOfficialClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, region := range []*kmstest.Region{w.oldAt, w.newAt} {
		_, err := region.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "s3<cr>&et", Tags: map[string]string{"a": "1"}})
		require.NoError(t, err)
	}
	official := map[string]any{toOld: sdkClient(t, w.oldAt), toNew: sdkClient(t, w.newAt)}
	for _, phase := range phases {
		clients := []any{w.client(t, w.transport(t, phase)), w.migrating(t, phase)}
		for n, row := range operations(t, w) {
			client := clients[n%2]
			want := expect(row.rule, phase)
			if want == refused || row.action == "GetRandomPassword" || row.action == "CreateKey" || row.action == "GetParametersForImport" {
				continue
			}
			fields := row.fields
			if want == toNew && row.rule == byPhase {
				fields = map[string]string{"KeyId": w.new.ID(), "Plaintext": row.fields["Plaintext"]}
			}
			for _, format := range []string{"JSON", "XML"} {
				what := strings.Join([]string{phase.String(), row.action, row.variant, format}, ", ")
				got, gotErr := plain(t, client, row.action, format, row.fields)
				direct, directErr := plain(t, official[want], row.action, format, fields)
				if directErr != nil {
					var a, b *sdkerrors.ServerError
					require.ErrorAs(t, directErr, &a, what)
					require.ErrorAs(t, gotErr, &b, what)
					require.Equal(t, a.HttpStatus(), b.HttpStatus(), what)
					if format == "JSON" { // the SDK reads neither from XML
						require.Equal(t, a.ErrorCode(), b.ErrorCode(), what)
						require.Equal(t, a.Message(), b.Message(), what)
					}
					require.NotEmpty(t, b.ErrorCode(), what)
					continue
				}
				require.NoError(t, gotErr, what)
				require.Equal(t, blank(t, direct), blank(t, got), what)
			}
		}
	}
}

// blank is an answer as the application sees it, without what differs from call to call.
func blank(t *testing.T, answer any) string {
	t.Helper()
	raw, err := json.Marshal(answer)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(raw, &fields))
	for _, name := range []string{"RequestId", "CiphertextBlob"} {
		if fields[name] != nil {
			require.NotEmpty(t, fields[name])
			fields[name] = "…"
		}
	}
	if s, ok := fields["Plaintext"].(string); ok && len(s) == 44 { // a data key
		fields["Plaintext"] = "…"
	}
	raw, err = json.Marshal(fields)
	require.NoError(t, err)
	return string(raw)
}

// TestWhatTheShimWroteOpensWithoutIt takes the shim out again in every phase.
func TestWhatTheShimWroteOpensWithoutIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, phase := range phases {
		client := w.client(t, w.transport(t, phase))
		region := w.oldAt
		if phase.Writes() == kmsmigrate.SideNew {
			region = w.newAt
		}
		official := sdkClient(t, region)
		for _, context := range []string{"", `{"tenant":"7"}`} {
			made, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello", "EncryptionContext": context})
			require.NoError(t, err)
			back, err := plain(t, official, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob"), "EncryptionContext": context})
			require.NoError(t, err)
			require.Equal(t, "hello", text(t, back, "Plaintext"))
			made, err = plain(t, client, "GenerateDataKey", "XML", map[string]string{"KeyId": w.old.ID(), "EncryptionContext": context})
			require.NoError(t, err)
			back, err = plain(t, official, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob"), "EncryptionContext": context})
			require.NoError(t, err)
			require.Equal(t, text(t, made, "Plaintext"), text(t, back, "Plaintext"))
		}
	}
}

// TestABlobThatNobodyKnowsIsTried has keys with ids that tell nothing.
func TestABlobThatNobodyKnowsIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	oldKey, err := w.oldAt.CreateKey(kmstest.KeySpec{UUID: true})
	require.NoError(t, err)
	newKey, err := w.newAt.CreateKey(kmstest.KeySpec{UUID: true})
	require.NoError(t, err)
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{oldKey.ID(): newKey.ID()}}
	blobs := map[string]string{}
	for side, at := range map[string]struct {
		region *kmstest.Region
		key    *kmstest.Key
	}{toOld: {w.oldAt, oldKey}, toNew: {w.newAt, newKey}} {
		made, err := plain(t, sdkClient(t, at.region), "Encrypt", "JSON", map[string]string{"KeyId": at.key.ID(), "Plaintext": "p"})
		require.NoError(t, err)
		blobs[side] = text(t, made, "CiphertextBlob")
	}
	for _, c := range []struct {
		phase        kmsmigrate.Phase
		blob         string
		first, later [2]int
	}{
		{kmsmigrate.ReadBoth, toOld, [2]int{1, 0}, [2]int{1, 0}},
		{kmsmigrate.ReadBoth, toNew, [2]int{1, 1}, [2]int{0, 1}},
		{kmsmigrate.WriteNew, toOld, [2]int{1, 1}, [2]int{1, 0}},
		{kmsmigrate.WriteNew, toNew, [2]int{0, 1}, [2]int{0, 1}},
		{kmsmigrate.NewOnly, toNew, [2]int{0, 1}, [2]int{0, 1}},
	} {
		client := w.client(t, w.transport(t, c.phase))
		for _, want := range [][2]int{c.first, c.later} {
			toOldSide, toNewSide := w.calls(func() {
				got, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": blobs[c.blob]})
				require.NoError(t, err)
				require.Equal(t, "p", text(t, got, "Plaintext"))
			})
			require.Equal(t, want, [2]int{toOldSide, toNewSide}, "%s, %s blob", c.phase, c.blob)
		}
	}
	// An outage never leads to the other side.
	for _, code := range []string{"Rejected.Throttling", "InternalFailure", "Forbidden.NoPermission", "Rejected.Disabled"} {
		remove := w.cloud.Inject(kmstest.Fault{Match: w.oldMatch, Status: 503, Code: code})
		client := w.client(t, w.transport(t, kmsmigrate.ReadBoth))
		toOldSide, toNewSide := w.calls(func() {
			_, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": blobs[toNew]})
			require.Equal(t, code, serverError(t, err).ErrorCode())
		})
		remove()
		require.NotZero(t, toOldSide, code)
		require.Zero(t, toNewSide, code)
	}
}

func serverError(t *testing.T, err error) *sdkerrors.ServerError {
	t.Helper()
	var typed *sdkerrors.ServerError
	require.ErrorAs(t, err, &typed)
	return typed
}

// TestTwoKeysOfOneGateway migrates within a region, where either side opens everything and only the key id tells.
func TestTwoKeysOfOneGateway(t *testing.T) {
	t.Parallel()
	for _, alias := range []bool{false, true} {
		w := newWorld(t)
		key, err := w.oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/next", UUID: true})
		require.NoError(t, err)
		w.config.New = w.config.Old
		to := key.ID()
		if alias {
			to = "alias/next"
		}
		w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": to}}
		writer := w.client(t, w.transport(t, kmsmigrate.WriteNew))
		made, err := plain(t, writer, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "p"})
		require.NoError(t, err)
		require.Equal(t, key.ID(), text(t, made, "KeyId"))
		old, err := plain(t, sdkClient(t, w.oldAt), "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "p"})
		require.NoError(t, err)

		retired := w.client(t, w.transport(t, kmsmigrate.NewOnly))
		back, err := plain(t, retired, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob")})
		require.NoError(t, err)
		require.Equal(t, "p", text(t, back, "Plaintext"))
		_, err = plain(t, retired, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, old, "CiphertextBlob")})
		require.Equal(t, "Forbidden.KeyNotFound", serverError(t, err).ErrorCode())
		require.Contains(t, serverError(t, err).Message(), "new-only")
	}
}

func TestReEncryptGoesOverToTheNewSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from, err := plain(t, sdkClient(t, w.oldAt), "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello", "EncryptionContext": `{"a":"1"}`})
	require.NoError(t, err)
	fields := map[string]string{
		"CiphertextBlob": text(t, from, "CiphertextBlob"), "SourceEncryptionContext": `{"a":"1"}`, "DestinationKeyId": "alias/app", "DestinationEncryptionContext": `{"b":"2"}`,
	}
	for _, phase := range phases {
		client := w.client(t, w.transport(t, phase))
		w.cloud.ResetEvidence()
		got, err := plain(t, client, "ReEncrypt", "JSON", fields)
		var did []string
		for _, r := range w.cloud.Requests(kmstest.Match{}) {
			did = append(did, r.Action+" "+r.Region)
		}
		switch phase {
		case kmsmigrate.NewOnly:
			require.Equal(t, "Forbidden.KeyNotFound", serverError(t, err).ErrorCode())
			require.Empty(t, did)
			continue
		case kmsmigrate.OldOnly, kmsmigrate.ReadBoth:
			require.Equal(t, []string{"ReEncrypt cn-hangzhou"}, did)
		default:
			require.Equal(t, []string{"Decrypt cn-hangzhou", "Encrypt cn-shanghai"}, did)
		}
		require.NoError(t, err)
		require.Equal(t, w.old.ID(), text(t, got, "KeyId"), "the key that decrypted, as the service has it")
		at := w.oldAt
		if phase.Writes() == kmsmigrate.SideNew {
			at = w.newAt
		}
		back, err := plain(t, sdkClient(t, at), "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, got, "CiphertextBlob"), "EncryptionContext": `{"b":"2"}`})
		require.NoError(t, err)
		require.Equal(t, "hello", text(t, back, "Plaintext"))
	}
}
