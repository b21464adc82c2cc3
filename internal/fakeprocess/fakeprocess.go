// Package fakeprocess runs the fake cloud of package kmstest in a process of its own, so that what a benchmark measures is the
// client and not the fake. The process is the test binary itself: its TestMain calls [Main] first, and a benchmark [Start].
package fakeprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// variable makes a test binary serve instead of running tests. Its value is the latency of every answer.
const variable = "KEYHAUL_FAKE_PROCESS"

// Cloud is a fake cloud in another process, as far as a client needs to know it.
type Cloud struct {
	Gateway   alikms.GatewayConfig  `json:"-"` // over https
	Plain     alikms.GatewayConfig  `json:"-"` // the same over http
	Instance  alikms.InstanceConfig `json:"-"`
	Key, Next string                // ids of two symmetric keys outside of any instance
	Inside    string                // and of one in the instance

	tb  testing.TB
	in  *json.Encoder
	out *json.Decoder
}

// Order is what the process is asked to do before it tells what it saw.
type Order struct {
	Quota int  // of symmetric operations a second, where it is not zero
	Reset bool // the counters
}

// Evidence is what the process saw since its counters were reset.
type Evidence struct {
	Opened                            int           // connections, since it began
	Calls, Good, Throttled, Decrypted int           // of all calls: answered well, refused for the rate, and Decrypts answered well
	CPU                               time.Duration // that the process has used since it began
}

// wire is what the process says first: what Cloud is made of.
type wire struct {
	Cloud
	Endpoint, PlainEndpoint, AccessKeyID, AccessKeySecret string
	CA, InstanceCA, ClientKey                             []byte
	Address, Password                                     string
}

// Main returns at once, unless [Start] has started this process: then it serves until its input ends, and exits.
func Main() {
	latency := os.Getenv(variable)
	if latency == "" {
		return
	}
	if err := serve(latency); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve says what there is, and then what it saw for every Order on its input.
func serve(latency string) error {
	late, err := time.ParseDuration(latency)
	if err != nil {
		return err
	}
	cloud, err := kmstest.Start(kmstest.Config{KeepRequests: 1})
	if err != nil {
		return err
	}
	defer func() { _ = cloud.Close() }()
	if late > 0 {
		cloud.Inject(kmstest.Fault{Latency: late})
	}
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		return err
	}
	what, err := furnish(cloud, region)
	if err != nil {
		return err
	}
	out, in := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	for err = out.Encode(what); err == nil; { //nolint:gosec // the fake has no secret worth keeping
		var order Order
		if err = in.Decode(&order); err != nil {
			break
		}
		if order.Quota > 0 {
			region.SetQuotaBurst(100 * time.Millisecond) // so that what is saved up while nobody calls does not hide the cap
			region.SetQuotas(kmstest.Quotas{kmstest.Symmetric: order.Quota})
		}
		if order.Reset {
			cloud.ResetEvidence()
		}
		err = out.Encode(Evidence{
			Opened: cloud.Connections(kmstest.Match{}).Opened, CPU: CPU(), Calls: cloud.Count(kmstest.Match{}), Good: cloud.Count(kmstest.Match{OK: true}),
			Throttled: cloud.Count(kmstest.Match{Code: "Rejected.Throttling"}), Decrypted: cloud.Count(kmstest.Match{OK: true, Action: "Decrypt"}),
		})
	}
	return err
}

// furnish makes keys and an instance.
func furnish(cloud *kmstest.Cloud, region *kmstest.Region) (w wire, err error) {
	instance, err := region.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		return w, err
	}
	clientKey, err := instance.CreateClientKey()
	if err != nil {
		return w, err
	}
	for id, create := range map[*string]func(kmstest.KeySpec) (*kmstest.Key, error){&w.Key: region.CreateKey, &w.Next: region.CreateKey, &w.Inside: instance.CreateKey} {
		key, err := create(kmstest.KeySpec{})
		if err != nil {
			return w, err
		}
		*id = key.ID()
	}
	w.AccessKeyID, w.AccessKeySecret = cloud.Credentials()
	w.Endpoint, w.PlainEndpoint, w.CA = region.HTTPS, region.HTTP, region.CA()
	w.Address, w.InstanceCA, w.ClientKey, w.Password = instance.Addr, instance.CA(), clientKey.JSON, clientKey.Password
	return w, nil
}

// Start runs a cloud of that latency until tb ends.
func Start(tb testing.TB, latency time.Duration) *Cloud {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	// It ends with its input. The context of tb ends before that, and would kill it.
	process := exec.CommandContext(context.WithoutCancel(tb.Context()), self) //nolint:gosec // this very binary
	process.Env = append(os.Environ(), variable+"="+latency.String())
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := process.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := process.Wait(); err != nil {
			tb.Errorf("the fake's process: %v", err)
		}
	})
	var w wire
	decoder := json.NewDecoder(out)
	if err := decoder.Decode(&w); err != nil {
		tb.Fatalf("the fake's process said nothing; does TestMain call fakeprocess.Main? %v", err)
	}
	cloud := w.Cloud
	cloud.Gateway = alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: w.Endpoint, CAPEM: w.CA, AccessKeyID: w.AccessKeyID, AccessKeySecret: w.AccessKeySecret}
	cloud.Plain = cloud.Gateway
	cloud.Plain.Endpoint, cloud.Plain.PlainHTTP, cloud.Plain.CAPEM = w.PlainEndpoint, true, nil
	cloud.Instance = alikms.InstanceConfig{Endpoint: w.Address, ClientKey: w.ClientKey, Password: w.Password, CAPEM: w.InstanceCA}
	cloud.tb, cloud.in, cloud.out = tb, json.NewEncoder(in), decoder
	return &cloud
}

// Ask carries out an order and returns what the process saw. Calls to it must not overlap.
func (c *Cloud) Ask(order Order) (saw Evidence) {
	c.tb.Helper()
	if err := c.in.Encode(order); err != nil {
		c.tb.Fatal(err)
	}
	if err := c.out.Decode(&saw); err != nil {
		c.tb.Fatal(err)
	}
	return saw
}
