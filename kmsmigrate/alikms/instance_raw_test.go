package alikms_test

import (
	"testing"

	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestAnInstanceCarriesOutAnyOperationWithTheOfficialMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	instance := newInstance(t, w.instanceConfig())
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	var sealed api.EncryptResponse
	header, err := instance.Raw(t.Context(), alikms.InstanceCall{Action: "Encrypt", Request: &api.EncryptRequest{KeyId: key.ID(), Plaintext: []byte("hello")}, Answer: &sealed})
	require.NoError(t, err)
	require.Equal(t, "AES_GCM", sealed.Algorithm)
	version := header("X-Kms-Migrationkeyversionid")
	require.Equal(t, key.VersionID(), version)

	// A header of the caller's is sent and signed; what a request is signed with is not the caller's to say.
	var opened api.DecryptResponse
	_, err = instance.Raw(t.Context(), alikms.InstanceCall{
		Action: "Decrypt", Request: &api.DecryptRequest{Iv: sealed.Iv, CiphertextBlob: sealed.CiphertextBlob}, Answer: &opened,
		Header: map[string]string{"X-Kms-MigrationKeyVersionId": version, "x-kms-apiname": "Encrypt", "Content-Sha256": "0"},
	})
	require.NoError(t, err)
	require.Equal(t, "hello", string(opened.Plaintext))

	for _, c := range []alikms.InstanceCall{{}, {Action: "Encrypt"}, {Action: "Encrypt", Request: &api.EncryptRequest{}}} {
		header, err = instance.Raw(t.Context(), c)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.Nil(t, header)
	}

	// What cannot be sent is found out without sending it.
	w.cloud.ResetEvidence()
	for _, c := range []alikms.InstanceCall{
		{Request: &api.EncryptRequest{KeyId: "\xff", Plaintext: []byte("hello")}},
		{Request: &api.EncryptRequest{}, Header: map[string]string{"x-kms-migrationkeyversionid": "a\nb"}},
		{Request: &api.EncryptRequest{}, Header: map[string]string{"x kms": "a"}},
	} {
		c.Action, c.Answer = "Encrypt", &api.EncryptResponse{}
		_, err = instance.Raw(t.Context(), c)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	require.Zero(t, w.cloud.Count(kmstest.Match{}))
}

func TestRawOfAnInstanceIsTriedAsOftenAsIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	instance := newInstance(t, w.instanceConfig())
	w.cloud.Inject(kmstest.Fault{Status: 500, Code: "InternalFailure"})
	for _, attempts := range []int{1, 2} {
		w.cloud.ResetEvidence()
		_, err := instance.Raw(t.Context(), alikms.InstanceCall{Action: "GenerateRandom", Request: &api.GenerateRandomRequest{Length: 8}, Answer: &api.GenerateRandomResponse{}, Attempts: attempts})
		require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		require.Equal(t, attempts, w.cloud.Count(kmstest.Match{}))
	}
}

func TestRawOfAnInstanceTakesNoAnswerThatCannotBeRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	instance := newInstance(t, w.instanceConfig())
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	calls := map[string][2]proto.Message{
		"Encrypt":        {&api.EncryptRequest{KeyId: key.ID(), Plaintext: []byte("p")}, &api.EncryptResponse{}},
		"AdvanceEncrypt": {&api.AdvanceEncryptRequest{KeyId: key.ID(), Plaintext: []byte("p")}, &api.AdvanceEncryptResponse{}},
		"GenerateRandom": {&api.GenerateRandomRequest{Length: 16}, &api.GenerateRandomResponse{}},
	}
	for _, body := range []kmstest.Body{kmstest.BodyEmpty, kmstest.BodyObject, kmstest.BodyNull, kmstest.BodyHTML, kmstest.BodyTruncated} {
		remove := w.cloud.Inject(kmstest.Fault{Body: body, Status: 200})
		for action, c := range calls {
			_, err := instance.Raw(t.Context(), alikms.InstanceCall{Action: action, Request: c[0], Answer: c[1]})
			require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer, "%s, %s", action, body)
		}
		remove()
	}
}

func TestRawOfAnInstanceShowsNoBytesOfARequest(t *testing.T) {
	t.Parallel()
	const planted = "pl4nted-s3cret"
	w := newWorld(t, kmstest.Config{})
	instance := newInstance(t, w.instanceConfig())
	w.cloud.Inject(kmstest.Fault{Status: 400, Code: "InvalidParam", Message: "what is " + planted})
	for _, request := range []*api.EncryptRequest{{Plaintext: []byte(planted)}, {Aad: []byte(planted)}} {
		_, err := instance.Raw(t.Context(), alikms.InstanceCall{Action: "Encrypt", Request: request, Answer: &api.EncryptResponse{}})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		var said *tea.SDKError
		require.ErrorAs(t, err, &said)
		require.NotContains(t, err.Error()+said.Error(), "s3cret")
	}
}
