package kmstest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// CredentialPrefix begins every access key id that a Cloud makes up, and, after "KAAP.", every ClientKey id. Real ones never begin
// so; a client can refuse to send such credentials anywhere but to this machine.
const CredentialPrefix = "KMSTEST"

// Config says how a Cloud differs from the usual one. The zero value is useful.
type Config struct {
	// Account is the uid of the account that owns everything, 16 digits. Empty: a made-up one.
	Account string
	// AccessKeyID and AccessKeySecret are the account's access key. Empty: made up, see Cloud.Credentials.
	AccessKeyID, AccessKeySecret string
	// Host is the address that all faces listen on. Empty: 127.0.0.1. Nothing else is reachable from another machine, and
	// nothing else should be: the credentials protect nothing of worth, and a mistaken client must not find a fake.
	Host string
	// Now is the clock that keys, secrets and ClientKeys live by; Cloud.Advance moves it. Nil: time.Now. Signatures are judged by
	// the real time, since clients sign with that.
	Now func() time.Time
	// BadCiphertext answers a blob that does not open: corrupt, or with another context. Zero: 400 InvalidParameter, a guess,
	// for no document of Alibaba's names the code. Code under test should not depend on it, and can be shown not to by changing it.
	BadCiphertext Answer
	// BadInstanceCiphertext is the same on the protobuf face. Zero: 400 InvalidParam.
	BadInstanceCiphertext Answer
	// UnknownVersion answers a blob whose first 36 bytes name no key version of the place: another region's, another account's.
	// Zero: 404 Forbidden.KeyNotFound, likewise a guess.
	UnknownVersion Answer
	// EmptyContextIsNone makes the EncryptionContext {} the same as none. Alibaba's transfer SDKs tell the two apart, so the fake does too.
	EmptyContextIsNone bool
	// ReportNewVersions makes Decrypt answer with the new version id of a key that the migration tool moved, where the blob has the old
	// one. Zero: the id that stands in the blob.
	ReportNewVersions bool
	// NoMigrationHeader makes instances leave out the answer header x-kms-migrationkeyversionid for keys that were born in KMS 3.0; moved keys
	// always have it. Whether the service sends it for them is not documented. Zero: it does.
	NoMigrationHeader bool
	// AdvanceOnHardware lets hardware instances do AdvanceEncrypt and its like. One document says that they cannot, another lists them.
	AdvanceOnHardware bool
	// PlainSM2 makes SM2PKE give 04 ‖ x ‖ y ‖ C3 ‖ C2 as it stands. Zero: the ASN.1 of GM/T 0009, which has the same parts in the same order.
	// No document of Alibaba's says which; decryption takes both.
	PlainSM2 bool
	// HTTPSOnly makes the plain http port of every region answer 400 InvalidProtocol.NeedSsl, for the documents give https alone.
	HTTPSOnly bool
	// KeepRequests bounds how many requests Cloud.Requests remembers, latest first to stay. Zero: 100,000. Counters are exact for ever.
	KeepRequests int
	// StateFile, when set, is read by Start if it is there, and kept up to date after every change from then on, so that a process that was
	// killed can go on with the same keys, addresses and certificates. It holds key material and credentials of the fake.
	StateFile string
	// Seed makes the dice of Fault.Chance repeat. Zero: 1.
	Seed uint64
}

// Answer is an error answer: HTTP status, code and message.
type Answer struct {
	Status  int
	Code    string
	Message string
}

func (a Answer) model() *model.Error {
	if a.Code == "" {
		return nil
	}
	return &model.Error{Status: cmp.Or(a.Status, http.StatusBadRequest), Code: a.Code, Message: a.Message}
}

// Cloud is one fake cloud: one account, any number of regions. Make it with Start and end it with Close. It is safe for concurrent use.
type Cloud struct {
	config  Config
	model   *model.Cloud
	badBlob *model.Error // on the protobuf face

	offset atomic.Int64 // of the clock, in nanoseconds

	credentials sync.Map // access key id -> credential
	evidence    evidence
	faults      faults
	quotas      quotas

	mu        sync.Mutex
	regions   map[string]*Region
	instances map[string]*Instance
	faces     []*face
	clients   []*http.Transport
	closed    bool
	saveErr   error
	done      chan struct{}

	saving sync.Mutex // one writer of the state file at a time
	ready  atomic.Bool
}

// Start starts an empty cloud. Regions open their ports when they are first asked for.
func Start(config Config) (*Cloud, error) {
	warmSDK()
	var saved *state
	if config.StateFile != "" {
		var err error
		if saved, err = readState(config.StateFile); err != nil {
			return nil, fmt.Errorf("kmstest: %w", err)
		}
	}
	if saved != nil {
		if err := saved.adopt(&config); err != nil {
			return nil, fmt.Errorf("kmstest: %w", err)
		}
	}
	config.Account = cmp.Or(config.Account, "1234567890123456")
	config.AccessKeyID = cmp.Or(config.AccessKeyID, CredentialPrefix+rand.Text())
	config.AccessKeySecret = cmp.Or(config.AccessKeySecret, rand.Text())
	config.Host = cmp.Or(config.Host, "127.0.0.1")
	if net.ParseIP(config.Host) == nil {
		return nil, fmt.Errorf("kmstest: Config.Host %q is not an IP address", config.Host)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Cloud{config: config, regions: map[string]*Region{}, instances: map[string]*Instance{}, done: make(chan struct{})}
	c.badBlob = config.BadInstanceCiphertext.model()
	if c.badBlob == nil {
		c.badBlob = invalidParam("CiphertextBlob")
	}
	c.model = model.New(config.Account, c.Now, model.Rules{
		BadCiphertext:  config.BadCiphertext.model(),
		UnknownVersion: config.UnknownVersion.model(),

		EmptyContextIsNone: config.EmptyContextIsNone,
		ReportNewVersions:  config.ReportNewVersions,
		AdvanceOnHardware:  config.AdvanceOnHardware,
		PlainSM2:           config.PlainSM2,
	})
	c.evidence.keep = cmp.Or(max(config.KeepRequests, 0), 100_000)
	c.faults.seed(cmp.Or(config.Seed, 1))
	c.credentials.Store(config.AccessKeyID, newCredential(config.AccessKeyID, config.AccessKeySecret, ""))
	c.model.OnChange(c.save)
	if saved != nil {
		if err := c.load(saved); err != nil {
			return nil, errors.Join(fmt.Errorf("kmstest: %s: %w", config.StateFile, err), c.Close())
		}
	}
	c.ready.Store(true)
	c.save()
	return c, nil
}

// Close ends every listener and connection and returns when none is left. Handed-out SDK clients stop working.
func (c *Cloud) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.done)
	faces, clients := c.faces, c.clients
	errs := []error{c.saveErr}
	c.mu.Unlock()
	for _, f := range faces {
		errs = append(errs, f.close())
	}
	for _, t := range clients {
		t.CloseIdleConnections()
	}
	return errors.Join(errs...)
}

// Account is the uid of the account that owns everything.
func (c *Cloud) Account() string { return c.config.Account }

// Credentials is the account's access key, good for every region and for the RPC face of every instance.
func (c *Cloud) Credentials() (accessKeyID, accessKeySecret string) {
	return c.config.AccessKeyID, c.config.AccessKeySecret
}

// Now is the time that keys, secrets and ClientKeys live by.
func (c *Cloud) Now() time.Time { return c.config.Now().Add(time.Duration(c.offset.Load())) }

// Advance moves the clock forward: rotations fall due, deletion windows end, ClientKeys expire. It does not sleep.
func (c *Cloud) Advance(d time.Duration) {
	c.offset.Add(int64(d))
	c.save()
}

// instanceCA is what GetKmsInstance returns as the chain of an instance.
func (c *Cloud) instanceCA(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.instances[id]; i != nil {
		return string(i.ca.pem)
	}
	return ""
}

// Region opens the region with that id, such as cn-hangzhou, on first use, and returns the same one from then on.
func (c *Cloud) Region(id string) (*Region, error) {
	if !regionName.MatchString(id) {
		return nil, fmt.Errorf("kmstest: %q is not a region id", id)
	}
	m := c.model.Region(id)
	r, made, err := c.regionOf(m)
	if err != nil {
		return nil, err
	}
	if made {
		c.save()
	}
	return r, nil
}

func (c *Cloud) regionOf(m *model.Region) (r *Region, made bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.regions[m.ID]; r != nil {
		return r, false, nil
	}
	ca, err := newAuthority("kms."+m.ID, net.ParseIP(c.config.Host))
	if err != nil {
		return nil, false, fmt.Errorf("kmstest: certificate of region %s: %w", m.ID, err)
	}
	r, err = c.openRegion(m, ca, "", "")
	return r, err == nil, err
}
