package rekeysql_test

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

// fakeProcess is the environment variable that makes the test binary serve a fake cloud instead of running tests, so that its
// work is not the benchmark's.
const fakeProcess = "KEYHAUL_REKEYSQL_FAKE"

func TestMain(m *testing.M) {
	if os.Getenv(fakeProcess) != "" {
		if err := serveFake(); err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fakeCloud is what the process tells about its cloud.
type fakeCloud struct {
	AccessKeyID, AccessKeySecret, Gateway string
	CA                                    []byte
	Old, New                              string // keys

	ask func(fakeOrder) fakeEvidence
}

// fakeOrder is what the process is asked to do before it tells what it saw.
type fakeOrder struct {
	Quota int  // of symmetric operations a second, where it is not zero
	Reset bool // the counters
}

// fakeEvidence is what the process saw.
type fakeEvidence struct{ Calls, Good, Decrypted, Throttled int }

// serveFake prints a fakeCloud, then a fakeEvidence for every fakeOrder on stdin; it ends with stdin.
func serveFake() error {
	cloud, err := kmstest.Start(kmstest.Config{KeepRequests: 1})
	if err != nil {
		return err
	}
	defer func() { _ = cloud.Close() }()
	cloud.Inject(kmstest.Fault{Latency: 20 * time.Millisecond})
	region, err := cloud.Region("cn-hangzhou")
	if err != nil {
		return err
	}
	was, err := region.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return err
	}
	will, err := region.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return err
	}
	id, secret := cloud.Credentials()
	out, in := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	err = out.Encode(fakeCloud{id, secret, region.HTTPS, region.CA(), was.ID(), will.ID(), nil})
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
			Calls: cloud.Count(kmstest.Match{}), Good: cloud.Count(kmstest.Match{OK: true}), Decrypted: cloud.Count(kmstest.Match{OK: true, Action: "Decrypt"}), Throttled: cloud.Count(kmstest.Match{Code: "Rejected.Throttling"}),
		})
	}
	return err
}

// startFake runs the fake in a process of its own.
func startFake(b *testing.B) fakeCloud {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	command := exec.CommandContext(b.Context(), self)
	command.Env = append(os.Environ(), fakeProcess+"=1")
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
