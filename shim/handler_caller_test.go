package shim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// TestACallerReadsWhatItWroteUnderANewAlias has handlers that are started anew, and never saw the write.
func TestACallerReadsWhatItWroteUnderANewAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := w.newAt.CreateKey(kmstest.KeySpec{Alias: "alias/other"})
	require.NoError(t, err)
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": "alias/app-new", w.old.ID(): "alias/app-new"}}
	made, err := plain(t, sdkClient(t, w.newAt), "Encrypt", "JSON", map[string]string{"KeyId": other.ID(), "Plaintext": secretText})
	require.NoError(t, err)
	foreign := text(t, made, "CiphertextBlob")
	for _, phase := range phases[2:] {
		client := pointed(t, serve(t, w.handler(t, phase, allowed(w))), "app", callerSecret)
		made, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello"})
		require.NoError(t, err, phase)
		addr := serve(t, w.handler(t, phase, allowed(w)))
		w.cloud.ResetEvidence()
		var all sync.WaitGroup
		for range 8 {
			each := pointed(t, addr, "app", callerSecret)
			all.Go(func() {
				_, err := plain(t, each, "Decrypt", "JSON", map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob")})
				if err != nil {
					t.Error(phase, err)
				}
			})
		}
		all.Wait()
		client = pointed(t, addr, "app", callerSecret)
		_, err = plain(t, client, "DescribeKey", "JSON", map[string]string{"KeyId": text(t, made, "KeyId")})
		require.NoError(t, err, "an id that the caller was answered is one that it may name")
		for range 2 {
			got, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": foreign})
			require.Equal(t, "Forbidden.NoPermission", serverError(t, err).ErrorCode(), phase)
			require.NotContains(t, string(got.GetHttpContentBytes()), secretText)
		}
		require.Equal(t, 2, w.cloud.Count(kmstest.Match{Action: "DescribeKey"}), "it is asked once for all, and the caller asked once")
	}
}

// TestAnAliasThatCannotBeFoundOutIsSaidToBe has an access key that may not describe keys, and then may.
func TestAnAliasThatCannotBeFoundOutIsSaidToBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Keys = kmsmigrate.KeyMap{Default: "alias/app-new"}
	match := w.newOne
	match.Action = "DescribeKey"
	w.cloud.Inject(kmstest.Fault{Match: match, Times: 1, Status: 403, Code: "Forbidden.NoPermission"})
	addr := serve(t, w.handler(t, kmsmigrate.WriteNew, allowed(w)))
	client := pointed(t, addr, "app", callerSecret)
	made, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": "hello"})
	require.NoError(t, err)
	fields := map[string]string{"CiphertextBlob": text(t, made, "CiphertextBlob")}
	_, err = plain(t, client, "Decrypt", "JSON", fields)
	require.Equal(t, "Forbidden.NoPermission", serverError(t, err).ErrorCode())
	require.Contains(t, serverError(t, err).Message(), "kms:DescribeKey")
	require.Eventually(t, func() bool {
		_, err := plain(t, pointed(t, addr, "app", callerSecret), "Decrypt", "JSON", fields)
		return err == nil
	}, patience, patience/100, "an answer that could not be had is asked for again")
}

// TestNothingIsRenewedForACallerThatIsRefused has ciphertext of a key that the caller does not have.
func TestNothingIsRenewedForACallerThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.OnStale = func(string, string) { t.Error("the plaintext was used") }
	c := allowed(w)
	c.Keys = []string{"alias/app"}
	handler := w.handler(t, kmsmigrate.Rewrite, c)
	client := pointed(t, serve(t, handler), "app", callerSecret)
	_, err := plain(t, client, "Decrypt", "JSON", map[string]string{"CiphertextBlob": encryptOld(t, w, secretText, "")})
	require.Equal(t, "Forbidden.NoPermission", serverError(t, err).ErrorCode())
	require.NoError(t, handler.Close(), "which waits for renewals")
	require.Zero(t, handler.Stats().Stale)
	encrypts := w.newOne
	encrypts.Action = "Encrypt"
	require.Zero(t, w.cloud.Count(encrypts))
}

// TestCallersAreNotMergedByANewKey has two callers whose old keys kept them apart.
func TestCallersAreNotMergedByANewKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pay, err := w.oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/pay"})
	require.NoError(t, err)
	first, second := allowed(w), allowed(w)
	second.AccessKeyID, second.Keys = "pay", []string{"alias/pay", pay.ID()}
	for name, keys := range map[string]kmsmigrate.KeyMap{
		"default":  {Default: w.new.ID()},
		"by alias": {Keys: map[string]string{"alias/app": w.new.ID(), "alias/pay": w.new.ID()}},
	} {
		w.config.Keys = keys
		first.SharesNewKeys, second.SharesNewKeys = false, true
		_, err = shim.NewHandler(w.config, first, second)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
		require.ErrorContains(t, err, "SharesNewKeys", name)
		first.SharesNewKeys = true
		w.handler(t, kmsmigrate.WriteNew, first, second)
	}
	first.SharesNewKeys = false
	same, all := allowed(w), allowed(w)
	same.AccessKeyID = "same"
	all.AccessKeyID, all.Keys = "all", []string{"*"}
	w.handler(t, kmsmigrate.WriteNew, first, same, all)
	next, err := w.newAt.CreateKey(kmstest.KeySpec{})
	require.NoError(t, err)
	w.config.Keys = kmsmigrate.KeyMap{Keys: map[string]string{"alias/app": w.new.ID(), "alias/pay": next.ID()}}
	second.SharesNewKeys = false
	w.handler(t, kmsmigrate.WriteNew, first, second)
}

func TestACallerPrintsWithoutItsSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := allowed(w)
	var out bytes.Buffer
	handler := w.handler(t, kmsmigrate.ReadBoth, c)
	for _, value := range []any{c, &c, []shim.Caller{c}, map[string]shim.Caller{"a": c}, handler, *handler} {
		_, err := fmt.Fprintf(&out, "%v %+v %#v %s", value, value, value, value)
		require.NoError(t, err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("caller", "c", c, "all", []shim.Caller{c})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("caller", "c", c, "all", []shim.Caller{c})
	require.NoError(t, json.NewEncoder(&out).Encode(c))
	require.NotContains(t, out.String(), callerSecret)
	require.Contains(t, out.String(), "alias/app", "and with what helps")
}
