package sdk_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/shim/internal/exports"
)

const (
	original = "github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk"
	ours     = "github.com/keyhaul/keyhaul/shim/transfer/sdk"
)

// TestEveryNameOfTheOriginalIsHere compares names, signatures, constants, and the fields and methods of KmsTransferClient.
func TestEveryNameOfTheOriginalIsHere(t *testing.T) {
	t.Parallel()
	loaded, err := exports.Load(original, ours)
	require.NoError(t, err)
	require.Empty(t, exports.Differences(loaded[original], loaded[ours], "KmsTransferClient"))
	constructors := 0
	for _, name := range loaded[original].Scope().Names() {
		if strings.HasPrefix(name, "NewClient") {
			constructors++
		}
	}
	require.Equal(t, 8, constructors, "as many as version 0.1.8 has")
}
