package kmstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// stateVersion is the form of the state file. A file of another form is refused.
const stateVersion = 1

// state is everything that must outlive a killed process: the cloud, and the addresses and certificates that clients hold on to. Faults,
// quotas and evidence are the test's and are not in it.
type state struct {
	Version         int
	Account         string
	AccessKeyID     string
	AccessKeySecret string
	Further         []TemporaryCredentials // further access keys have no token
	Offset          time.Duration
	Regions         []regionState
	Instances       []instanceState
	Model           model.Snapshot
}

type regionState struct {
	ID, HTTP, HTTPS string
	CA              authorityState
}

type instanceState struct {
	ID, Region, Addr string
	CA               authorityState
}

// Save writes the whole state to a file that Config.StateFile of a later Start takes. The file holds key material and credentials of the fake.
func (c *Cloud) Save(path string) error {
	if err := c.saveTo(path); err != nil {
		return fmt.Errorf("kmstest: save: %w", err)
	}
	return nil
}

// save keeps Config.StateFile up to date. It is called after every change, before the one who made it hears of it, so that a killed process
// has lost nothing that anyone was told.
func (c *Cloud) save() {
	if c.config.StateFile == "" || !c.ready.Load() {
		return
	}
	if err := c.saveTo(c.config.StateFile); err != nil {
		c.mu.Lock()
		c.saveErr = fmt.Errorf("kmstest: save: %w", err)
		c.mu.Unlock()
	}
}

func (c *Cloud) saveTo(path string) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	s, err := c.state()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(path, raw)
}

// replaceFile never leaves half a file.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one to tell
	}
	return err
}

func (c *Cloud) state() (state, error) {
	snapshot, err := c.model.Snapshot()
	if err != nil {
		return state{}, err
	}
	s := state{Version: stateVersion, Account: c.config.Account, AccessKeyID: c.config.AccessKeyID, AccessKeySecret: c.config.AccessKeySecret,
		Offset: time.Duration(c.offset.Load()), Model: snapshot}
	c.credentials.Range(func(_, v any) bool {
		if k := v.(credential); k.id != c.config.AccessKeyID {
			s.Further = append(s.Further, TemporaryCredentials{k.id, k.secret, k.token})
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.regions {
		ca, err := r.ca.state()
		if err != nil {
			return state{}, err
		}
		s.Regions = append(s.Regions, regionState{r.ID, r.HTTP, r.HTTPS, ca})
	}
	for _, i := range c.instances {
		ca, err := i.ca.state()
		if err != nil {
			return state{}, err
		}
		s.Instances = append(s.Instances, instanceState{i.ID, i.region.ID, i.Addr, ca})
	}
	return s, nil
}

// readState returns nil when there is no file yet.
func readState(path string) (*state, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is not a state file: %w", path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%s has version %d, want %d", path, s.Version, stateVersion)
	}
	return &s, nil
}

// adopt makes the config agree with the file.
func (s *state) adopt(c *Config) error {
	for _, f := range []struct {
		name  string
		field *string
		saved string
	}{
		{"Account", &c.Account, s.Account}, {"AccessKeyID", &c.AccessKeyID, s.AccessKeyID}, {"AccessKeySecret", &c.AccessKeySecret, s.AccessKeySecret},
	} {
		if *f.field != "" && *f.field != f.saved {
			return fmt.Errorf("the %s of the Config differs from the one in %s", f.name, c.StateFile)
		}
		*f.field = f.saved
	}
	return nil
}

// load opens every region and instance of the file on the addresses they had.
func (c *Cloud) load(s *state) error {
	c.offset.Store(int64(s.Offset))
	for _, t := range s.Further {
		c.credentials.Store(t.AccessKeyID, newCredential(t.AccessKeyID, t.AccessKeySecret, t.SecurityToken))
	}
	if err := c.model.Load(s.Model); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, saved := range s.Regions {
		ca, err := saved.CA.authority()
		if err != nil {
			return fmt.Errorf("region %s: %w", saved.ID, err)
		}
		if _, err := c.openRegion(c.model.Region(saved.ID), ca, saved.HTTP, saved.HTTPS); err != nil {
			return err
		}
	}
	for _, saved := range s.Instances {
		ca, err := saved.CA.authority()
		if err != nil {
			return fmt.Errorf("instance %s: %w", saved.ID, err)
		}
		r := c.regions[saved.Region]
		if r == nil || r.model.InstanceNamed(saved.ID) == nil {
			return fmt.Errorf("instance %s: not in region %q", saved.ID, saved.Region)
		}
		if _, err := r.openInstance(r.model.InstanceNamed(saved.ID), ca, saved.Addr); err != nil {
			return err
		}
	}
	return nil
}

// Instance returns an instance of the region by id, such as one that came out of a state file.
func (r *Region) Instance(id string) (*Instance, error) {
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	if i := r.cloud.instances[id]; i != nil && i.region == r {
		return i, nil
	}
	return nil, fmt.Errorf("kmstest: region %s has no instance %q", r.ID, id)
}

// Instances returns the region's instances, oldest first.
func (r *Region) Instances() []*Instance {
	all := r.model.Instances()
	r.cloud.mu.Lock()
	defer r.cloud.mu.Unlock()
	var out []*Instance
	for _, info := range all {
		if i := r.cloud.instances[info.ID]; i != nil {
			out = append(out, i)
		}
	}
	return slices.Clip(out)
}

// hostPort is where a face listens: the address it had, or any free port.
func (c *Cloud) hostPort(saved string) string {
	if saved != "" {
		return saved
	}
	return net.JoinHostPort(c.config.Host, "0")
}
