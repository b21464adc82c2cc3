package alikms_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// fakeProcess is the environment variable that makes the test binary serve a fake cloud instead of running tests: benchmarks
// measure the client's CPU time, so the fake must not be in the same process. Its value is the latency of every answer.
const fakeProcess = "KEYHAUL_ALIKMS_FAKE"

// fakeCloud is what the process tells about its cloud.
type fakeCloud struct {
	AccessKeyID, AccessKeySecret string
	Gateway                      string
	GatewayCA                    []byte
	Instance                     string
	InstanceCA                   []byte
	ClientKey                    []byte
	Password                     string
	SharedKey, InstanceKey       string

	ask func(fakeOrder) fakeEvidence
}

// fakeOrder is what the process is asked to do before it tells what it saw.
type fakeOrder struct {
	Quota int  // of symmetric operations a second, where it is not zero
	Reset bool // the counters
}

// fakeEvidence is what the process saw.
type fakeEvidence struct {
	Opened                 int // connections
	Calls, Good, Throttled int
	CPU                    time.Duration // of the process since it began
}

// serveFake prints a fakeCloud, then a fakeEvidence for every fakeOrder on stdin; it ends with stdin.
func serveFake() int {
	latency, err := time.ParseDuration(os.Getenv(fakeProcess))
	if err != nil {
		return fail(err)
	}
	cloud, err := kmstest.Start(kmstest.Config{KeepRequests: 1})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = cloud.Close() }()
	if latency > 0 {
		cloud.Inject(kmstest.Fault{Latency: latency})
	}
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		return fail(err)
	}
	instance, err := region.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		return fail(err)
	}
	clientKey, err := instance.CreateClientKey()
	if err != nil {
		return fail(err)
	}
	shared, err := region.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return fail(err)
	}
	dedicated, err := instance.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return fail(err)
	}
	id, secret := cloud.Credentials()
	out, in := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	err = out.Encode(fakeCloud{id, secret, region.HTTPS, region.CA(), instance.Addr, instance.CA(), clientKey.JSON, clientKey.Password, shared.ID(), dedicated.ID(), nil})
	for err == nil {
		var order fakeOrder
		if err = in.Decode(&order); err != nil {
			break
		}
		if order.Quota > 0 {
			region.SetQuotaBurst(100 * time.Millisecond) // so that what is left over while there is no sweep does not hide the cap
			region.SetQuotas(kmstest.Quotas{kmstest.Symmetric: order.Quota})
		}
		if order.Reset {
			cloud.ResetEvidence()
		}
		err = out.Encode(fakeEvidence{
			Opened: cloud.Connections(kmstest.Match{}).Opened, CPU: cpuTime(),
			Calls: cloud.Count(kmstest.Match{}), Good: cloud.Count(kmstest.Match{OK: true}), Throttled: cloud.Count(kmstest.Match{Code: "Rejected.Throttling"}),
		})
	}
	if !errors.Is(err, io.EOF) {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startFake runs the fake in a process of its own.
func startFake(b *testing.B, latency time.Duration) fakeCloud {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	command := exec.CommandContext(b.Context(), self)
	command.Env = append(os.Environ(), fakeProcess+"="+latency.String())
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	require.NoError(b, err)
	out, err := command.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, command.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = command.Wait()
	})
	encoder, decoder := json.NewEncoder(in), json.NewDecoder(out)
	var cloud fakeCloud
	require.NoError(b, decoder.Decode(&cloud))
	cloud.ask = func(order fakeOrder) (saw fakeEvidence) {
		require.NoError(b, encoder.Encode(order))
		require.NoError(b, decoder.Decode(&saw))
		return saw
	}
	return cloud
}
