package shim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

func encryptOld(t *testing.T, w *world, plaintext, context string) string {
	t.Helper()
	made, err := plain(t, sdkClient(t, w.oldAt), "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": plaintext, "EncryptionContext": context})
	require.NoError(t, err)
	return text(t, made, "CiphertextBlob")
}

func TestAStaleReadHandsOutANewBlob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type pair struct{ old, renewed string }
	told := make(chan pair, 10)
	w.config.OnStale = func(old, renewed string) { told <- pair{old, renewed} }
	blob := encryptOld(t, w, "hello", `{"a":"1"}`)
	fields := map[string]string{"CiphertextBlob": blob, "EncryptionContext": `{"a":"1"}`}
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		transport := w.transport(t, phase)
		got, err := plain(t, w.client(t, transport), "Decrypt", "JSON", fields)
		require.NoError(t, err)
		require.Equal(t, "hello", text(t, got, "Plaintext"))
		require.Equal(t, []string{"old"}, got.GetHttpHeaders()["X-Keyhaul-Side"])
		if phase != kmsmigrate.Rewrite {
			require.Empty(t, got.GetHttpHeaders()["X-Keyhaul-Stale"])
			require.Zero(t, transport.Stats().Stale)
			continue
		}
		require.Equal(t, []string{"true"}, got.GetHttpHeaders()["X-Keyhaul-Stale"])
		select {
		case p := <-told:
			require.Equal(t, blob, p.old)
			fields["CiphertextBlob"] = p.renewed
		case <-time.After(patience):
			require.Fail(t, "nobody was told")
		}
		back, err := plain(t, sdkClient(t, w.newAt), "Decrypt", "JSON", fields)
		require.NoError(t, err)
		require.Equal(t, "hello", text(t, back, "Plaintext"))
		got, err = plain(t, w.client(t, transport), "Decrypt", "JSON", fields)
		require.NoError(t, err)
		require.Empty(t, got.GetHttpHeaders()["X-Keyhaul-Stale"], "the new one is not stale")
		require.NoError(t, transport.Close())
		require.EqualValues(t, 1, transport.Stats().Renewed)
	}
	require.Empty(t, told)
}

// TestARenewalFindsAKeyThatIsMappedByItsAlias has nothing but the alias in Keys, and Decrypt answer with the id.
func TestARenewalFindsAKeyThatIsMappedByItsAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := make(chan string, 10)
	w.config.OnStale = func(_, renewed string) { told <- renewed }
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": "alias/app-new", "alias/none": "alias/app-new"}}
	transport := w.transport(t, kmsmigrate.Rewrite)
	client := w.client(t, transport)
	for range 3 {
		_, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": encryptOld(t, w, "hello", "")})
		require.NoError(t, err)
		select {
		case renewed := <-told:
			back, err := plain(t, sdkClient(t, w.newAt), "Decrypt", "JSON", map[string]string{"CiphertextBlob": renewed})
			require.NoError(t, err)
			require.Equal(t, "hello", text(t, back, "Plaintext"))
		case <-time.After(patience):
			require.Fail(t, "nobody was told")
		}
	}
	require.Equal(t, 1, w.cloud.Count(kmstest.Match{Action: "DescribeKey", OK: true}), "it is asked about once")
}

// TestAReadDoesNotWaitForItsRenewal has the new side hang.
func TestAReadDoesNotWaitForItsRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.OnStale = func(string, string) { t.Error("there is nothing to tell") }
	blob := encryptOld(t, w, "hello", "")
	match := w.newOne
	match.Action = "Encrypt"
	w.cloud.Inject(kmstest.Fault{Match: match, Hang: true})
	transport := w.transport(t, kmsmigrate.Rewrite)
	client := w.client(t, transport)
	for range 12 { // more than there are slots
		got, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": blob})
		require.NoError(t, err)
		require.Equal(t, "hello", text(t, got, "Plaintext"))
	}
	require.NoError(t, transport.Close(), "and Close ends them")
	stats := transport.Stats()
	require.EqualValues(t, 12, stats.Stale)
	require.EqualValues(t, 8, stats.RenewFailed)
	require.EqualValues(t, 4, stats.RenewDropped)
}

// TestABlobThatDoesNotOpenIsNotHandedOut has the new side lose what it encrypted.
func TestABlobThatDoesNotOpenIsNotHandedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.OnStale = func(string, string) { t.Error("it was not seen to open") }
	blob := encryptOld(t, w, "hello", "")
	match := w.newOne
	match.Action = "Decrypt"
	w.cloud.Inject(kmstest.Fault{Match: match, Status: 404, Code: "Forbidden.KeyNotFound"})
	transport := w.transport(t, kmsmigrate.Rewrite)
	_, err := plain(t, w.client(t, transport), "Decrypt", "JSON", map[string]string{"CiphertextBlob": blob})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return transport.Stats().RenewFailed == 1 }, patience, time.Millisecond)
}

func TestAnswersCanCarryTheOldIds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.AnswerOldIDs = true
	phase := new(kmsmigrate.PhaseSwitch)
	transport := w.transport(t, phase)
	client := w.client(t, transport)
	fields := map[string]string{"KeyId": w.old.ID(), "Plaintext": "hello"}
	_, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello"})
	require.NoError(t, err)
	before, err := plain(t, client, "Encrypt", "JSON", fields)
	require.NoError(t, err)
	require.NoError(t, phase.Jump(kmsmigrate.WriteNew))
	for _, format := range []string{"JSON", "XML"} {
		after, err := plain(t, client, "Encrypt", format, fields)
		require.NoError(t, err)
		back, err := plain(t, client, "Decrypt", format, map[string]string{"CiphertextBlob": text(t, after, "CiphertextBlob")})
		require.NoError(t, err)
		require.Equal(t, "hello", text(t, back, "Plaintext"))
		require.Equal(t, text(t, before, "KeyId"), text(t, after, "KeyId"))
		require.Equal(t, text(t, before, "KeyVersionId"), text(t, after, "KeyVersionId"))
		require.Equal(t, text(t, before, "KeyId"), text(t, back, "KeyId"))
		require.Equal(t, text(t, before, "KeyVersionId"), text(t, back, "KeyVersionId"))
	}
	underAlias, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello"})
	require.NoError(t, err)
	require.Equal(t, w.old.ID(), text(t, underAlias, "KeyId"))
	require.Equal(t, 3, w.cloud.Count(kmstest.Match{Region: w.newAt.ID, Action: "Encrypt"}))
	require.EqualValues(t, 5, transport.Stats().AnsweredOldID)

	w.config.AnswerOldIDs = false
	plainly := w.client(t, w.transport(t, kmsmigrate.WriteNew))
	after, err := plain(t, plainly, "Encrypt", "JSON", fields)
	require.NoError(t, err)
	require.Equal(t, w.new.ID(), text(t, after, "KeyId"))
}

func TestSecretsStayOldUntilTheyAreSwitched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Secrets = new(shim.Secrets)
	for _, name := range []string{"db", "mail"} {
		_, err := w.oldAt.CreateSecret(kmstest.SecretSpec{Name: name, Value: "source of " + name})
		require.NoError(t, err)
	}
	_, err := w.newAt.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "source of db"})
	require.NoError(t, err)
	_, err = w.newAt.CreateSecret(kmstest.SecretSpec{Name: "mail", Value: "st4le copy"})
	require.NoError(t, err)
	transport := w.transport(t, kmsmigrate.Rewrite)
	client := w.client(t, transport)
	read := func(name string) (value, side string) {
		got, err := plain(t, client, "GetSecretValue", "JSON", map[string]string{"SecretName": name})
		require.NoError(t, err)
		return text(t, got, "SecretData"), got.GetHttpHeaders()["X-Keyhaul-Side"][0]
	}
	value, side := read("db")
	require.Equal(t, "source of db", value)
	require.Equal(t, "old", side)

	require.NoError(t, transport.SwitchSecret(t.Context(), "db"))
	err = transport.SwitchSecret(t.Context(), "mail")
	require.ErrorContains(t, err, "SecretData")
	require.NotContains(t, err.Error(), "st4le")
	require.ErrorContains(t, transport.SwitchSecret(t.Context(), "none"), "Forbidden.ResourceNotFound")
	require.Equal(t, []string{"db"}, w.config.Secrets.Switched())
	value, side = read("db")
	require.Equal(t, "source of db", value)
	require.Equal(t, "new", side)
	_, side = read("mail")
	require.Equal(t, "old", side)

	w.config.Secrets.SwitchAll()
	value, side = read("mail")
	require.Equal(t, "st4le copy", value)
	require.Equal(t, "new", side)
	w.config.Secrets.SwitchBack("db")
	_, side = read("db")
	require.Equal(t, "old", side)
}
