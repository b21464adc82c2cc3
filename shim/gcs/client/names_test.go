package client_test

import (
	"reflect"
	"testing"

	gcsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/shim/internal/exports"
)

// TestEveryNameOfTheOriginalIsHere compares names, signatures and the methods of Client. Its fields, and nothing else, are not there, as its
// documentation says.
func TestEveryNameOfTheOriginalIsHere(t *testing.T) {
	t.Parallel()
	loaded, err := exports.Load(original+"/sdk", ours)
	require.NoError(t, err)
	require.Greater(t, len(loaded[original+"/sdk"].Scope().Names()), 30)
	var fields []string
	for field := range reflect.TypeFor[gcsapi.Client]().Fields() {
		fields = append(fields, "Client."+field.Name+": is missing")
	}
	require.ElementsMatch(t, fields, exports.Differences(loaded[original+"/sdk"], loaded[ours], "Client"))
}
