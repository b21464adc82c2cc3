package shim

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	gcsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// instanceSide is one end of an Instance's migration.
type instanceSide struct {
	which kmsmigrate.Side

	mu     sync.Mutex
	made   *alikms.Instance
	late   *alikms.InstanceConfig // what made is made of once a call brings the CA; nil where it is made
	closed bool
}

func newInstanceSide(which kmsmigrate.Side, cfg alikms.InstanceConfig) (*instanceSide, error) {
	if cfg.Side == kmsmigrate.SideUnknown {
		cfg.Side = which
	}
	made, err := alikms.NewInstance(cfg)
	if err != nil {
		return nil, invalid("%s side: %w", which, err)
	}
	return &instanceSide{which: which, made: made}, nil
}

// get returns the instance, given what a call brought. The first one counts, as with the original, whose connections are shared.
func (s *instanceSide) get(trust trust) (*alikms.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made != nil {
		return s.made, nil
	}
	if s.closed || trust.ca == "" && !trust.insecure {
		return nil, failedCall(http.StatusBadRequest, "InvalidParam", "The instance's CA is needed, for its certificate is signed by a private one: give it in Config.Ca, Config.CaFilePath or RuntimeOptions.Verify.")
	}
	cfg := *s.late
	cfg.CAPEM, cfg.InsecureSkipVerify = []byte(trust.ca), trust.ca == ""
	made, err := alikms.NewInstance(cfg)
	if err != nil {
		return nil, failedCall(http.StatusBadRequest, "InvalidParam", err.Error())
	}
	s.made, s.late = made, nil
	return made, nil
}

// trust is what the runtime options of a call say of the instance's certificate.
type trust struct {
	ca       string
	insecure bool
}

func (s *instanceSide) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.made != nil {
		_ = s.made.Close() // it never fails
	}
}

// Instance makes the Instance of the migration of an application that gives config to the original's constructor: config is the old side, and
// the new one is the instance that new.clientKey names. ClientKeyContent or ClientKeyFile, with Password, and Endpoint are needed in
// config, and Ca or CaFilePath unless the first call's RuntimeOptions.Verify has the CA, or IgnoreSSL does without. ConnectTimeout is taken
// for seconds below 100 and for milliseconds from there: the original changed its mind. A proxy is taken from HTTPS_PROXY; one
// in config is refused, as are AccessKeyId with PrivateKey. It fails with kmsmigrate.ErrInvalid.
func (m Migration) Instance(config *gcsapi.Config) (*Instance, error) {
	r, err := m.instances(config)
	if err != nil {
		return nil, err
	}
	i := &Instance{}
	i.route.Store(r)
	return i, nil
}

func (m Migration) instances(config *gcsapi.Config) (*instances, error) {
	old, err := ofOfficial(config)
	if err != nil {
		return nil, err
	}
	said, err := m.Config(Application{})
	if err != nil {
		return nil, err
	}
	cfg := InstanceConfig{
		Phase: said.Phase, Signing: said.Signing, Old: old, Keys: said.Keys, Retained: said.Retained, Published: said.Published,
		KeyVersions: said.KeyVersions, Secrets: said.Secrets, AnswerOldIDs: said.AnswerOldIDs,
	}
	if m.Old != nil {
		cfg.Old.Versions = m.Old.Versions
	}
	switch {
	case said.NewInstance != nil:
		cfg.New = *said.NewInstance
		cfg.New.Versions = m.New.Versions
	case m.New != nil:
		return nil, invalid("the migration file: new has no clientKey, and an application of the instance SDK migrates to an instance")
	}
	late := old
	if len(old.CAPEM) > 0 || old.CAFile != "" || old.InsecureSkipVerify || old.PlainHTTP || old.Endpoint == "" {
		return newInstances(cfg)
	}
	// Everything but the CA is checked now; nothing is sent before a call has brought it.
	cfg.Old.InsecureSkipVerify = true
	r, err := newInstances(cfg)
	if err != nil {
		return nil, err
	}
	r.sides[kmsmigrate.SideOld].close()
	r.sides[kmsmigrate.SideOld] = &instanceSide{which: kmsmigrate.SideOld, late: &late}
	return r, nil
}

// ofOfficial reads the original's config. It does not write to it, as the original does.
func ofOfficial(config *gcsapi.Config) (alikms.InstanceConfig, error) {
	if config == nil {
		return alikms.InstanceConfig{}, invalid("config is nil")
	}
	for _, proxy := range []*string{config.HttpProxy, config.HttpsProxy, config.Socks5Proxy} {
		if tea.StringValue(proxy) != "" {
			return alikms.InstanceConfig{}, invalid("a proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), not from config")
		}
	}
	cfg := alikms.InstanceConfig{
		Endpoint:  strings.TrimPrefix(tea.StringValue(config.Endpoint), "https://"),
		ClientKey: []byte(tea.StringValue(config.ClientKeyContent)), Password: tea.StringValue(config.Password),
		CAPEM: []byte(tea.StringValue(config.Ca)), PlainHTTP: strings.EqualFold(tea.StringValue(config.Protocol), "http"),
		Region: tea.StringValue(config.RegionId), Side: kmsmigrate.SideOld,
	}
	if len(cfg.ClientKey) == 0 {
		cfg.ClientKey, cfg.ClientKeyFile = nil, tea.StringValue(config.ClientKeyFile)
	}
	if len(cfg.CAPEM) == 0 {
		cfg.CAPEM, cfg.CAFile = nil, tea.StringValue(config.CaFilePath)
	}
	if len(cfg.ClientKey) == 0 && cfg.ClientKeyFile == "" && (config.Credential != nil || tea.StringValue(config.AccessKeyId) != "") {
		return cfg, invalid("ClientKeyContent or ClientKeyFile is needed, with Password: an AccessKeyId with a PrivateKey, or a Credential, has no certificate")
	}
	cfg.InsecureSkipVerify = tea.BoolValue(config.IgnoreSSL) && len(cfg.CAPEM) == 0 && cfg.CAFile == ""
	cfg.Limits.Call = time.Duration(tea.IntValue(config.ReadTimeout)) * time.Millisecond
	connect := time.Duration(tea.IntValue(config.ConnectTimeout))
	if connect < 100 {
		cfg.Limits.Connect = connect * time.Second
	} else {
		cfg.Limits.Connect = connect * time.Millisecond
	}
	return cfg, nil
}
