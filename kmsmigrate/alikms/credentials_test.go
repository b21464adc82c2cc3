package alikms_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// v2 is a credential as credentials-go has them.
type v2 struct {
	id, secret string
	asked      atomic.Int32
}

func (c *v2) GetAccessKeyId() (*string, error)     { c.asked.Add(1); return &c.id, nil }
func (c *v2) GetAccessKeySecret() (*string, error) { return &c.secret, nil }
func (c *v2) GetSecurityToken() (*string, error)   { return nil, nil }

// model is what credentials-go answers with when it is asked for a key as a whole.
type model struct {
	AccessKeyId, AccessKeySecret, SecurityToken *string
	Type                                        *string
}

// renewing is a credential whose parts are another key's each time.
type renewing struct {
	v2
	cloud *kmstest.Cloud
}

func (c *renewing) GetAccessKeyId() (*string, error) {
	id := c.cloud.AssumeRole().AccessKeyID
	return &id, nil
}

func (c *renewing) GetCredential() (*model, error) {
	role := c.cloud.AssumeRole()
	return &model{AccessKeyId: &role.AccessKeyID, AccessKeySecret: &role.AccessKeySecret, SecurityToken: &role.SecurityToken}, nil
}

func TestAKeyThatChangesBetweenItsPartsIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	cfg := w.gatewayConfig()
	cfg.AccessKeyID, cfg.AccessKeySecret, cfg.Credential = "", "", &renewing{cloud: w.cloud}
	_, err := keyAt(t, newGateway(t, cfg), makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
}

// provider is one of the V1.0 SDK's kind. Without locks it is not safe for concurrent use, as theirs are.
type provider struct {
	give  func() (*credentials.Credentials, error)
	calls int
}

func (p *provider) GetCredentials() (*credentials.Credentials, error) { p.calls++; return p.give() }
func (p *provider) GetProviderName() string                           { return "test" }

func TestCredentialsOfBothSDKsAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	id, secret := w.cloud.Credentials()
	asked := &provider{give: func() (*credentials.Credentials, error) {
		return &credentials.Credentials{AccessKeyId: id, AccessKeySecret: secret}, nil
	}}
	for name, credential := range map[string]any{
		"V1.0 access key": credentials.NewAccessKeyCredential(id, secret),
		"V1.0 provider":   asked,
		"V2.0":            &v2{id: id, secret: secret},
	} {
		cfg := w.gatewayConfig()
		cfg.AccessKeyID, cfg.AccessKeySecret, cfg.Credential = "", "", credential
		k := keyAt(t, newGateway(t, cfg), key.ID())
		done := make(chan error, 16)
		for range cap(done) {
			go func() {
				_, err := k.Encrypt(t.Context(), []byte("x"), nil)
				done <- err
			}()
		}
		for range cap(done) {
			require.NoError(t, <-done, name)
		}
	}
	require.Equal(t, 16, asked.calls, "for every call, so that a refreshed key is used at once")

	both, unknown := w.gatewayConfig(), w.gatewayConfig()
	both.Credential = &v2{}
	unknown.AccessKeyID, unknown.AccessKeySecret, unknown.Credential = "", "", 42
	for _, cfg := range []alikms.GatewayConfig{both, unknown} {
		_, err := alikms.NewGateway(cfg)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
}

func TestAProviderThatFailsOrHangsDoesNotHoldTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	cfg := w.gatewayConfig()
	cfg.AccessKeyID, cfg.AccessKeySecret = "", ""
	cfg.Credential = &provider{give: func() (*credentials.Credentials, error) {
		return nil, errors.New("https://sts.example/?token=planted")
	}}
	_, err := keyAt(t, newGateway(t, cfg), "key-x").Encrypt(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrDenied)
	requireSilent(t, err)

	release := make(chan struct{})
	cfg.Credential = &provider{give: func() (*credentials.Credentials, error) { <-release; return nil, errors.New("late") }}
	k := keyAt(t, newGateway(t, cfg), "key-x")
	t.Cleanup(func() { close(release) })
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err = k.Encrypt(ctx, []byte("x"), nil)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 5*time.Second, "the provider hangs for ever")
	}
}

func TestSecretsCanStandInFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	cfg := alikms.InstanceConfig{
		Endpoint: w.instance.Addr, ClientKeyFile: write("key.json", w.clientKey.JSON),
		PasswordFile: write("password.txt", []byte(w.clientKey.Password+"\n")), CAFile: write("ca.pem", w.instance.CA()),
	}
	_, err := keyAt(t, newInstance(t, cfg), key.ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	for name, change := range map[string]func(*alikms.InstanceConfig){
		"missing": func(c *alikms.InstanceConfig) { c.ClientKeyFile = filepath.Join(dir, "none") },
		"empty":   func(c *alikms.InstanceConfig) { c.PasswordFile = write("empty", []byte(" \n")) },
		"both":    func(c *alikms.InstanceConfig) { c.CAPEM = w.instance.CA() },
	} {
		bad := cfg
		change(&bad)
		_, err := alikms.NewInstance(bad)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
		require.NotContains(t, err.Error(), w.clientKey.Password)
	}
}

func TestAClientKeyIsReplacedWhileCallsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	next, err := w.instance.CreateClientKey()
	require.NoError(t, err)
	instance := newInstance(t, w.instanceConfig())
	k := keyAt(t, instance, key.ID())
	var stop atomic.Bool
	failed := make(chan error, 64)
	for range cap(failed) {
		go func() {
			var err error
			for err == nil && !stop.Load() {
				var blob []byte
				if blob, err = k.Encrypt(context.Background(), []byte("x"), nil); err == nil {
					_, err = k.Decrypt(context.Background(), blob, nil)
				}
			}
			failed <- err
		}()
	}
	pairs := []*kmstest.ClientKey{next, w.clientKey, next}
	for _, ck := range pairs {
		seen := w.cloud.Count(w.instance.Match())
		require.Eventually(t, func() bool { return w.cloud.Count(w.instance.Match()) > seen+20 }, 10*time.Second, time.Millisecond)
		require.NoError(t, instance.ReplaceClientKey(ck.JSON, ck.Password))
	}
	stop.Store(true)
	for range cap(failed) {
		require.NoError(t, <-failed)
	}
	_, err = k.Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	requests := w.cloud.Requests(w.instance.Match())
	require.Equal(t, next.ID, requests[len(requests)-1].AccessKeyID, "the new ClientKey signs")
}

type recorder struct{ attempts chan alikms.Attempt }

func (r recorder) Start(ctx context.Context, _ alikms.Attempt) context.Context { return ctx }
func (r recorder) End(_ context.Context, a alikms.Attempt)                     { r.attempts <- a }

func TestAnObserverIsToldOfEveryAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	cfg := w.gatewayConfig()
	seen := recorder{make(chan alikms.Attempt, 10)}
	cfg.Observer, cfg.Side = seen, kmsmigrate.SideOld
	k := keyAt(t, newGateway(t, cfg), key.ID())
	w.cloud.Inject(kmstest.Fault{Match: w.region.Match(), Status: 503, Times: 1})
	_, err := k.Encrypt(kmsmigrate.Background(t.Context()), []byte(plantedText), plantedContext())
	require.NoError(t, err)
	first, second := <-seen.attempts, <-seen.attempts
	require.Equal(t, 1, first.Number)
	require.ErrorIs(t, first.Err, kmsmigrate.ErrUnavailable)
	requireSilent(t, first.Err)
	require.Equal(t, 2, second.Number)
	require.NoError(t, second.Err)
	require.Equal(t, "Encrypt", second.Op)
	require.Equal(t, kmsmigrate.SideOld, second.Side)
	require.Equal(t, key.ID(), second.Key.KeyID)
	require.True(t, second.Background)
	require.Positive(t, second.Duration)
	require.Empty(t, seen.attempts)
}
