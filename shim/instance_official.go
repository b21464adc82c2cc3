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

// ofOfficial makes the one side of the original's config. It does not write to config, as the original does.
func ofOfficial(config *gcsapi.Config) (*instances, error) {
	if config == nil {
		return nil, invalid("config is nil")
	}
	for _, proxy := range []*string{config.HttpProxy, config.HttpsProxy, config.Socks5Proxy} {
		if tea.StringValue(proxy) != "" {
			return nil, invalid("a proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), not from config")
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
		return nil, invalid("ClientKeyContent or ClientKeyFile is needed, with Password: an AccessKeyId with a PrivateKey, or a Credential, has no certificate")
	}
	cfg.Limits.Call = time.Duration(tea.IntValue(config.ReadTimeout)) * time.Millisecond
	connect := time.Duration(tea.IntValue(config.ConnectTimeout))
	if connect < 100 {
		cfg.Limits.Connect = connect * time.Second
	} else {
		cfg.Limits.Connect = connect * time.Millisecond
	}
	hasCA := len(cfg.CAPEM) > 0 || cfg.CAFile != ""
	cfg.InsecureSkipVerify = tea.BoolValue(config.IgnoreSSL) && !hasCA
	if hasCA || cfg.InsecureSkipVerify || cfg.PlainHTTP || cfg.Endpoint == "" {
		return newInstances(InstanceConfig{Old: cfg})
	}
	// Everything but the CA is checked now, with an address that nothing is sent to.
	probe := cfg
	probe.Endpoint, probe.PlainHTTP = "localhost", true
	r, err := newInstances(InstanceConfig{Old: probe})
	if err != nil {
		return nil, err
	}
	r.sides[kmsmigrate.SideOld].close()
	r.sides[kmsmigrate.SideOld] = &instanceSide{which: kmsmigrate.SideOld, late: &cfg}
	return r, nil
}
