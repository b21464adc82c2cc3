package shim_test

import (
	"fmt"
	"strings"
	"testing"

	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// TestEveryOperationGoesToItsSide calls every operation by every form in both formats in every phase, through the unmodified client
// and through our own, and looks at what came to which side.
func TestEveryOperationGoesToItsSide(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rows := operations(t, newMaterial(t, w))
			require.Greater(t, len(rows), 110)
			w.config.Signing = phase
			unmodified := w.client(t, w.transport(t, phase))
			unmodified.EnableAsync(2, 10)
			defer unmodified.Shutdown()
			for n, row := range rows {
				goesToItsSide(t, w, phase, n, row, unmodified)
				goesToItsSide(t, w, phase, n, row, w.migrating(t, phase))
			}
		})
	}
}

// goesToItsSide calls one operation by every form in both formats. Below its methods our own client is what the Transport is, so there
// each form has its turn, over rows and phases.
func goesToItsSide(t *testing.T, w *world, phase kmsmigrate.Phase, n int, row operation, client any) {
	t.Helper()
	_, ours := client.(*shim.Client)
	for i, f := range forms {
		if (raced || ours) && (n+int(phase))%len(forms) != i {
			continue
		}
		for _, format := range []string{"JSON", "XML"} {
			what := strings.Join([]string{fmt.Sprintf("%T", client), phase.String(), row.action, row.variant, f.name, format}, ", ")
			w.cloud.ResetEvidence()
			_, failure := f.call(t, client, row.action, format, row.fields)
			var did []string
			requests := w.cloud.Requests(kmstest.Match{})
			for _, r := range requests {
				require.True(t, r.TLS, what)
				did = append(did, map[string]string{w.oldAt.ID: toOld, w.newAt.ID: toNew}[r.Region]+" "+r.Action)
			}
			require.Equal(t, row.calls(phase), did, what)
			if failure != nil {
				var typed *sdkerrors.ServerError
				require.ErrorAs(t, failure, &typed, what)
				require.NotEmpty(t, typed.ErrorCode(), what)
				continue
			}
			require.NotEmpty(t, did, what)
			last := requests[len(requests)-1]
			if key := map[string]string{w.oldAt.ID: row.oldKey, w.newAt.ID: row.newKey}[last.Region]; key != "" {
				require.Equal(t, key, last.KeyID, what)
			}
		}
	}
}

// differ are operations whose answers differ from call to call in more than blank takes out.
var differ = map[string]bool{"GetRandomPassword": true, "CreateKey": true, "GetParametersForImport": true}

// TestAnswersAreTheOfficialClients compares what the application sees with and without the shim, wherever the official client of one side alone can answer.
func TestAnswersAreTheOfficialClients(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rows := operations(t, newMaterial(t, w))
			w.config.Signing = phase
			official := map[string]any{toOld: sdkClient(t, w.oldAt), toNew: sdkClient(t, w.newAt)}
			clients := []any{w.client(t, w.transport(t, phase)), w.migrating(t, phase)}
			compared := 0
			for n, row := range rows {
				calls := row.calls(phase)
				onNobody := row.action == "AsymmetricVerify" && row.variant == "old" && phase == kmsmigrate.NewOnly
				if len(calls) == 0 || differ[row.action] || onNobody || row.action == "ReEncrypt" && len(calls) > 1 {
					continue // refused here, or more than one side can do
				}
				compared++
				side, _, _ := strings.Cut(calls[len(calls)-1], " ")
				fields := row.fields
				if side == toNew && row.onNew != nil {
					fields = row.onNew
				}
				for _, format := range []string{"JSON", "XML"} {
					sameAnswer(t, strings.Join([]string{phase.String(), row.action, row.variant, format}, ", "), clients[n%2], official[side], row, fields, format)
				}
			}
			require.Greater(t, compared, 90)
		})
	}
}

func sameAnswer(t *testing.T, what string, client, official any, row operation, fields map[string]string, format string) {
	t.Helper()
	got, gotErr := plain(t, client, row.action, format, row.fields)
	direct, directErr := plain(t, official, row.action, format, fields)
	if directErr == nil {
		require.NoError(t, gotErr, what)
		require.Equal(t, blank(t, direct), blank(t, got), what)
		return
	}
	var a, b *sdkerrors.ServerError
	require.ErrorAs(t, directErr, &a, what)
	require.ErrorAs(t, gotErr, &b, what)
	require.Equal(t, a.HttpStatus(), b.HttpStatus(), what)
	if format == "JSON" { // the SDK reads neither from XML
		require.Equal(t, a.ErrorCode(), b.ErrorCode(), what)
		require.Equal(t, a.Message(), b.Message(), what)
	}
	require.NotEmpty(t, b.ErrorCode(), what)
}
