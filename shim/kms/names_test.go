package kms_test

import (
	"go/types"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/shim/internal/exports"
)

const (
	original = "github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	ours     = "github.com/keyhaul/keyhaul/shim/kms"
)

// TestEveryNameOfTheOriginalIsHere compares names, signatures, constants, and the fields and methods of Client.
func TestEveryNameOfTheOriginalIsHere(t *testing.T) {
	t.Parallel()
	loaded, err := exports.Load(original, ours)
	require.NoError(t, err)
	require.Greater(t, len(loaded[original].Scope().Names()), 400)
	require.Empty(t, exports.Differences(loaded[original], loaded[ours], "Client"))
	require.NotEmpty(t, exports.Differences(loaded[original], types.NewPackage("other", "kms"), "Client"), "the comparison finds something")
}
