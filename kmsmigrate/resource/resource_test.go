package resource_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

func TestASecretValueIsNeverPrinted(t *testing.T) {
	t.Parallel()
	v := resource.SecretValue{Data: []byte("planted"), VersionID: "v1"}
	text, err := json.Marshal(map[string]any{"value": v, "inside": []resource.SecretSpec{{Value: v}}})
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("value", "v", v)
	for _, s := range []string{string(text), log.String(), fmt.Sprintf("%v %+v %#v %s", v, v, v, v), fmt.Sprintf("%+v", resource.SecretSpec{Value: v})} {
		require.NotContains(t, s, "planted")
		require.Contains(t, s, "7 bytes")
	}
}

func TestSymmetricKeysAreTold(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]bool{"Aliyun_AES_256": true, "Aliyun_SM4": true, "RSA_2048": false, "EC_SM2": false, "": false} {
		require.Equal(t, want, resource.Key{Spec: spec}.Symmetric(), spec)
	}
}
