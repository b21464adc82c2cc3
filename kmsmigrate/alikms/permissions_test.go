package alikms_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestThePoliciesArePolicies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("PERMISSIONS.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```json\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		var policy struct {
			Version, KmsInstance   string
			Permissions, Resources []string
			Statement              []struct {
				Effect           string
				Action, Resource []string
			}
		}
		source, _, _ := strings.Cut(block, "```")
		decoder := json.NewDecoder(strings.NewReader(source))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&policy), source)
		for _, statement := range policy.Statement {
			require.Equal(t, "Allow", statement.Effect)
			require.NotContains(t, statement.Action, "kms:ScheduleKeyDeletion", "nobody gets that by pasting")
			for _, action := range statement.Action {
				require.True(t, strings.HasPrefix(action, "kms:"))
			}
		}
	}
	for phase := kmsmigrate.OldOnly; phase.Valid(); phase++ {
		require.Contains(t, string(text), "| "+phase.String()+" |")
	}
}

// Whatever a method asks of the OpenAPI, the page names the action for it. TestEveryOperationIsInTheTableOfFaults sees to it that no
// method is missing in the table.
func TestEveryActionIsOnThePageOfPermissions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("PERMISSIONS.md")
	require.NoError(t, err)
	asked := 0
	for _, o := range faultOperations(t, newWorld(t, kmstest.Config{})) {
		if o.face == kmstest.Gateway && o.method != "Gateway.Raw" {
			require.Regexp(t, "kms:"+o.action+"[`\"]", string(page), "%s asks for %s", o.method, o.action)
			asked++
		}
	}
	require.Greater(t, asked, 40)
}
