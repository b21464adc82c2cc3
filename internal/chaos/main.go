// Command chaos runs a migration under conditions that nobody wants, and checks that nothing is lost.
//
//	go run ./internal/chaos -short -json
//
// Three application processes read and write without pause; two more sweep. All of them are killed with SIGKILL at random
// moments and started again. The phases are rolled one process at a time, forward, back and forward again. Meanwhile the
// two faked regions throttle, hang, reset connections, answer with nothing and go down, each of them with each fault at
// least once, and the new key is rotated. A ledger holds every write that was acknowledged.
//
// When the faults are over, a last sweep runs; what the faults had put into quarantine is its business too. A census that
// finds nothing on the old side takes the applications to new-only, where they work on with the old region off the network:
// from then on no fault excuses an error. (That the machine itself stood still for a second does, and is counted.) At the
// end every record is opened with fresh clients in phase new-only, and compared.
//
// It exits 1 when anything was lost, overwritten, unreadable or left behind, or a call failed that no fault excuses.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// options are the command line.
type options struct {
	records, kills int
	step           time.Duration // between two moves of the phase
	db             string
	short, json    bool
	seed           uint64

	role, config, phase string // of a child process
	slot                int
	epoch               int64
}

// result is what -json prints last.
type result struct {
	Database         string         `json:"database"`
	Records          int            `json:"records"`
	Kills            int            `json:"kills"`
	AckedWrites      int64          `json:"acknowledged_writes"`
	Reads            int64          `json:"reads"`
	Lost             int            `json:"lost"`
	Overwritten      int            `json:"overwritten"`
	Unreadable       int            `json:"unreadable"`
	WrongIdentity    int            `json:"wrong_identity"`
	Unexcused        int            `json:"unexcused_errors"`
	Excused          int            `json:"excused_errors"`
	OldAfter         int64          `json:"old_after"`
	Quarantined      int64          `json:"quarantined"`            // that the last sweep left
	QuarantinedOnce  int64          `json:"quarantined_on_the_way"` // by earlier sweeps, while things were broken
	ReadsNewOnly     int64          `json:"reads_new_only"`         // with the old region off the network
	Faults           map[string]int `json:"faults"`
	PhaseMoves       int            `json:"phase_moves"`
	Rotations        int            `json:"rotations"`
	Sweeps           int            `json:"sweeps"`
	Stalls           int            `json:"stalls"` // times that the machine stood still for a second
	Seconds          float64        `json:"seconds"`
	Seed             uint64         `json:"seed"`
	UnexcusedSamples []string       `json:"unexcused_samples,omitempty"`
}

func (r result) ok() bool {
	return r.Lost+r.Overwritten+r.Unreadable+r.WrongIdentity+r.Unexcused == 0 && r.OldAfter == 0 && r.Quarantined == 0
}

func main() {
	var o options
	flag.IntVar(&o.records, "records", 1_000_000, "records in the table")
	flag.IntVar(&o.kills, "kills", 200, "processes killed with SIGKILL")
	flag.DurationVar(&o.step, "step", 2*time.Minute, "time between two moves of the phase")
	flag.StringVar(&o.db, "db", "sqlite", "sqlite, mariadb (needs KEYHAUL_MYSQL_DSN) or postgres (needs KEYHAUL_POSTGRES_DSN)")
	flag.BoolVar(&o.short, "short", false, "3,000 records, 15 kills, two minutes and a half")
	flag.BoolVar(&o.json, "json", false, "print one JSON object last")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the dice")
	flag.StringVar(&o.role, "role", "", "internal: app or sweep")
	flag.StringVar(&o.config, "config", "", "internal: the file that says where everything is")
	flag.StringVar(&o.phase, "phase", "", "internal: the phase to start in")
	flag.IntVar(&o.slot, "slot", 0, "internal: which process this is; of a sweep, which sweep")
	flag.Int64Var(&o.epoch, "epoch", 0, "internal: how often it was started")
	flag.Parse()
	if o.short {
		o.records, o.kills, o.step = 3000, 15, 9*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

var errFailed = errors.New("the migration did not keep its promises")

func run(ctx context.Context, o options) error {
	switch o.role {
	case "app":
		return runApp(ctx, o)
	case "sweep":
		return runSweep(ctx, o)
	}
	r, err := orchestrate(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	} else {
		fmt.Printf("%+v\n", r)
	}
	if !r.ok() {
		return errFailed
	}
	return nil
}
