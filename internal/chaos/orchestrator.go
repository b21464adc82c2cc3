package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// orchestra is the run as a whole.
type orchestra struct {
	options
	config
	path  string // of the config
	dice  *rand.Rand
	began time.Time

	mu       sync.Mutex
	result   result
	acked    []int64 // by record: the last acknowledged revision
	begun    []int64 // by record: the last that was begun
	faulty   time.Time
	active   int // faults that are on
	slots    [apps]*slot
	sweepers []*process
	epoch    int64
	sweepNo  int  // of the sweep that runs
	alone    bool // the old region is off the network for good
}

// slot is one place of an application process, whoever fills it.
type slot struct {
	phase   string
	process *process
	ready   string // the phase that the process has confirmed
}

// process is a child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ended  chan struct{}
	killed bool
	err    error
}

// excuse is how long after a fault an error can be its doing: a call takes up to five seconds.
const excuse = 6 * time.Second

func (o *orchestra) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(o.began).Seconds(), fmt.Sprintf(format, args...))
}

func (o *orchestra) start(role string, slotOf int, phase string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.epoch++
	epoch := o.epoch
	o.mu.Unlock()
	cmd := exec.Command(self, "-role", role, "-config", o.path, "-phase", phase, "-slot", fmt.Sprint(slotOf), "-epoch", fmt.Sprint(epoch)) //nolint:noctx // it is killed by hand
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var m message
			if json.Unmarshal(lines.Bytes(), &m) == nil { // the last line of a killed process can be cut off
				o.hear(role, slotOf, m)
			}
		}
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// hear takes down what a child says.
func (o *orchestra) hear(role string, slotOf int, m message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch m.Kind {
	case "begin":
		o.begun[m.ID] = max(o.begun[m.ID], m.Revision)
	case "ack":
		o.acked[m.ID] = max(o.acked[m.ID], m.Revision)
		o.result.AckedWrites++
	case "reads":
		o.result.Reads += m.N
		if o.alone {
			o.result.ReadsNewOnly += m.N
		}
	case "phase":
		o.slots[slotOf].ready = m.Text
	case "identity":
		o.result.WrongIdentity++
		o.say("%s %d: record %d: %s", role, slotOf, m.ID, m.Text)
	case "overwritten":
		o.result.Overwritten++
	case "stall":
		o.stood()
	case "swept":
		// Both processes of a sweep report the whole of it.
		if o.sweepNo != slotOf {
			o.result.Sweeps++
			o.result.QuarantinedOnce += o.result.Quarantined
			o.sweepNo = slotOf
			o.say("sweep %d is done: %s", slotOf, m.Text)
		}
		o.result.Quarantined = m.N
	case "error":
		if m.KMS && (o.active > 0 || time.Since(o.faulty) < excuse) {
			o.result.Excused++
			return
		}
		o.result.Unexcused++
		if len(o.result.UnexcusedSamples) < 5 {
			o.result.UnexcusedSamples = append(o.result.UnexcusedSamples, m.Text)
		}
		o.say("not excused: %s", m.Text)
	}
}

// stood notes that the machine stood still. Calls that ran out of time around then are excused, and the result counts how often. The caller holds the lock.
func (o *orchestra) stood() {
	o.result.Stalls++
	o.faulty = time.Now()
}

// fill starts a process in a slot.
func (o *orchestra) fill(i int) error {
	o.mu.Lock()
	phase := o.slots[i].phase
	o.mu.Unlock()
	p, err := o.start("app", i, phase)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.slots[i].process, o.slots[i].ready = p, ""
	o.mu.Unlock()
	return nil
}

// roll moves every process to a phase, one after the other. The last has arrived when it returns.
func (o *orchestra) roll(ctx context.Context, to kmsmigrate.Phase) error {
	o.say("rolling to %s", to)
	for i := range o.slots {
		o.mu.Lock()
		o.slots[i].phase = to.String()
		p := o.slots[i].process
		o.mu.Unlock()
		_, _ = fmt.Fprintln(p.stdin, to) // one that was killed meanwhile starts in the phase of its slot
		for {
			o.mu.Lock()
			ready := o.slots[i].ready
			again := o.slots[i].process
			o.mu.Unlock()
			if ready == to.String() {
				break
			}
			if again != p { // it was started before the slot's phase was read, or is starting now
				p = again
				_, _ = fmt.Fprintln(p.stdin, to)
			}
			if err := wait(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
		if err := wait(ctx, o.step/10); err != nil { // the fleet is mixed for a while
			return err
		}
	}
	o.mu.Lock()
	o.result.PhaseMoves++
	o.mu.Unlock()
	return nil
}

// kill ends a random process with SIGKILL and starts another in its place.
func (o *orchestra) kill() error {
	o.mu.Lock()
	victims := make([]*process, 0, apps+2)
	for _, s := range o.slots {
		victims = append(victims, s.process)
	}
	for _, p := range o.sweepers {
		select {
		case <-p.ended:
		default:
			victims = append(victims, p)
		}
	}
	n := o.dice.IntN(len(victims))
	p := victims[n]
	p.killed = true
	o.mu.Unlock()
	_ = p.cmd.Process.Kill()
	<-p.ended
	o.mu.Lock()
	o.result.Kills++
	o.mu.Unlock()
	if n < apps {
		return o.fill(n)
	}
	return nil // whoever runs the sweep starts it again
}

// sweep runs one sweep in two processes until it is done.
func (o *orchestra) sweep(ctx context.Context, number int) error {
	o.say("sweep %d", number)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			for tries := 0; ctx.Err() == nil; tries++ {
				p, err := o.start("sweep", number, "")
				if err != nil {
					errs[i] = err
					return
				}
				o.mu.Lock()
				o.sweepers = append(o.sweepers, p)
				o.mu.Unlock()
				select {
				case <-p.ended:
				case <-ctx.Done():
					_ = p.cmd.Process.Kill()
					<-p.ended
					return
				}
				o.mu.Lock()
				killed := p.killed
				o.mu.Unlock()
				if p.err == nil {
					return
				}
				if !killed && tries > 20 {
					errs[i] = fmt.Errorf("a sweep does not come to its end: %w", p.err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fault is a way to break a side.
type fault struct {
	name  string
	fault kmstest.Fault
}

// faults breaks things, one after the other in a random order, with quiet in between; each fault of each side before any comes again. It says
// when each has been.
func (o *orchestra) faults(ctx context.Context, cloud *kmstest.Cloud, old, fresh kmstest.Match, all func()) {
	dice := rand.New(rand.NewPCG(o.seed, 2))
	list := make([]fault, 0, 12)
	for side, match := range map[string]kmstest.Match{"old": old, "new": fresh} {
		list = append(list,
			fault{"throttling of the " + side + " side", kmstest.Fault{Status: 429, Chance: 0.5, Match: match}},
			fault{"unavailable of the " + side + " side", kmstest.Fault{Status: 503, Chance: 0.5, Match: match}},
			fault{"latency of the " + side + " side", kmstest.Fault{Latency: 200 * time.Millisecond, Match: match}},
			fault{"resets of the " + side + " side", kmstest.Fault{Reset: kmstest.ResetBefore, Chance: 0.3, Match: match}},
			fault{"empty answers of the " + side + " side", kmstest.Fault{Body: kmstest.BodyEmpty, Chance: 0.3, Match: match}},
			fault{"outage of the " + side + " side", kmstest.Fault{Outage: true, Match: match}},
		)
	}
	slices.SortFunc(list, func(a, b fault) int { return strings.Compare(a.name, b.name) }) // maps have no order
	for n := 0; ctx.Err() == nil; n++ {
		if n%len(list) == 0 {
			dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		if n == len(list) {
			all()
		}
		if wait(ctx, quiet) != nil {
			return
		}
		f := list[n%len(list)]
		o.mu.Lock()
		o.active++
		o.result.Faults[f.name]++
		o.mu.Unlock()
		o.say("fault: %s", f.name)
		remove := cloud.Inject(f.fault)
		_ = wait(ctx, 1500*time.Millisecond)
		remove()
		o.mu.Lock()
		o.active--
		o.faulty = time.Now()
		o.mu.Unlock()
	}
}

// quiet is how long nothing is broken: long enough for errors that nothing excuses to show.
const quiet = excuse + 2*time.Second
