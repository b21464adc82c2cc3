package alikms_test

import (
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

func TestTemporaryCredentialsOpenBothFacesOfTheOpenAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	role := w.cloud.AssumeRole()
	for face, at := range map[string]struct {
		cfg    alikms.GatewayConfig
		create func(kmstest.KeySpec) (*kmstest.Key, error)
	}{"gateway": {w.gatewayConfig(), w.region.CreateKey}, "instance": {w.rpcConfig(), w.instance.CreateKey}} {
		fields, credential := at.cfg, at.cfg
		fields.AccessKeyID, fields.AccessKeySecret, fields.SecurityToken = role.AccessKeyID, role.AccessKeySecret, role.SecurityToken
		credential.AccessKeyID, credential.AccessKeySecret = "", ""
		credential.Credential = credentials.NewStsTokenCredential(role.AccessKeyID, role.AccessKeySecret, role.SecurityToken)
		id := makeKey(t, at.create, kmstest.KeySpec{}).ID()
		for how, cfg := range map[string]alikms.GatewayConfig{"fields": fields, "credential": credential} {
			w.cloud.ResetEvidence()
			k := keyAt(t, newGateway(t, cfg), id)
			blob, err := k.Encrypt(t.Context(), []byte("x"), plantedContext())
			require.NoError(t, err, "%s, %s", face, how)
			opened, err := k.Decrypt(t.Context(), blob, plantedContext())
			require.NoError(t, err, "%s, %s", face, how)
			require.Equal(t, "x", string(opened))
			requests := w.cloud.Requests(kmstest.Match{KeyID: id})
			require.NotEmpty(t, requests)
			for _, r := range requests {
				require.Equal(t, role.AccessKeyID, r.AccessKeyID)
			}
		}
	}
}

func TestATemporaryCredentialThatIsWrongOrExpiredIsDeniedOnceAndNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	role, other := w.cloud.AssumeRole(), w.cloud.AssumeRole()
	id := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()
	expired := kmstest.Fault{Match: w.region.Match(), Times: 1, Status: 403, Code: "InvalidSecurityToken.Expired", Message: "token " + role.SecurityToken + " has expired"}
	for name, c := range map[string]struct {
		secret, token string
		fault         *kmstest.Fault
	}{
		"no token":          {role.AccessKeySecret, "", nil},
		"another's token":   {role.AccessKeySecret, other.SecurityToken, nil},
		"a torn token":      {role.AccessKeySecret, role.SecurityToken[1:], nil},
		"another's secret":  {other.AccessKeySecret, role.SecurityToken, nil},
		"token has expired": {role.AccessKeySecret, role.SecurityToken, &expired},
	} {
		w.cloud.ResetEvidence()
		remove := func() {}
		if c.fault != nil {
			remove = w.cloud.Inject(*c.fault)
		}
		cfg := w.gatewayConfig()
		cfg.AccessKeyID, cfg.AccessKeySecret, cfg.SecurityToken = role.AccessKeyID, c.secret, c.token
		_, err := keyAt(t, newGateway(t, cfg), id).Encrypt(t.Context(), []byte(plantedText), plantedContext())
		remove()
		require.ErrorIs(t, err, kmsmigrate.ErrDenied, name)
		require.Equal(t, 1, w.cloud.Count(kmstest.Match{}), "%s: it is not repeated", name)
		requireSilent(t, err, role.AccessKeySecret, role.SecurityToken, other.SecurityToken, other.AccessKeySecret)
	}
}

// A provider that renews its credential is asked for every call, so a role's next key is used as soon as it is there.
func TestARenewedCredentialIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	id := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()
	role := w.cloud.AssumeRole()
	cfg := w.gatewayConfig()
	cfg.AccessKeyID, cfg.AccessKeySecret = "", ""
	cfg.Credential = &provider{give: func() (*credentials.Credentials, error) {
		return &credentials.Credentials{AccessKeyId: role.AccessKeyID, AccessKeySecret: role.AccessKeySecret, SecurityToken: role.SecurityToken}, nil
	}}
	k := keyAt(t, newGateway(t, cfg), id)
	for range 2 {
		_, err := k.Encrypt(t.Context(), []byte("x"), nil)
		require.NoError(t, err)
		requests := w.cloud.Requests(kmstest.Match{KeyID: id})
		require.Equal(t, role.AccessKeyID, requests[len(requests)-1].AccessKeyID)
		role = w.cloud.AssumeRole()
	}
}
