package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/alibabacloud-go/tea/tea.init.0.func1"))
}

// TestAnApplicationInAnotherLanguageMigrates runs the whole story with either application, over a Unix socket and over loopback.
func TestAnApplicationInAnotherLanguageMigrates(t *testing.T) {
	t.Parallel()
	kinds := []string{"go"}
	if _, err := exec.LookPath("node"); err == nil || os.Getenv("KEYHAUL_REQUIRE_NODE") != "" {
		kinds = append(kinds, "node")
	}
	for _, kind := range kinds {
		for _, listen := range []string{"", "127.0.0.1:0"} {
			var out strings.Builder
			require.NoError(t, run(t.Context(), []string{"-app", kind, "-listen", listen}, &out), out.String())
			for _, line := range []string{
				"a " + kind + " program",
				"old-only   the regions were called 2 and 0 times",
				"read-both  the regions were called 3 and 0 times",
				"write-new  Decrypt value 1       -> old",
				"write-new  the regions were called 2 and 2 times",
				"rewrite    2 values were renewed",
				"rewrite    the regions were called 2 and 7 times",
				"the old key is disabled",
				"new-only   Decrypt value 1       -> new",
				"new-only   the regions were called 0 and 6 times",
				"ScheduleKeyDeletion alias/orders is refused: Forbidden.NoPermission",
				"Encrypt alias/payroll is refused: Forbidden.NoPermission",
			} {
				require.Contains(t, out.String(), line)
			}
			require.NotContains(t, out.String(), appSecret)
		}
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-app", "cobol"}, {"-listen", "0.0.0.0:0"}, {"-listen", "unix:" + filepath.Join(t.TempDir(), "none", "kms.sock")}, {"-nothing"}} {
		require.Error(t, run(t.Context(), args, &strings.Builder{}))
	}
}
