package alikms_test

import (
	"bufio"
	"encoding/json"
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
}

// serveFake prints a fakeCloud, then, for every line on stdin, how many connections were opened; it ends with stdin.
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
	out := json.NewEncoder(os.Stdout)
	err = out.Encode(fakeCloud{id, secret, region.HTTPS, region.CA(), instance.Addr, instance.CA(), clientKey.JSON, clientKey.Password, shared.ID(), dedicated.ID()})
	for lines := bufio.NewScanner(os.Stdin); err == nil && lines.Scan(); {
		err = out.Encode(cloud.Connections(kmstest.Match{}).Opened)
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startFake runs the fake in a process of its own and returns it, and a call that counts the connections opened so far.
func startFake(b *testing.B, latency time.Duration) (fakeCloud, func() int) {
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
	decoder := json.NewDecoder(out)
	var cloud fakeCloud
	require.NoError(b, decoder.Decode(&cloud))
	return cloud, func() int {
		_, err := io.WriteString(in, "\n")
		require.NoError(b, err)
		var opened int
		require.NoError(b, decoder.Decode(&opened))
		return opened
	}
}
