package resource_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

func TestASecretValueIsNotPrinted(t *testing.T) {
	t.Parallel()
	const planted = "planted-secret-4410"
	v := resource.SecretValue{Name: "db", Version: resource.SecretVersion{ID: "v1"}, Data: planted, DataType: "text"}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s", v, v, v, v.LogValue()),
		fmt.Sprintf("%v %+v %#v", resource.NewSecret{Name: "db", Value: v}, resource.NewSecret{Value: v}, resource.NewSecret{Value: v}),
	} {
		require.NotContains(t, text, planted)
		require.Contains(t, text, "v1")
	}
}

func TestKeysSurviveJSON(t *testing.T) {
	t.Parallel()
	key := resource.Key{
		Region: "cn-hangzhou", ID: "key-hzz62f1cb66fa42qopd9s", State: "Enabled", Usage: "ENCRYPT/DECRYPT", Spec: "Aliyun_AES_256",
		RotationInterval: 365 * 24 * time.Hour, Created: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		Versions: []resource.Version{{ID: "key-hzz62f1cb66fa42qopd9s-17kedvabcd"}}, Tags: map[string]string{"team": "payments"},
	}
	text, err := json.Marshal(key)
	require.NoError(t, err)
	require.NotContains(t, string(text), "0001-01-01", "what is not known is left out")
	var back resource.Key
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, key, back)
}
