package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/rekey"
)

// replicas is how many processes the application has.
const replicas = 3

// story is the migration from its first day to its last.
type story struct {
	world   *world
	ledger  *ledger
	fleet   []*replica
	out     io.Writer
	bars    *progress
	result  result
	problem error // the first thing that went wrong with a record
}

func (s *story) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *story) tell(ctx context.Context) error {
	began := time.Now()
	w := s.world
	s.result.Rows = w.rows
	s.ledger = newLedger(w.rows)
	if err := s.past(ctx); err != nil {
		return fmt.Errorf("the old application: %w", err)
	}
	census, _, err := s.count(ctx)
	if err != nil {
		return fmt.Errorf("the first census: %w", err)
	}
	s.result.OldBefore = census.Held(kmsmigrate.SideOld)
	w.cloud.ResetEvidence()
	defer s.abandon()
	if err := s.startFleet(ctx); err != nil {
		return err
	}
	allWriteNew, err := s.roll(ctx)
	if err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if err := s.finish(ctx, allWriteNew); err != nil {
		return err
	}
	if err := s.rest(ctx); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return fmt.Errorf("the final check: %w", err)
	}
	s.result.Seconds = time.Since(began).Seconds()
	return nil
}

// past is the time before the migration: the old application alone writes every record.
func (s *story) past(ctx context.Context) error {
	w := s.world
	client, err := w.hangzhou.SDKClient()
	if err != nil {
		return err
	}
	defer client.Shutdown()
	app := newSDKApp(client, w.oldKey.ID(), perKey)
	bar := s.bars.start("the old application writes", int64(w.rows))
	defer bar.end()
	const batch = 1000
	for first := 1; first <= w.rows; first += batch {
		last := min(first+batch-1, w.rows)
		if err := s.fill(ctx, app, first, last); err != nil {
			return err
		}
		bar.set(int64(last))
	}
	return nil
}

func (s *story) fill(ctx context.Context, app *sdkApp, first, last int) error {
	tx, err := s.world.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for id := first; id <= last; id++ {
		record, err := app.seal(ctx, []byte(text(int64(id), 0)))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO customers (id, secret) VALUES (?, ?)`, id, string(record)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// startFleet runs the application in several processes, at first without Keyhaul, and rolls Keyhaul out in phase OldOnly.
func (s *story) startFleet(ctx context.Context) error {
	for i := range replicas {
		client, err := s.world.hangzhou.SDKClient()
		if err != nil {
			return err
		}
		r := &replica{number: i, of: replicas, world: s.world, ledger: s.ledger}
		r.use(newSDKApp(client, s.world.oldKey.ID(), perKey))
		s.fleet = append(s.fleet, r)
		r.start(ctx)
	}
	s.say("%d processes read and write with the official SDK alone", replicas)
	for _, r := range s.fleet {
		r.busy(ctx, 20)
		if err := r.upgrade(ctx); err != nil {
			return fmt.Errorf("rolling Keyhaul out: %w", err)
		}
	}
	s.say("phase %-10s Keyhaul is in, and nothing has changed", kmsmigrate.OldOnly)
	return ctx.Err()
}

// roll takes every process through the phases, one after the other, so that neighbouring phases run side by side. It
// returns when the last of them had begun to write with the new key.
func (s *story) roll(ctx context.Context) (allWriteNew time.Time, err error) {
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		for _, r := range s.fleet {
			r.busy(ctx, 60)
			if err := r.phase.Set(phase); err != nil {
				return time.Time{}, err
			}
		}
		if phase == kmsmigrate.WriteNew {
			for _, r := range s.fleet {
				r.busy(ctx, 5) // whatever was sealed before the switch has been stored
			}
			allWriteNew = time.Now()
		}
		s.say("phase %-10s all processes", phase)
	}
	return allWriteNew, ctx.Err()
}

// sweep moves what nobody reads, with an endpoint, credentials and caches of its own, as a process of its own has them.
func (s *story) sweep(ctx context.Context) error {
	var err error
	if _, s.result.DistinctDataKeys, err = s.count(ctx); err != nil {
		return fmt.Errorf("the census before the sweep: %w", err)
	}
	env, closeKeys, err := s.world.envelope(ctx, kmsmigrate.Rewrite, true)
	if err != nil {
		return err
	}
	defer closeKeys()
	store, err := s.world.store(ctx)
	if err != nil {
		return err
	}
	bar := s.bars.start("the sweep", int64(s.world.rows))
	defer bar.end()
	report, err := rekey.Sweep(ctx, env, store, rekey.Options{
		Name:     "customers.secret",
		Progress: func(p rekey.Progress) { bar.set(p.Scanned - p.Unfinished) },
	})
	if err != nil {
		return fmt.Errorf("the sweep: %w", err)
	}
	s.result.Conflicts = report.Conflicts
	s.result.Quarantined = report.Quarantined
	s.result.swept, s.result.alreadyNew = report.Renewed, report.AlreadyNew
	return nil
}

// finish proves that nothing is left under the old key, gives it up, and disables it while the application runs.
func (s *story) finish(ctx context.Context, allWriteNew time.Time) error {
	census, _, err := s.count(ctx)
	if err != nil {
		return fmt.Errorf("the census: %w", err)
	}
	s.result.OldAfter, s.result.NewAfter = census.Held(kmsmigrate.SideOld), census.Held(kmsmigrate.SideNew)
	for _, r := range s.fleet {
		if err := r.rekeyer.Wait(ctx); err != nil {
			return err
		}
		if err := r.phase.SetProven(kmsmigrate.NewOnly, allWriteNew, census); err != nil {
			return err
		}
	}
	s.say("phase %-10s on a census: %d records under the old key, %d under the new", kmsmigrate.NewOnly, s.result.OldAfter, s.result.NewAfter)
	if err := s.world.oldKey.Disable(); err != nil {
		return err
	}
	for _, r := range s.fleet {
		r.busy(ctx, 100)
	}
	s.say("the old key is disabled, and the application goes on")
	return ctx.Err()
}

// rest stops the application and adds up what it did.
func (s *story) rest(ctx context.Context) error {
	for _, r := range s.fleet {
		if err := r.close(ctx); err != nil {
			return err
		}
		if r.rekeyer != nil {
			stats := r.rekeyer.Stats()
			s.result.Conflicts += stats.Conflicts
			s.result.lazily += stats.Rewritten
		}
		s.result.ForegroundReads += r.reads.Load()
		s.result.ForegroundWrites += r.writes.Load()
		if err := r.failed.Load(); err != nil {
			s.wrong(*err)
			s.result.Mismatched += r.wrong.Load()
		}
	}
	s.fleet = nil
	s.tally()
	return nil
}

// tally sorts the requests that the fake has on record: calls that used a key, by whose credentials and at which end.
func (s *story) tally() {
	w := s.world
	for _, request := range w.cloud.Requests(kmstest.Match{}) {
		switch request.Action {
		case "Encrypt", "Decrypt", "GenerateDataKey", "AdvanceEncrypt", "AdvanceDecrypt":
		default:
			continue // DescribeKey and the like: another quota
		}
		switch {
		case request.AccessKeyID != w.sweepAK && request.AccessKeyID != w.sweepCK:
			s.result.ForegroundKMSCalls++
		case request.Region == w.hangzhou.ID:
			s.result.SweepKMSCallsOld++
		default:
			s.result.SweepKMSCallsNew++
		}
	}
}

// abandon stops what still runs when the story ends early.
func (s *story) abandon() {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, r := range s.fleet {
		_ = r.close(done)
	}
}

// wrong keeps the first problem.
func (s *story) wrong(err error) {
	if s.problem == nil {
		s.problem = err
	}
}

// count takes a census, and counts the data keys that the old key wraps. Both read headers only.
func (s *story) count(ctx context.Context) (kmsmigrate.Census, int, error) {
	env, closeKeys, err := s.world.envelope(ctx, kmsmigrate.ReadBoth, false)
	if err != nil {
		return kmsmigrate.Census{}, 0, err
	}
	defer closeKeys()
	store, err := s.world.store(ctx)
	if err != nil {
		return kmsmigrate.Census{}, 0, err
	}
	census, err := rekey.TakeCensus(ctx, env, store)
	if err != nil {
		return census, 0, err
	}
	dataKeys := map[[32]byte]bool{}
	for record, err := range store.Scan(ctx, rekey.Range{}) {
		if err != nil {
			return census, 0, err
		}
		info, err := env.Inspect(record.Value)
		if err != nil {
			return census, 0, err
		}
		for _, copied := range info.Copies {
			if copied.Side == kmsmigrate.SideOld {
				dataKeys[copied.Group] = true
			}
		}
	}
	return census, len(dataKeys), nil
}
