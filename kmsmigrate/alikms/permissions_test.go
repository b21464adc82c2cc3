package alikms_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
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
