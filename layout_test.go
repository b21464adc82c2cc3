package keyhaul_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/keyhaul/keyhaul"

// arrows is the map of DESIGN.md: what each package may import of this module, in code that users link. A package that is
// not listed fails the test, so that every new one is put on the map.
var arrows = map[string][]string{
	"":                      {},
	"kmsmigrate":            {},
	"kmsmigrate/keytest":    {"kmsmigrate"},
	"kmsmigrate/resource":   {},
	"kmsmigrate/verify":     {},
	"kmsmigrate/alikms":     {"kmsmigrate", "kmsmigrate/resource"},
	"kmsmigrate/kmsotel":    {"kmsmigrate", "kmsmigrate/alikms"},
	"kmsmigrate/kmstest":    {"kmsmigrate", "kmsmigrate/alikms", "kmsmigrate/resource"},
	"kmsmigrate/plan":       {"kmsmigrate", "kmsmigrate/resource"},
	"envelope":              {"kmsmigrate"},
	"envelope/envelopetest": {"kmsmigrate", "kmsmigrate/keytest", "envelope"},
	"rekey":                 {"kmsmigrate"},
	"rekey/rekeytest":       {"kmsmigrate", "rekey"},
	"rekey/rekeysql":        {"kmsmigrate", "rekey"},
	"rekey/rekeyfile":       {"kmsmigrate", "rekey"},
	"rekey/rekeydump":       {"kmsmigrate", "rekey", "rekey/rekeysql"},
	"shim":                  {"kmsmigrate", "kmsmigrate/alikms", "kmsmigrate/verify"},
	"shim/gcs/client":       {"shim"},
	"shim/kms":              {"shim", "shim/internal/adopt"},
	"shim/transfer/sdk":     {"shim", "shim/internal/adopt", "shim/kms", "kmsmigrate/alikms"},
}

// sdkUsers are the packages that may import Alibaba's SDKs; programs under examples and internal may as well.
var sdkUsers = []string{"kmsmigrate/alikms", "kmsmigrate/kmstest", "shim", "shim/gcs/client", "shim/kms", "shim/transfer/sdk"}

// stdOnly are the packages whose users should get nothing of ours but kmsmigrate and what that needs.
var stdOnly = []string{"kmsmigrate/keytest", "kmsmigrate/resource"}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImportsFollowTheMap(t *testing.T) {
	t.Parallel()
	for _, pkg := range list(t) {
		path, ours := strings.CutPrefix(pkg.ImportPath, module)
		if !ours {
			continue
		}
		path = strings.TrimPrefix(path, "/")
		program := strings.HasPrefix(path, "examples/") || strings.HasPrefix(path, "internal/")
		home, _, _ := strings.Cut(path, "/internal/") // a package's internals live by its rules
		allowed, known := arrows[home]
		require.True(t, known || program, "%s is not on the map: add it to DESIGN.md and to this test", path)
		for _, imported := range pkg.Imports {
			if target, ok := strings.CutPrefix(imported, module); ok {
				target = strings.TrimPrefix(target, "/")
				inside := strings.HasPrefix(target, home+"/internal/") || strings.HasPrefix(target, "internal/") || path != home && target == home
				require.True(t, program || inside || slices.Contains(allowed, target), "%s must not import %s", path, target)
				continue
			}
			sdk := strings.HasPrefix(imported, "github.com/aliyun/") || strings.HasPrefix(imported, "github.com/alibabacloud-go/")
			require.True(t, !sdk || program || slices.Contains(sdkUsers, home), "%s must not import the SDK package %s", path, imported)
			require.False(t, strings.HasPrefix(imported, "github.com/tjfoc/"), "%s imports %s, whose SM4-GCM is wrong", path, imported)
			require.False(t, strings.HasPrefix(imported, "github.com/stretchr/testify"), "%s links testify into its users", path)
			require.True(t, !slices.Contains(stdOnly, path) || !strings.Contains(imported, "."), "%s must do with the standard library, and imports %s", path, imported)
		}
	}
}

// list returns the packages of this module and of everything that they link, tests left out.
func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...").Output()
	require.NoError(t, err)
	var pkgs []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg listed
		err := d.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			require.NotEmpty(t, pkgs)
			return pkgs
		}
		require.NoError(t, err)
		if !pkg.Standard {
			pkgs = append(pkgs, pkg)
		}
	}
}
