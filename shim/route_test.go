package shim_test

import (
	"encoding/json"
	"testing"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

var phases = []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly}

// blank is an answer as the application sees it, without what differs from call to call.
func blank(t *testing.T, answer any) string {
	t.Helper()
	raw, err := json.Marshal(answer)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(raw, &fields))
	for _, name := range []string{"RequestId", "CiphertextBlob", "ExportedDataKey"} {
		if fields[name] != nil {
			require.NotEmpty(t, fields[name])
			fields[name] = "…"
		}
	}
	if _, ok := fields["Value"].(string); ok { // a signature
		fields["Value"] = "…"
	}
	if s, ok := fields["Plaintext"].(string); ok && len(s) == 44 { // a data key
		fields["Plaintext"] = "…"
	}
	raw, err = json.Marshal(fields)
	require.NoError(t, err)
	return string(raw)
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
