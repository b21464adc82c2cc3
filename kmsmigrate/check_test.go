package kmsmigrate_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

func TestCheckPassesWhereEverythingIsInPlace(t *testing.T) {
	t.Parallel()
	old, next := pair()
	checked, err := client(t, kmsmigrate.OldOnly, keytest.Blind(old), keytest.Blind(next)).Check(t.Context())
	require.NoError(t, err)
	require.Len(t, checked, 1)
	require.ErrorIs(t, checked[0].Old.Offered, kmsmigrate.ErrForeign)
	require.ErrorIs(t, checked[0].New.Offered, kmsmigrate.ErrForeign)
	require.Equal(t, [2]int64{1, 2}, calls(old))
	require.Equal(t, [2]int64{1, 2}, calls(next))
}

func TestCheckTellsAClone(t *testing.T) {
	t.Parallel()
	old, _ := pair()
	checked, err := client(t, kmsmigrate.OldOnly, old, old.Clone(kmsmigrate.KeyRef{Region: "cn-shanghai"})).Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, checked[0].New.Offered)
}

func TestCheckNamesWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken func(kmsmigrate.Key) kmsmigrate.Key
		want   string
	}{
		"permission": {func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Fail(k, kmsmigrate.ErrDenied) }, "encrypt on the new side: denied"},
		"wrong data": {func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "decrypt") }, "does not give back"},
		"unknown code": {func(k kmsmigrate.Key) kmsmigrate.Key {
			return keytest.Intercept(k, func(_ context.Context, call keytest.Call, next func() ([]byte, error)) ([]byte, error) {
				answer, err := next()
				if err != nil && call.Op == "decrypt" {
					err = &kmsmigrate.Error{Code: "InvalidParameter.Odd", HTTPStatus: 400, Err: kmsmigrate.ErrInvalid}
				}
				return answer, err
			})
		}, "InvalidParameter.Odd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := pair()
			_, err := client(t, kmsmigrate.OldOnly, old, test.broken(next)).Check(t.Context())
			require.ErrorContains(t, err, test.want)
		})
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	old, next := pair()
	_, err := client(t, kmsmigrate.OldOnly, old, next).Check(done)
	require.ErrorIs(t, err, context.Canceled)
}

func TestCheckDoesWithOneKey(t *testing.T) {
	t.Parallel()
	old, _ := pair()
	checked, err := client(t, kmsmigrate.OldOnly, old, nil).Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, checked[0].Old.Works)
}

func ExampleClient_Check() {
	old, next := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: old, New: keytest.Fail(next, kmsmigrate.ErrDenied)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Check(context.Background()) // when the application starts, before anything depends on the new key
	fmt.Println(err)
	// Output: kmsmigrate: encrypt on the new side: denied
}

func TestCheckFindsOneKeyBehindTwoEndpoints(t *testing.T) {
	t.Parallel()
	key := keytest.New(keytest.Config{})
	_, err := client(t, kmsmigrate.OldOnly, key, keytest.Slow(key, 0)).Check(t.Context())
	require.ErrorContains(t, err, "one and the same key")
}
