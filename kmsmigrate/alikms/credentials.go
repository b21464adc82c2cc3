package alikms

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// V2Credential is the part of a Credential of github.com/aliyun/credentials-go, the V2.0 SDK's package, that a Gateway
// needs. Every Credential of that package is one, so that this module does not depend on it.
type V2Credential interface {
	GetAccessKeyId() (*string, error)
	GetAccessKeySecret() (*string, error)
	GetSecurityToken() (*string, error)
}

// accessKey is a RAM access key, or what stands for one during a call. It is a CredentialsProvider of the SDK.
type accessKey struct{ id, secret, token, bearer, provider string }

func (k accessKey) GetCredentials() (*credentials.Credentials, error) {
	return &credentials.Credentials{AccessKeyId: k.id, AccessKeySecret: k.secret, SecurityToken: k.token, BearerToken: k.bearer, ProviderName: k.provider}, nil
}

func (k accessKey) GetProviderName() string { return k.provider }

// credentialSource gives the access key of a call. The providers of the SDKs go to the network when a temporary key
// expires, know no context, and are not safe for concurrent use, so they are asked by one goroutine at a time, and
// callers wait for it as long as their contexts allow.
type credentialSource struct {
	ask  func() (accessKey, error)
	turn chan struct{}
	last atomic.Pointer[accessKey] // to keep out of errors
	wait func(func())              // runs its argument as one of the endpoint's goroutines
}

func staticCredential(id, secret, token string) *credentialSource {
	key := accessKey{id: id, secret: secret, token: token, provider: "static_ak"}
	if token != "" {
		key.provider = "static_sts"
	}
	s := new(credentialSource)
	s.last.Store(&key)
	return s
}

// newCredentialSource takes whatever services/kms takes as a credential, and a credential of credentials-go.
func newCredentialSource(credential any, run func(func())) (*credentialSource, error) {
	s := &credentialSource{turn: make(chan struct{}, 1), wait: run}
	if v2, ok := credential.(V2Credential); ok {
		if s.ask = askWhole(v2); s.ask == nil {
			s.ask = func() (accessKey, error) { return askV2(v2) }
		}
		return s, nil
	}
	provider, err := auth.ToCredentialsProvider(credential)
	if err != nil {
		return nil, invalid("Credential is of type %T, which is neither a credential of alibaba-cloud-sdk-go nor one of credentials-go", credential)
	}
	s.ask = func() (accessKey, error) {
		c, err := provider.GetCredentials()
		if err != nil || c == nil {
			return accessKey{}, errNoCredential
		}
		return accessKey{c.AccessKeyId, c.AccessKeySecret, c.SecurityToken, c.BearerToken, c.ProviderName}, nil
	}
	return s, nil
}

var errNoCredential = errors.New("the credential provider gives no credential")

// askWhole reads a key at once, by the GetCredential that credentials-go has since 1.4: near the end of a key, each of the other
// three may renew it. Its answer is of a type of that package, which this module does not depend on. Where there is none, it
// returns nil.
func askWhole(credential V2Credential) func() (accessKey, error) {
	get := reflect.ValueOf(credential).MethodByName("GetCredential")
	if !get.IsValid() || get.Type().NumIn() != 0 || get.Type().NumOut() != 2 ||
		get.Type().Out(0).Kind() != reflect.Pointer || get.Type().Out(0).Elem().Kind() != reflect.Struct || get.Type().Out(1) != reflect.TypeFor[error]() {
		return nil
	}
	for _, name := range []string{"AccessKeyId", "AccessKeySecret", "SecurityToken"} {
		if field, ok := get.Type().Out(0).Elem().FieldByName(name); !ok || field.Type != reflect.TypeFor[*string]() {
			return nil
		}
	}
	return func() (accessKey, error) {
		out := get.Call(nil)
		if !out[1].IsNil() || out[0].IsNil() {
			return accessKey{}, errNoCredential
		}
		part := func(name string) string {
			value, _ := out[0].Elem().FieldByName(name).Interface().(*string)
			return text(value)
		}
		return accessKey{id: part("AccessKeyId"), secret: part("AccessKeySecret"), token: part("SecurityToken"), provider: "credentials_go"}, nil
	}
}

// askV2 reads the three parts of a key, which a refresh in between could tear apart: a key whose id was the same before
// and after is whole.
func askV2(credential V2Credential) (accessKey, error) {
	for range 3 {
		before, err := credential.GetAccessKeyId()
		if err != nil {
			return accessKey{}, errNoCredential
		}
		secret, err := credential.GetAccessKeySecret()
		if err != nil {
			return accessKey{}, errNoCredential
		}
		token, err := credential.GetSecurityToken()
		if err != nil {
			return accessKey{}, errNoCredential
		}
		after, err := credential.GetAccessKeyId()
		if err != nil {
			return accessKey{}, errNoCredential
		}
		if text(before) == text(after) {
			return accessKey{id: text(before), secret: text(secret), token: text(token), provider: "credentials_go"}, nil
		}
	}
	return accessKey{}, errNoCredential
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// get returns the access key for one attempt.
func (s *credentialSource) get(ctx context.Context) (accessKey, error) {
	if s.ask == nil {
		return *s.last.Load(), nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return accessKey{}, done(ctx)
	}
	type result struct {
		key accessKey
		err error
	}
	answer := make(chan result, 1)
	s.wait(func() {
		defer func() { <-s.turn }()
		key, err := s.ask()
		if err == nil && key.id == "" && key.bearer == "" {
			err = errNoCredential
		}
		answer <- result{key, err}
	})
	select {
	case r := <-answer:
		if r.err != nil {
			// What the provider says can quote tokens and URLs.
			return accessKey{}, &failure{sentinel: kmsmigrate.ErrDenied, text: r.err.Error()}
		}
		s.last.Store(&r.key)
		return r.key, nil
	case <-ctx.Done():
		return accessKey{}, done(ctx)
	}
}

// secrets returns what of the latest access key must not be shown.
func (s *credentialSource) secrets() secrets {
	key := s.last.Load()
	if key == nil {
		return nil
	}
	return secrets{key.secret, key.token, key.bearer}
}

// contentOf returns what a config gives either as a value or as a file.
func contentOf(field string, value []byte, file string) ([]byte, error) {
	switch {
	case file == "":
		return value, nil
	case len(value) > 0:
		return nil, invalid("%s and %sFile are both set: one is enough", field, field)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, invalid("%sFile cannot be read: %s", field, pathless(err))
	}
	if strings.TrimSpace(string(content)) == "" {
		return nil, invalid("%sFile is empty", field)
	}
	return content, nil
}

// pathless keeps the reason of a file's error.
func pathless(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + path.Err.Error()
	}
	return "unknown reason"
}
